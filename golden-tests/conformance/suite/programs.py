"""The programs under test: the fixture, the gateway, and how they are built, started and stopped."""

import json
import subprocess
import time
from pathlib import Path

from runner.children import free_port, wait_for_ok, wait_for_port
from suite.corners import UPSTREAMS, configuration

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD_SECONDS = 1800
START_SECONDS = 60


def build(children, say, package, *options):
    """Builds a program of this repository and returns it."""
    say(f"build: cargo build -p {package} {' '.join(options)}".rstrip())
    argv = ["cargo", "build", "--locked", "-p", package, *options, "--message-format=json-render-diagnostics"]
    status, out, err = children.run(argv, BUILD_SECONDS, cwd=REPOSITORY)
    if status != 0:
        raise SystemExit(f"conformance: {package} does not build\n{err}")
    for line in out.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == package and message.get("executable"):
            return Path(message["executable"])
    raise SystemExit(f"conformance: cargo built no program called {package}")


def start_fixture(children, argv, port, log):
    """Starts a fixture on HTTP and waits for its port."""
    child = children.start(argv, stdout=log, stderr=log)
    if not wait_for_port(child, port, START_SECONDS):
        raise SystemExit("conformance: the fixture did not open its port")
    return child


class Gateway:
    """A gateway with a fixture of its own behind each endpoint."""

    def __init__(self, children, program, fixture, folder, upstreams=UPSTREAMS):
        self.log = folder / "gateway.log"
        self.port, self.admin = free_port(), free_port()
        targets = {}
        with (folder / "fixtures.log").open("a") as log:
            for upstream in upstreams:
                port = None if upstream.transport == "stdio" else free_port()
                if port:
                    start_fixture(children, upstream.argv(fixture, port), port, log)
                targets[upstream.name] = upstream.target(fixture, port)
        config = folder / "mcpc.yaml"
        config.write_text(configuration(targets, self.port, self.admin), encoding="utf-8")
        with self.log.open("w") as log:
            self.child = children.start([program, "run", config], stdout=log, stderr=subprocess.STDOUT)
        problem = wait_for_ok(self.child, f"http://127.0.0.1:{self.admin}/readyz", START_SECONDS)
        if problem:
            raise SystemExit(f"conformance: the gateway is not ready: {problem}\n{self.tail()}")

    def url(self, upstream):
        """The address of the endpoint with this upstream."""
        return f"http://127.0.0.1:{self.port}/{upstream.name}"

    def tail(self):
        """The end of the gateway's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


def run_suite(children, suite, corner, url, folder, only):
    """Runs the suite once and returns the folder with its results, and what it printed."""
    out = folder / corner.name
    started = time.monotonic()
    runs = [["--requirements", corner.revision]]
    if only:
        runs = [["--scenario", scenario, "--spec-version", corner.revision] for scenario in only]
    printed = ""
    for run in runs:
        argv = suite.command("server", "--url", url, *run, "-o", out)
        status, output, err = children.run(argv, 600)
        if status is None:
            raise SystemExit(f"conformance: the suite did not end in 600 s on {corner.name}\n{output[-2000:]}")
        printed += output + err
    out.mkdir(exist_ok=True)
    (out / "printed.log").write_text(printed)
    return out, time.monotonic() - started
