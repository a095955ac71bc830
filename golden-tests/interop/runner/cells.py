"""One cell of the table: one client drives one endpoint, within a deadline.

Owns: the job file, the client's process, and turning what it printed (or failed to print) into results.
A step that the client never reported on has failed: nothing is skipped silently.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass, field

from runner.clients import Client
from runner.plays import filled, split

CELL_SECONDS = 60
STEP_SECONDS = 20
CONNECT_SECONDS = 30  # the first client of a server may be the one that starts it
ONE_SHOT_STEP_SECONDS = 10


@dataclass
class Result:
    """The verdict on one step: `ok` is true, false, or None where the step does not apply."""

    client: str
    server: str
    step: str
    ok: bool | None
    detail: str
    ms: int | None = None


@dataclass
class Cell:
    """One client at one endpoint; with a `reason`, a cell that cannot be run at all. `alone` is held while it runs."""

    client: Client
    endpoint: str
    target: dict
    steps: list
    cannot: dict = field(default_factory=dict)
    reason: str | None = None
    alone: object = field(default_factory=nullcontext)

    def run(self, children, folder, environment):
        """Runs the cell and returns its results, those that do not apply last."""
        if self.reason:
            return [self.result(step["step"], None, self.reason) for step in self.steps]
        words = {
            "client": self.client.name,
            "endpoint": self.endpoint,
            "files": str(folder / "files"),
            "repo": str(folder / "repo"),
        }
        able, unable = split(filled(self.steps, words), self.client.cannot | self.cannot)
        seconds = max(CELL_SECONDS, ONE_SHOT_STEP_SECONDS * len(able)) if self.client.one_shot else CELL_SECONDS
        command = self.client.command(self.job_file(folder, able))
        with self.alone:
            status, out, err = children.run(command, seconds, env=environment | self.client.env)
        (folder / f"{self.endpoint}.{self.client.name}.stderr").write_text(err or "")
        reported = dict(reports_in(out))
        missing = why_missing(status, err, seconds)
        results = [self.verdict(step["step"], reported.get(step["step"]), missing) for step in able]
        return results + [self.result(step, None, reason) for step, reason in unable]

    def job_file(self, folder, steps):
        """Writes what the client is to do."""
        job = {
            "client": self.client.name,
            "server": self.endpoint,
            "era": self.client.era,
            "older": self.client.older,
            "target": self.target,
            "steps": [{"seconds": CONNECT_SECONDS if step["do"] == "connect" else STEP_SECONDS, **step} for step in steps],
        }
        path = folder / f"{self.endpoint}.{self.client.name}.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        return path

    def verdict(self, step, report, missing):
        """The result of a step that was to be run, whether or not the client reported on it."""
        if report is None:
            return self.result(step, False, missing)
        return self.result(step, report["ok"], report["detail"], report["ms"])

    def result(self, step, ok, detail, ms=None):
        """A result of this cell."""
        return Result(self.client.name, self.endpoint, step, ok, detail, ms)


def reports_in(out):
    """The lines a client printed that are reports, by step."""
    for line in out.splitlines():
        try:
            report = json.loads(line)
            yield report["step"], report
        except (ValueError, KeyError, TypeError):
            continue


def why_missing(status, err, seconds):
    """Why a step has no report: the deadline, or how the client ended."""
    if status is None:
        return f"not reached within the cell's {seconds} s"
    last = [line for line in (err or "").splitlines() if line.strip()]
    return f"not reached, the client ended with status {status}: {last[-1].strip() if last else 'no output'}"[:400]
