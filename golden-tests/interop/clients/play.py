"""What every Python client shares: the job it is given, the checks on what it sees, the lines it prints.

A job is a JSON file: `client`, `server`, `era`, `target` (`{"url"}` or `{"command", "args", "env"}`) and
`steps`, each with its deadline in `seconds`. A client performs the steps in order and prints one JSON line for
each. It turns what its SDK returns into the shapes of the wire first, so that one set of checks judges every SDK.
"""

import json
import sys
import time

NO_SUBSCRIPTIONS = {"not offered": "the endpoint announces no resource subscriptions"}
CHANGE_ATTEMPTS = 4
CHANGE_SECONDS = 1.5


def load_job():
    """Reads the job named by the only argument."""
    with open(sys.argv[1], encoding="utf-8") as file:
        return json.load(file)


def report(job, step, ok, detail, started):
    """Prints the verdict on one step as one line, at once: a client may be stopped at any time."""
    line = {
        "client": job["client"],
        "server": job["server"],
        "step": step,
        "ok": ok,
        "detail": str(detail)[:400],
        "ms": round((time.monotonic() - started) * 1000),
    }
    print(json.dumps(line), flush=True)


def seen_of_result(result):
    """Summarises a result in wire shape: names listed, text carried, structured content, completion values."""
    names = []
    for key, name in (("tools", "name"), ("prompts", "name"), ("resources", "uri"), ("resourceTemplates", "uriTemplate")):
        names += [str(item.get(name)) for item in result.get(key) or []]
    return {
        "names": names,
        "text": "\n".join(texts_in(result)),
        "structured": result.get("structuredContent"),
        "values": (result.get("completion") or {}).get("values") or [],
        "error": "isError result" if result.get("isError") else None,
    }


def texts_in(result):
    """Every text a result carries, whether it is a tool's, a prompt's or a resource's."""
    for block in result.get("content") or []:
        yield from texts_of_block(block)
    for message in result.get("messages") or []:
        yield from texts_of_block(message.get("content") or {})
    for content in result.get("contents") or []:
        yield str(content.get("text", content.get("blob", "")))


def texts_of_block(block):
    """The text of one content block; of an embedded resource, the text inside it."""
    if "text" in block:
        yield str(block["text"])
    resource = block.get("resource") or {}
    if "text" in resource or "blob" in resource:
        yield str(resource.get("text", resource.get("blob")))


def problems(expect, seen):
    """Compares what was seen with what the play expects; an empty list is a pass."""
    found = []
    if expect.get("error"):
        return found if seen.get("error") else ["expected an error, got a result"]
    if seen.get("error"):
        return [f"unexpected error: {seen['error']}: {seen.get('text', '')}"]
    for name in expect.get("names", []):
        if name not in seen.get("names", []):
            found.append(f"{name} is not listed among {seen.get('names')}")
    for text in expect.get("text", []):
        if text not in seen.get("text", ""):
            found.append(f"{text!r} is not in {seen.get('text', '')[:200]!r}")
    for key, value in expect.get("structured", {}).items():
        if (seen.get("structured") or {}).get(key) != value:
            found.append(f"structuredContent.{key} is not {value!r} in {seen.get('structured')!r}")
    for value in expect.get("values", []):
        if value not in seen.get("values", []):
            found.append(f"{value!r} is not completed among {seen.get('values')}")
    if "progress" in expect:
        found += progress_problems(expect["progress"], seen.get("progress", []))
    for text in expect.get("logs", []):
        if not any(text in log for log in seen.get("logs", [])):
            found.append(f"{text!r} is in none of the log messages {seen.get('logs')}")
    if "cancelled" in expect and not seen.get("cancelled"):
        found.append("the call ended with a result although it was cancelled")
    return found


def progress_problems(wanted, values):
    """Progress must arrive, and must rise with every notification."""
    if len(values) < wanted:
        return [f"{len(values)} progress notifications, expected {wanted}"]
    if any(later <= earlier for earlier, later in zip(values, values[1:])):
        return [f"progress does not rise: {values}"]
    return []


def in_words(seen):
    """A short account of what was seen, for the table's reader."""
    if seen.get("error"):
        return f"{seen['error']}: {seen.get('text', '')}"[:200]
    if seen.get("names"):
        return f"{len(seen['names'])} listed"
    if seen.get("progress"):
        return f"progress {seen['progress']}"
    if seen.get("logs"):
        return f"logged {seen['logs']}"[:200]
    if seen.get("values"):
        return f"completes to {seen['values']}"
    return (seen.get("note") or seen.get("text") or "answered")[:120]


async def until_changed(change, changed):
    """Makes a change until its notification arrives. A stream that is only just opening may miss the first one."""
    import anyio

    for attempt in range(1, CHANGE_ATTEMPTS + 1):
        seen = await change()
        if seen["error"]:
            return seen
        with anyio.move_on_after(CHANGE_SECONDS):
            await changed.wait()
            return {"note": f"told of change {attempt}"}
    return {"error": "not told", "text": f"no notification after {CHANGE_ATTEMPTS} changes"}


async def until_logged(call, logs, wanted):
    """Calls until the log messages are heard, which may be a moment after the answer. A message on a pipe does not
    say which call it belongs to, so a gateway may have to drop it while other clients' calls are in flight."""
    import anyio

    for _attempt in range(CHANGE_ATTEMPTS):
        seen = await call()
        with anyio.move_on_after(CHANGE_SECONDS):
            while not seen["error"] and not all(any(text in log for log in logs) for text in wanted):
                await anyio.sleep(0.02)
            break
    return seen | {"logs": list(logs)}


async def perform(job, client, error_types):
    """Runs the steps one after another; a failed step does not stop the next one.
    What a server does not announce cannot be driven: such a step does not apply."""
    import anyio

    for step in job["steps"]:
        started = time.monotonic()
        try:
            with anyio.fail_after(step["seconds"]):
                seen = await client.do(step)
            if "not offered" in seen:
                report(job, step["step"], None, seen["not offered"], started)
                continue
        except error_types as error:
            detail = getattr(error, "error", error)
            seen = {"error": f"code {getattr(detail, 'code', None)}", "text": str(getattr(detail, "message", error))}
        except TimeoutError:
            report(job, step["step"], False, "no answer in time", started)
            continue
        except Exception as error:  # what an SDK raises on a malformed answer is its own business; it is a failure
            report(job, step["step"], False, f"{type(error).__name__}: {error}", started)
            continue
        wrong = problems(step.get("expect", {}), seen)
        report(job, step["step"], not wrong, "; ".join(wrong) or in_words(seen), started)
