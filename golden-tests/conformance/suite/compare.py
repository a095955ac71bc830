"""Holds what the suite saw through the gateway against what it saw directly.

A check has to pass as often as it passes directly, and nothing may fail or warn that does not directly. What is
impossible between two eras is in `impossible.json`, row by row, each with its reason; a row that nothing needs is
a failure too, so that the list cannot outgrow the truth.
"""

import fnmatch
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from suite.checks import PASSED, WRONG

ROWS = Path(__file__).resolve().parent.parent / "impossible.json"


@dataclass
class Verdict:
    """What became of one check of one scenario in one corner; `reason` where it is impossible."""

    corner: str
    scenario: str
    check: str
    times: int
    passed: bool
    reason: str | None = None
    expected: str = ""
    seen: str = ""


@dataclass
class Row:
    """One check that cannot pass in some corners, and why; whether a run has met it."""

    corners: list
    scenario: str
    check: str
    reason: str
    met: bool = False

    def fits(self, corner, scenario, check):
        """Whether the row speaks of this check."""
        here = any(fnmatch.fnmatch(corner, pattern) for pattern in self.corners)
        return here and (self.scenario, self.check) == (scenario, check)


def rows():
    """The reviewed list of what is impossible, one row a check."""
    groups = json.loads(ROWS.read_text(encoding="utf-8"))
    return [
        Row(group["corners"], scenario, check, group["reason"])
        for group in groups
        for scenario, checks in group["checks"].items()
        for check in checks
    ]


def verdicts(corner, direct, through, impossible):
    """One verdict for each check that passes directly or is wrong through the gateway. Marks the rows it met."""
    found = []
    for scenario in sorted(direct.keys() | through.keys()):
        wanted = passes(direct.get(scenario, []))
        got = passes(through.get(scenario, []))
        for check, times in wanted.items():
            if got[check]:
                found.append(Verdict(corner.name, scenario, check, min(times, got[check]), True))
            if got[check] < times:
                found.append(lost(corner, scenario, check, times - got[check], direct, through, impossible))
        reported = {verdict.check for verdict in found if verdict.scenario == scenario and not verdict.passed}
        already = {check["id"] for check in direct.get(scenario, []) if check["status"] in WRONG}
        for check in through.get(scenario, []):
            if check["status"] in WRONG and check["id"] not in reported | already:
                reported.add(check["id"])
                found.append(lost(corner, scenario, check["id"], 1, direct, through, impossible))
    return found


def lost(corner, scenario, check, times, direct, through, impossible):
    """The verdict on a check that does not pass: impossible with its reason, or failed with what was seen."""
    verdict = Verdict(corner.name, scenario, check, times, False)
    for row in impossible:
        if row.fits(corner.name, scenario, check):
            row.met = True
            verdict.reason = row.reason
            return verdict
    passing = [one for one in direct.get(scenario, []) if one["id"] == check]
    verdict.expected = passing[0].get("description", "") if passing else "no such finding, as directly"
    seen = [one for one in through.get(scenario, []) if one["id"] == check and one["status"] != PASSED]
    verdict.seen = "; ".join(dict.fromkeys(described(one) for one in seen)) or nothing_seen(through.get(scenario))
    return verdict


def described(check):
    """What the suite says about a check that did not pass."""
    details = json.dumps(check.get("details", {}))
    return f"{check['status']}: {check.get('errorMessage') or 'no message'} {details[:600]}"


def nothing_seen(checks):
    """Why a check is not there at all: something before it went wrong, or the scenario did not run."""
    if checks is None:
        return "the scenario did not run"
    wrong = [f"{check['id']} ({check.get('errorMessage')})" for check in checks if check["status"] in WRONG]
    return "not reached" + (f", after {'; '.join(wrong)}" if wrong else "")


def passes(checks):
    """How often each check passed."""
    return Counter(check["id"] for check in checks if check["status"] == PASSED)
