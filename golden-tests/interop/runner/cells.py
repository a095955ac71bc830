"""One cell of the table: one client drives one endpoint, within a deadline.

Owns: the job file, the client's process, and turning what it printed (or failed to print) into results.
A step that the client never reported on has failed: nothing is skipped silently.
"""

import json
from dataclasses import dataclass

from runner.plays import filled, split

CELL_SECONDS = 60
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


def run_cell(children, client, endpoint, target, steps, folder, environment):
    """Runs the cell and returns its results in the order of the play."""
    words = {
        "client": client.name,
        "endpoint": endpoint,
        "files": str(folder / "files"),
        "repo": str(folder / "repo"),
    }
    able, unable = split(filled(steps, words), client.cannot)
    job = {"client": client.name, "server": endpoint, "era": client.era, "target": target, "steps": able}
    path = folder / f"{endpoint}.{client.name}.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    seconds = max(CELL_SECONDS, ONE_SHOT_STEP_SECONDS * len(able)) if client.one_shot else CELL_SECONDS
    status, out, err = children.run(client.command(path), seconds, env=environment | client.env)
    (folder / f"{endpoint}.{client.name}.stderr").write_text(err or "")
    reported = dict(reports_in(out))
    missing = why_missing(status, err, seconds)
    results = []
    for step in able:
        line = reported.get(step["step"])
        if line is None:
            results.append(Result(client.name, endpoint, step["step"], False, missing))
        else:
            results.append(Result(client.name, endpoint, step["step"], line["ok"], line["detail"], line["ms"]))
    return results + [Result(client.name, endpoint, step, None, reason) for step, reason in unable]


def not_applicable(client, endpoint, steps, reason):
    """The cell that cannot be run at all, with the reason."""
    return [Result(client.name, endpoint, step["step"], None, reason) for step in steps]


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
