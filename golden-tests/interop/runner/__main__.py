"""The command line of the interop run."""

import argparse
import dataclasses
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runner import framing, hook, plays, table
from runner.cells import Cell, Result
from runner.clients import FORGETFUL, NOT_IN_SESSIONS
from runner.clients import clients as all_clients
from runner.frame import run, say
from runner.gateway import Gateway, build
from runner.install import cache_folder, install
from runner.upstreams import start_http, upstreams

ALL, HOOK, FRAMING = "all", "hook", framing.ROW
# The memory server reads its file, changes the graph and writes the file, without a lock: of two calls at once that
# add to the graph, one is lost, with or without a gateway. So one client at a time may add.
ADDING = threading.Lock()


def arguments():
    """What the user asked for."""
    parser = argparse.ArgumentParser(prog="golden-tests/interop/run", description=__doc__)
    parser.add_argument("--only", action="append", metavar="SERVER", help="only this server (repeatable); `all` is the merged endpoint, `hook` the pre-commit trial, `framing` what parsers of other people take from raw requests")
    parser.add_argument("--client", action="append", metavar="CLIENT", help="only this client (repeatable)")
    parser.add_argument("--gateway", type=Path, metavar="PATH", help="use this mcpc instead of building one")
    parser.add_argument("--direct", action="store_true", help="no gateway: each client drives each server itself")
    parser.add_argument("--skip-hook", action="store_true", help="leave the pre-commit trial out")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="cells run at once (default 2)")
    parser.add_argument("--keep", action="store_true", help="keep the working folder and print its name")
    parser.add_argument("--verbose", action="store_true", help="print every step")
    return parser.parse_args()


def main():
    options = arguments()
    (results, servers, clients), seconds = run("interop", options.keep, lambda *place: drive(options, *place))
    return conclude(results, servers, clients, seconds)


def drive(options, children, folder):
    """Runs every cell that was asked for; returns the results and the table's rows and columns."""
    tools = install(children, say)
    environment = dict(os.environ) | {"NO_COLOR": "1"}
    environment.pop("PYTHONPATH", None)  # the clients' interpreters must see their own packages only
    wanted = [client for client in all_clients(tools) if not options.client or client.name in options.client]
    program = options.gateway.resolve() if options.gateway else None
    if not program and not options.direct:
        program = build(children, say)
    servers = upstreams(tools, folder, program)
    rows = [server.name for server in servers] + ([] if options.direct else [ALL, FRAMING, HOOK])
    check_names(options.only, rows, "server")
    check_names(options.client, [client.name for client in all_clients(tools)], "client")
    if options.only:
        rows = [row for row in rows if row in options.only]
    else:
        left_out = {HOOK} if options.skip_hook else set()
        left_out |= {HOOK, FRAMING} if options.client else set()
        rows = [row for row in rows if row not in left_out]
    if options.direct:
        wanted = [client for client in wanted if not client.starts]
    columns = [client.name for client in wanted]
    with (folder / "servers.log").open("w") as log:
        for server in servers:
            if server.argv:
                start_http(children, server, log, environment)
    if options.direct:
        cells = direct_cells(servers, rows, wanted)
        return run_cells(options, children, folder, environment, cells), rows, columns
    results = []
    if set(rows) - {HOOK, FRAMING}:
        results += through_gateway(options, children, folder, environment, Gateway(program, folder, servers), servers, rows, wanted)
        rows, columns = [*rows, "gateway"], [*columns, "operator"]
    if FRAMING in rows:
        compared = framing.trial(children, tools, program, folder)
        results += compared
        rows, columns = [row for row in rows if row != FRAMING] + [FRAMING], [*columns, *framing.COLUMNS]
        tell(compared, options.verbose)
    if HOOK in rows:
        trial = list(hook.trial(children, tools, program, folder))
        results += [Result("pre-commit", HOOK, *line) for line in trial]
        rows, columns = [row for row in rows if row != HOOK] + [HOOK], [*columns, "pre-commit"]
        tell(results[-len(trial):], options.verbose)
    return results, rows, columns


def through_gateway(options, children, folder, environment, gateway, servers, rows, wanted):
    """Starts the gateway, runs the cells through it and stops it, which is the operator's own check."""
    gateway.start(children, environment)
    say("gateway: ready")
    cells = gateway_cells(gateway, servers, rows, wanted)
    results = run_cells(options, children, folder, environment, cells)
    results += [Result("operator", "gateway", *line) for line in gateway.stop(children)]
    if any(result.ok is False for result in results):
        say(f"the end of the gateway's log:\n{gateway.tail()}")
    return results


def check_names(asked, known, what):
    """A misspelt name must not look like a run with nothing to do."""
    for name in asked or []:
        if name not in known:
            raise SystemExit(f"interop: there is no {what} called {name}; there are {', '.join(known)}")


def gateway_cells(gateway, servers, rows, clients):
    """Every client at every endpoint of the gateway, whatever era the server behind it speaks."""
    endpoints = [(server.name, f"/{server.name}", plays.steps_of(server.play)) for server in servers]
    endpoints.append((ALL, "/mcp", plays.merged(servers)))
    for name, path, steps in endpoints:
        if name in rows:
            for client in clients:
                cell = Cell(client, name, gateway.target(client, name, path), steps)
                if name in ("memory", ALL):
                    cell.alone = ADDING
                yield cell


def direct_cells(servers, rows, clients):
    """Every client at every server itself; without a gateway, the eras of the two must meet."""
    for server in servers:
        if server.name in rows:
            for client in clients:
                cell = Cell(client, server.name, server.target, plays.steps_of(server.play))
                if server.name == "memory":
                    cell.alone = ADDING
                if client.era == "modern" and not server.modern:
                    cell.reason = "directly, this server speaks no revision the client opens with"
                elif "url" in server.target and client.older != server.older:
                    cell.reason = "directly, this server does not have the transport of the client"
                if client.era == "legacy":
                    cell.cannot |= NOT_IN_SESSIONS
                if client.one_shot and "command" in server.target:
                    cell.cannot |= FORGETFUL
                yield cell


def run_cells(options, children, folder, environment, cells):
    """Runs the cells, a few at once, and reports on each as its turn comes."""
    results = []
    with ThreadPoolExecutor(max_workers=max(1, options.jobs)) as pool:
        try:
            for of_cell in pool.map(lambda cell: cell.run(children, folder, environment), list(cells)):
                tell(of_cell, options.verbose)
                results += of_cell
        except BaseException:
            children.close()  # or the pool would wait for the cells at work to run to their ends
            raise
    return results


def tell(of_cell, every_step):
    """One line for a finished cell, and one for each of its steps if wanted."""
    first = of_cell[0]
    say(f"  {first.server} x {first.client}: {table.cell(of_cell)}")
    for result in of_cell if every_step else []:
        word = {True: "ok", False: "FAILED", None: "n/a"}[result.ok]
        say(f"    {word:6} {result.step}: {result.detail}")


def conclude(results, servers, clients, seconds):
    """Prints the table and the closing line, keeps every line for later, and picks the exit status."""
    lines = "\n".join(json.dumps(dataclasses.asdict(result)) for result in results)
    (cache_folder() / "interop-last.jsonl").write_text(lines + "\n", encoding="utf-8")
    played = {result.client for result in results}
    say("")
    say(table.table(results, servers, [client for client in clients if client in played]))
    say("")
    for line in table.exclusions(results) + table.failures(results):
        say(line)
    passed = sum(result.ok is True for result in results)
    failed = sum(result.ok is False for result in results)
    say(f"{seconds:.0f} s")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())
