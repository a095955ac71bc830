"""The corners: which era the suite speaks, which era the upstream is, and how the upstream is reached.

Owns names and the upstreams' configuration. A forced era meets a server that knows no other, so that a gateway
that takes the wrong one is found out; `auto` meets a server that knows both.
"""

import json
from dataclasses import dataclass
from pathlib import Path

REVISIONS = {"legacy": "2025-11-25", "modern": "2026-07-28"}


@dataclass(frozen=True)
class Upstream:
    """One fixture process behind the gateway; `port` only where it is reached over HTTP."""

    name: str
    transport: str
    era: str

    def argv(self, fixture: Path, port):
        """The command that serves it over HTTP."""
        return [fixture, "--eras", self.eras, "http", "--port", str(port)]

    @property
    def eras(self):
        """What the server itself is told to know."""
        return "dual" if self.era == "auto" else self.era

    def target(self, fixture: Path, port):
        """How the gateway reaches it: the server's entry in the configuration."""
        if self.transport == "stdio":
            return {"command": str(fixture), "args": ["--eras", self.eras, "stdio"], "era": self.era}
        # At its other address the fixture has the transport of 2024-11-05 and nothing else.
        path = "sse" if self.transport == "sse" else "mcp"
        return {"url": f"http://127.0.0.1:{port}/{path}", "era": self.era}


@dataclass(frozen=True)
class Corner:
    """One run of the suite: the era that it speaks, and what it speaks to. Without an upstream it is the fixture itself."""

    client: str
    upstream: Upstream | None

    @property
    def name(self):
        """What the corner is called on the command line and in tables."""
        return f"{self.client}-{self.upstream.name if self.upstream else 'direct'}"

    @property
    def revision(self):
        """The revision whose requirements the suite checks."""
        return REVISIONS[self.client]


@dataclass(frozen=True)
class Leg:
    """One run of the suite's client scenarios: the era of the scripted client, and the era of the suite's servers."""

    client: str
    server: str
    is_direct: bool = False

    @property
    def name(self):
        """What the leg is called on the command line and in tables."""
        return f"leg-{self.client}-{'direct' if self.is_direct else self.server}"

    @property
    def revision(self):
        """The revision that the suite's servers speak."""
        return REVISIONS[self.server]

    @property
    def scenarios(self):
        """The scenarios; those of authorization are left out, for they name the server that a gateway hides."""
        return SCENARIOS[self.server]


SCENARIOS = {
    "legacy": ["initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", "json-schema-2020-12-preservation"],
    "modern": [
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "json-schema-2020-12-preservation",
    ],
}
UPSTREAMS = [Upstream(f"{transport}-{era}", transport, era) for transport in ("http", "stdio") for era in ("auto", "legacy", "modern")]
UPSTREAMS.append(Upstream("sse-legacy", "sse", "legacy"))
DIRECT = [Corner(client, None) for client in REVISIONS]
THROUGH = [Corner(client, upstream) for upstream in UPSTREAMS for client in REVISIONS]
DIRECT_LEGS = [Leg(era, era, is_direct=True) for era in REVISIONS]
LEGS = [Leg(client, server) for server in REVISIONS for client in REVISIONS]


def configuration(targets, port, admin):
    """The gateway's configuration as text: an endpoint for each upstream, without a prefix. YAML contains JSON."""
    lines = ["# Written by the conformance run.", "version: 1"]
    lines.append(f"listen: {json.dumps({'address': f'127.0.0.1:{port}'})}")
    lines.append(f"admin: {json.dumps({'address': f'127.0.0.1:{admin}'})}")
    lines.append("servers:")
    lines += [f"  {name}: {json.dumps(target)}" for name, target in targets.items()]
    lines.append("endpoints:")
    for name in targets:
        lines.append(f"  {name}: {json.dumps({'path': f'/{name}', 'servers': [name], 'prefix': ''})}")
    return "\n".join(lines) + "\n"
