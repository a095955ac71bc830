"""The programs under test: the fixture, the gateway, and how they are built, started and stopped."""

import json
import subprocess
import sys
import time
from pathlib import Path

from runner.children import free_port, wait_for_ok, wait_for_port
from suite.corners import UPSTREAMS, configuration

REPOSITORY = Path(__file__).resolve().parents[3]
BUILD_SECONDS = 1800
START_SECONDS = 60
SUITE_SECONDS = 600


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


def run_servers(children, suite, corner, url, folder, only):
    """Runs the suite's server scenarios once against an address."""
    runs = [["--requirements", corner.revision]]
    if only:
        runs = [["--scenario", scenario, "--spec-version", corner.revision] for scenario in only]
    return run_suite(children, suite, corner, folder, [["server", "--url", url, *run] for run in runs])


def run_clients(children, suite, leg, program, folder, only):
    """Runs the suite's client scenarios once, the scripted client being what is tested: with the gateway before it."""
    command = f"{sys.executable} -m suite.play {leg.client} {program or 'direct'}"
    scenarios = [scenario for scenario in leg.scenarios if not only or scenario in only]
    one = ["client", "--command", command, "--spec-version", leg.revision, "--scenario"]
    return run_suite(children, suite, leg, folder, [[*one, scenario, "--verbose"] for scenario in scenarios])


def run_suite(children, suite, corner, folder, runs):
    """Runs the suite and returns the folder with its results, and how long that took."""
    out = folder / corner.name
    out.mkdir()
    started = time.monotonic()
    with (out / "printed.log").open("w") as log:
        for run in runs:
            status, output, err = children.run(suite.command(*run, "-o", out), SUITE_SECONDS)
            if status is None:
                raise SystemExit(f"conformance: the suite did not end in {SUITE_SECONDS} s on {corner.name}\n{output[-2000:]}")
            log.write(output + err)
    return out, time.monotonic() - started
