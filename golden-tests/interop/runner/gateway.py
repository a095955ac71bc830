"""The gateway under test: its configuration, its start, its end.

The configuration has one endpoint with every server behind it and one endpoint for each server alone.
"""

import json
import signal
import subprocess
import time
from pathlib import Path

from runner.children import descendants, free_port, still_running, wait_for_ok

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD_SECONDS = 1800
READY_SECONDS = 60
STOP_SECONDS = 20
# A gateway that starts with its client starts every server anew, which takes long where many do so at once.
PATIENT = {"timeouts": {"connect": "30s", "list": "60s"}}


def build(children, say):
    """Builds the gateway with optimisations and returns the program."""
    say("gateway: cargo build --release -p mcpc")
    argv = ["cargo", "build", "--release", "--locked", "-p", "mcpc", "--message-format=json-render-diagnostics"]
    status, out, err = children.run(argv, BUILD_SECONDS, cwd=REPOSITORY)
    if status != 0:
        raise SystemExit(f"interop: the gateway does not build\n{err}")
    for line in out.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "mcpc" and message.get("executable"):
            return Path(message["executable"])
    raise SystemExit("interop: cargo built no program called mcpc")


class Gateway:
    """One running gateway."""

    def __init__(self, program, folder, servers):
        self.program = program
        self.log = folder / "gateway.log"
        self.config = folder / "mcpc.yaml"
        self.port, self.admin = free_port(), free_port()
        self.config.write_text(configuration(servers, self.port, self.admin), encoding="utf-8")
        self.folder, self.servers = folder, servers

    def target(self, client, name, path):
        """How a client reaches an endpoint: its address, or the command that serves it on standard input and output."""
        if not client.starts:
            return {"url": f"http://127.0.0.1:{self.port}{path}"}
        config = self.folder / f"stdio.{name}.yaml"
        if not config.exists():
            behind = [server for server in self.servers if name in (server.name, "all")]
            config.write_text(configuration(behind, 0, 0, PATIENT), encoding="utf-8")
        return {"command": str(self.program), "args": ["run", "--stdio", "--endpoint", name, str(config)]}

    def started_by_clients(self):
        """The gateways of clients that still run, which they should not: (pid, command line)."""
        for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = cmdline.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "--stdio" in words and any(word.startswith(f"{self.folder}/stdio.") for word in words):
                yield int(cmdline.parent.name), " ".join(words)

    def start(self, children, environment):
        """Starts `mcpc run` and waits until it says it is ready."""
        log = self.log.open("w")
        argv = [self.program, "run", self.config]
        self.child = children.start(argv, stdout=log, stderr=subprocess.STDOUT, env=environment)
        problem = wait_for_ok(self.child, f"http://127.0.0.1:{self.admin}/readyz", READY_SECONDS)
        if problem:
            raise SystemExit(f"interop: the gateway is not ready: {problem}\n{self.tail()}")

    def stop(self, children):
        """Asks the gateway to end and tells what was wrong with how it did: (step, ok, detail) lines."""
        below = descendants(self.child.pid)
        alive = self.child.poll() is None
        yield "runs to the end", alive, "running" if alive else f"ended by itself with status {self.child.returncode}"
        started = time.monotonic()
        if alive:
            self.child.send_signal(signal.SIGTERM)
        try:
            status = self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        seconds = time.monotonic() - started
        yield "ends on SIGTERM with status 0", status == 0, f"status {status} after {seconds:.1f} s"
        left = still_running(below)
        yield "leaves no child behind", not left, f"{len(below)} children, {len(left)} left"
        stayed = list(self.started_by_clients())
        yield "ends with the client that started it", not stayed, f"{len(stayed)} left"
        children.stop(self.child)

    def tail(self):
        """The end of the gateway's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


def configuration(servers, port, admin, more=None):
    """The gateway's configuration as text, with `more` for every server; the values are JSON, which YAML contains."""
    lines = ["# Written by the interop run.", "version: 1"]
    lines.append(f"listen: {json.dumps({'address': f'127.0.0.1:{port}'})}")
    lines.append(f"admin: {json.dumps({'address': f'127.0.0.1:{admin}'})}")
    lines.append("servers:")
    lines += [f"  {server.name}: {json.dumps(server.target | (more or {}))}" for server in servers]
    lines.append("endpoints:")
    lines.append(f"  all: {json.dumps({'path': '/mcp', 'prefix': '{server}__'})}")
    for server in servers:
        alone = {"path": f"/{server.name}", "servers": [server.name], "prefix": ""}
        lines.append(f"  {server.name}: {json.dumps(alone)}")
    return "\n".join(lines) + "\n"
