"""The clients: how each is started, which era it opens with, and what it has no way to ask."""

from dataclasses import dataclass, field

REMOVED = {
    "ping": "2026-07-28 has no ping",
    "set_level": "2026-07-28 has no logging/setLevel; each request carries its own log level",
}
ONE_SHOT = {
    "ping": "the command line has no method for ping",
    "complete": "the command line has no method for completion",
    "progress": "the command line does not show progress",
    "cancel": "the command line does not cancel",
    "logs": "the command line does not show log messages",
    "changed": "the command line does not stay to be told of changes",
    "updated": "the command line does not stay to be told of updates",
    "parallel": "the command line makes one call per process",
    "unlisted": "the command line refuses a tool that is not listed before it asks the server",
}


@dataclass
class Client:
    """One client; `cannot` maps what a step needs to the reason why this client does not do it.
    A one-shot client is a process per step, which takes longer than a connection that stays. One that `starts` the
    gateway itself has it on its pipes, as desktop clients do. What is at a URL is reached over Streamable HTTP, or over
    the transport of 2024-11-05 if the client is `older`."""

    name: str
    era: str
    argv: list
    cannot: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    one_shot: bool = False
    starts: bool = False
    older: bool = False

    def command(self, job):
        """The command line with the job file in its place."""
        return [job if word is JOB else word for word in self.argv]


JOB = object()
FORGETFUL = {"memory": "directly, each of the command line's processes starts a new server, which has forgotten the last"}
NOT_IN_SESSIONS = {
    "session logs": "directly, this server has no logging/setLevel in its sessions",
    "session subscriptions": "directly, this server has no resources/subscribe in its sessions",
}


def clients(tools):
    """All clients, in the order of the table's columns."""
    python1 = [tools.python("mcp1"), tools.clients / "python1.py", JOB]
    python2 = [tools.python("mcp2"), tools.clients / "python2.py", JOB]
    typescript = [tools.node, tools.clients / "typescript.mjs", JOB, tools.node_folder]
    inspector = [tools.python("mcp2"), tools.clients / "inspector.py", JOB, tools.node, tools.inspector]
    quiet = {"MCP_INSPECTOR_SECRET_STORE": "memory"}
    return [
        Client("python-1", "legacy", python1),
        Client("python-1-sse", "legacy", python1, older=True),
        Client("python-2-legacy", "legacy", python2),
        Client("python-2-modern", "modern", python2, REMOVED),
        Client("ts-legacy", "legacy", typescript),
        Client("ts-sse", "legacy", typescript, older=True),
        Client("ts-modern", "modern", typescript, REMOVED),
        Client("python-1-stdio", "legacy", python1, starts=True),
        Client("python-2-legacy-stdio", "legacy", python2, starts=True),
        Client("python-2-modern-stdio", "modern", python2, REMOVED, starts=True),
        Client("ts-legacy-stdio", "legacy", typescript, starts=True),
        Client("ts-modern-stdio", "modern", typescript, REMOVED, starts=True),
        Client("inspector-legacy", "legacy", inspector, ONE_SHOT, quiet, one_shot=True),
        Client("inspector-modern", "modern", inspector, ONE_SHOT | REMOVED, quiet, one_shot=True),
    ]
