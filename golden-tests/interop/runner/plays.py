"""The plays: what a client asks a server, read from `plays/*.json`.

Owns: filling in names and paths, and the play of the endpoint that has every server behind it.
A step may name in `needs` what else a client must be able to do for the step to make sense.
Does not: judge answers (the clients do) or decide what a client cannot do (`clients` says that).
"""

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "plays"
LISTS = ("list_tools", "list_prompts", "list_resources", "list_templates")
SAMPLED = ("call", "prompt", "read", "complete")
NAMED = ("call", "prompt", "progress", "cancel", "parallel", "logs", "changed", "updated")


def steps_of(play):
    """The steps of one server's play."""
    return json.loads((FOLDER / f"{play}.json").read_text(encoding="utf-8"))


def filled(steps, words):
    """The steps with every `{word}` of `words` replaced, in any text at any depth."""
    if isinstance(steps, str):
        for word, value in words.items():
            steps = steps.replace("{" + word + "}", value)
        return steps
    if isinstance(steps, list):
        return [filled(item, words) for item in steps]
    if isinstance(steps, dict):
        return {key: filled(value, words) for key, value in steps.items()}
    return steps


def merged(servers):
    """The play of the endpoint with all servers: every list holds every server's names, and each server answers
    the first step of each kind of its own play under its prefixed names."""
    lists = {verb: [] for verb in LISTS}
    sampled = []
    for server in servers:
        kinds = set()
        for step in steps_of(server.play):
            prefixed = with_prefix(step, f"{server.name}__")
            if step["do"] in lists:
                lists[step["do"]] += prefixed["expect"]["names"]
            elif step["do"] in SAMPLED and step["do"] not in kinds and not step.get("expect", {}).get("error"):
                kinds.add(step["do"])
                sampled.append(prefixed | {"step": f"{server.name}: {step['step']}"})
    heads = [{"step": "connect", "do": "connect"}]
    heads += [{"step": f"merged {verb}", "do": verb, "expect": {"names": names}} for verb, names in lists.items() if names]
    tails = [
        {"step": "unknown tool", "do": "call", "name": "no_such_tool", "needs": "unlisted", "expect": {"error": True}},
        {"step": "ping", "do": "ping"},
    ]
    return heads + sampled + tails


def with_prefix(step, prefix):
    """The step as a client of the merged endpoint asks it: tools and prompts carry the prefix, URIs do not."""
    step = json.loads(json.dumps(step))
    if step["do"] in NAMED:
        step["name"] = prefix + step["name"]
    if "name" in step.get("ref", {}):
        step["ref"]["name"] = prefix + step["ref"]["name"]
    if step["do"] in ("list_tools", "list_prompts"):
        step["expect"]["names"] = [prefix + name for name in step["expect"]["names"]]
    return step


def split(steps, cannot):
    """The steps a client can do, and (step, reason) for those it cannot."""
    able, unable = [], []
    for step in steps:
        reason = cannot.get(step["do"]) or cannot.get(step.get("needs"))
        if reason:
            unable.append((step["step"], reason))
        else:
            able.append(step)
    return able, unable
