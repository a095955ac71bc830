"""The servers: how each is started, and the folder with the files and the repository they work on.

Owns: commands and what they need on disk. Does not: start stdio servers (the gateway does, or the client in a
direct run) or know what is asked of them (`plays`).
"""

from dataclasses import dataclass, field

from runner.children import free_port, wait_for_port
from runner.install import git

START_SECONDS = 30


@dataclass
class Upstream:
    """One server: its name, its play, how to reach it, and whether it speaks the stateless era, or at its
    URL nothing but the transport of 2024-11-05."""

    name: str
    play: str
    target: dict
    modern: bool
    argv: list = field(default_factory=list)
    env: dict = field(default_factory=dict)
    older: bool = False


def upstreams(tools, folder, program):
    """All servers, their working files made. Those with `argv` are HTTP servers, to be started beforehand.
    The two that ship with `mcpc` are there if its program is."""
    files, repo = make_files(folder), make_repository(folder)
    node, everything = str(tools.node), str(tools.server("server-everything"))
    everything_port, everything_sse_port, sdk_port = free_port(), free_port(), free_port()
    shipped = [
        Upstream(f"demo-{name}", f"demo-{name}", {"command": str(program), "args": ["demo", name]}, modern=True)
        for name in ("notes", "clock")
        if program
    ]
    return [
        Upstream("everything", "everything", {"command": node, "args": [everything, "stdio"]}, modern=False),
        Upstream(
            "everything-http",
            "everything",
            {"url": f"http://127.0.0.1:{everything_port}/mcp"},
            modern=False,
            argv=[node, everything, "streamableHttp"],
            env={"PORT": str(everything_port)},
        ),
        Upstream(
            "everything-sse",
            "everything",
            {"url": f"http://127.0.0.1:{everything_sse_port}/sse"},
            modern=False,
            argv=[node, everything, "sse"],
            env={"PORT": str(everything_sse_port)},
            older=True,
        ),
        Upstream(
            "filesystem",
            "filesystem",
            {"command": node, "args": [str(tools.server("server-filesystem")), str(files)]},
            modern=False,
        ),
        Upstream(
            "memory",
            "memory",
            {
                "command": node,
                "args": [str(tools.server("server-memory"))],
                "env": {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")},
            },
            modern=False,
        ),
        Upstream(
            "time",
            "time",
            {"command": str(tools.script("mcp2", "mcp-server-time")), "args": ["--local-timezone", "UTC"]},
            modern=True,
        ),
        Upstream(
            "git",
            "git",
            {"command": str(tools.script("mcp2", "mcp-server-git")), "args": ["--repository", str(repo)]},
            modern=True,
        ),
        Upstream(
            "sdk-server",
            "sdk-server",
            {"url": f"http://127.0.0.1:{sdk_port}/mcp"},
            modern=True,
            argv=[str(tools.python("mcp2")), str(tools.servers / "sdk_server.py"), str(sdk_port)],
        ),
        *shipped,
    ]


def start_http(children, server, log, environment):
    """Starts an HTTP server and waits for its port."""
    child = children.start(server.argv, stdout=log, stderr=log, env=environment | server.env)
    port = int(server.target["url"].rpartition(":")[2].partition("/")[0])
    if not wait_for_port(child, port, START_SECONDS):
        raise SystemExit(f"interop: {server.name} did not open its port")


def make_files(folder):
    """The folder that the filesystem server may read and write."""
    files = folder / "files"
    files.mkdir()
    (files / "hello.txt").write_text("hello from a file\n")
    (files / "large.txt").write_text("".join(f"line {number} of the large file\n" for number in range(20_000)))
    return files


def make_repository(folder):
    """A repository with one commit, for the git server."""
    repo = folder / "repo"
    repo.mkdir()
    (repo / "README.md").write_text("A repository for the play.\n")
    git("init", "--quiet", cwd=repo)
    git("add", ".", cwd=repo)
    git("commit", "--quiet", "-m", "First commit of the play", cwd=repo)
    return repo
