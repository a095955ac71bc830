"""What a run of the suite wrote: checks by scenario."""

import json
import re
from collections import defaultdict

PASSED, INFORMED, SKIPPED = "SUCCESS", "INFO", "SKIPPED"
WRONG = ("FAILURE", "WARNING")
# `server-<scenario>-<time>`: the time has dashes, too.
FOLDER = re.compile(r"^(?:server-|client-)?(?P<scenario>.+?)-\d{4}-\d{2}-\d{2}T[\d-]+Z$")


def read(folder):
    """The checks in a results folder: scenario to list, each check as the suite wrote it."""
    scenarios = defaultdict(list)
    for file in sorted(folder.rglob("checks.json")):
        match = FOLDER.match(str(file.parent.relative_to(folder)))
        if not match:
            raise SystemExit(f"conformance: cannot tell the scenario of {file.parent}")
        scenarios[match["scenario"]] += json.loads(file.read_text())
    return dict(scenarios)


def count(scenarios, *statuses):
    """How many checks have one of these statuses."""
    return sum(check["status"] in statuses for checks in scenarios.values() for check in checks)
