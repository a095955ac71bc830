"""What the suite's client command runs: one scenario, played against the server that the suite started.

With a gateway, the gateway stands between the two. The scripted client then does nothing that a gateway has to do
for its clients: it calls every tool that is listed, for leaving out the invalid ones is up to who speaks HTTP upstream.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from runner.children import Children, free_port, wait_for_ok
from suite.corners import configuration
from suite.wire import Legacy, Modern

START_SECONDS = 20
TOKEN = set("!#$%&'*+-.^_`|~") | set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def main(era, program, url):
    """Plays the scenario that the environment names."""
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    client = {"legacy": Legacy, "modern": Modern}[era]
    if program == "direct":
        return play(scenario, client(url), careful=True)
    with Children() as children, tempfile.TemporaryDirectory(prefix="mcpc-play-") as folder:
        port, admin = free_port(), free_port()
        config = Path(folder) / "mcpc.yaml"
        revision = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
        upstream = {"url": url, "era": "modern" if revision >= "2026" else "legacy"}
        config.write_text(configuration({"upstream": upstream}, port, admin), encoding="utf-8")
        gateway = children.start([program, "run", config], stdout=sys.stderr, stderr=sys.stderr)
        problem = wait_for_ok(gateway, f"http://127.0.0.1:{admin}/readyz", START_SECONDS)
        if problem:
            raise SystemExit(f"the gateway is not ready: {problem}")
        return play(scenario, client(f"http://127.0.0.1:{port}/upstream"), careful=False)


def play(scenario, client, careful):
    """Connects, lists, and calls what there is to call."""
    offered = client.connect()["capabilities"]
    tools = client.request("tools/list")["tools"]
    if careful:
        tools = [tool for tool in tools if is_valid(tool.get("inputSchema", {}))]
    client.schemas = {tool["name"]: tool.get("inputSchema", {}) for tool in tools}
    for name, arguments in calls(scenario, tools):
        between = lambda: None
        if name == "test_mrtr_echo_state":
            # Another call in the middle of a conversation must not carry its answers.
            between = lambda: client.request("tools/call", {"name": "test_mrtr_unrelated", "arguments": {}})
        client.call("tools/call", {"name": name, "arguments": arguments}, between)
    if "resources" in offered:
        for resource in client.request("resources/list").get("resources", []):
            client.call("resources/read", {"uri": resource["uri"]})
    if "prompts" in offered:
        for prompt in client.request("prompts/list").get("prompts", []):
            client.call("prompts/get", {"name": prompt["name"]})


def calls(scenario, tools):
    """The calls of a scenario: those that the suite gives, or one of each tool."""
    given = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")).get("toolCalls")
    if given:
        return [(call["name"], call["arguments"]) for call in given]
    names = [tool["name"] for tool in tools]
    arguments = {"add_numbers": {"a": 5, "b": 3}}
    if "json_schema_echo" in names:
        arguments["json_schema_echo"] = {"schema": next(tool["inputSchema"] for tool in tools if tool["name"] != "json_schema_echo")}
    if scenario == "json-schema-ref-no-deref":
        return []
    return [(name, arguments.get(name, {})) for name in names if name != "test_mrtr_unrelated"]


def is_valid(schema):
    """Whether every header that a schema asks for can be sent (SEP-2243)."""
    seen = set()
    for field in schema.get("properties", {}).values():
        if "x-mcp-header" in field:
            name = field["x-mcp-header"]
            ok = isinstance(name, str) and name and set(name) <= TOKEN and name.lower() not in seen
            if not ok or field.get("type") not in ("string", "integer", "boolean"):
                return False
            seen.add(name.lower())
    return True


sys.exit(main(*sys.argv[1:]))
