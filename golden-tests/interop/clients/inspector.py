"""Drives one server with the Inspector's command line: one process, and so one connection, per step.

Arguments: the job, then the command that starts the Inspector's command line. The runner has already taken out
of the play what the command line has no method for.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import play

METHODS = {
    "connect": "initialize",
    "list_tools": "tools/list",
    "list_prompts": "prompts/list",
    "list_resources": "resources/list",
    "list_templates": "resources/templates/list",
    "call": "tools/call",
    "prompt": "prompts/get",
    "read": "resources/read",
    "set_level": "logging/setLevel",
}


def arguments_of(step):
    """The options that carry a step's parameters."""
    verb = step["do"]
    yield from ("--method", METHODS[verb])
    if verb == "call":
        yield from ("--tool-name", step["name"], "--tool-args-json", json.dumps(step.get("arguments", {})))
    if verb == "prompt":
        yield from ("--prompt-name", step["name"])
        pairs = [f"{key}={value}" for key, value in step.get("arguments", {}).items()]
        if pairs:
            yield from ("--prompt-args", *pairs)
    if verb == "read":
        yield from ("--uri", step["uri"])
    if verb == "set_level":
        yield from ("--log-level", step["level"])


def server_file(job, folder):
    """Writes the server as the configuration file the command line reads; both transports fit in it."""
    target = job["target"]
    entry = {"type": "streamable-http", "url": target["url"]} if "url" in target else dict(target)
    entry["protocolEra"] = job["era"]
    path = os.path.join(folder, "servers.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"mcpServers": {"target": entry}}, file)
    return path


def seen_of_run(step, run):
    """Reads the one JSON object the command line prints: a result on standard output, an error on standard error."""
    if run.returncode not in (0, 5):
        return {"error": f"exit {run.returncode}", "text": run.stderr.strip()}
    result = json.loads(run.stdout)["result"]
    if step["do"] == "connect":
        return {"note": f"{result.get('protocolVersion')}, {(result.get('serverInfo') or {}).get('name')}"}
    return play.seen_of_result(result)


def perform_step(job, command, step):
    """Runs one step as one process and reports on it."""
    started = time.monotonic()
    try:
        run = subprocess.run(
            [*command, *arguments_of(step)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=step["seconds"],
            check=False,
        )
        seen = seen_of_run(step, run)
    except subprocess.TimeoutExpired:
        play.report(job, step["step"], False, "no answer in time", started)
        return
    except (ValueError, KeyError) as error:
        play.report(job, step["step"], False, f"unreadable output: {error}", started)
        return
    wrong = play.problems(step.get("expect", {}), seen)
    play.report(job, step["step"], not wrong, "; ".join(wrong) or play.in_words(seen), started)


def main():
    job = play.load_job()
    with tempfile.TemporaryDirectory() as folder:
        command = [*sys.argv[2:], "--cli", "--config", server_file(job, folder), "--server", "target"]
        command += ["--quiet", "--format", "json", "--stored-auth-only"]
        for step in job["steps"]:
            perform_step(job, command, step)


main()
