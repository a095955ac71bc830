"""The command line of the conformance run."""

import argparse
import sys
from pathlib import Path

from runner.children import free_port
from runner.frame import run, say
from suite import checks, compare, report
from suite.corners import DIRECT, DIRECT_LEGS, LEGS, THROUGH
from suite.install import install
from suite.programs import Gateway, build, run_clients, run_servers, start_fixture


def arguments():
    """What the user asked for."""
    parser = argparse.ArgumentParser(prog="golden-tests/conformance/run", description=__doc__)
    parser.add_argument("--corner", action="append", metavar="CORNER", help="only this corner (repeatable); `modern-http-legacy` is a modern client and a legacy upstream over HTTP, `leg-modern-legacy` the same with the suite as the upstream")
    parser.add_argument("--only", action="append", metavar="SCENARIO", help="only this scenario of the suite (repeatable)")
    parser.add_argument("--direct", action="store_true", help="no gateway: only the suite against the fixture itself")
    parser.add_argument("--gateway", type=Path, metavar="PATH", help="use this mcpc instead of building one")
    parser.add_argument("--fixture", type=Path, metavar="PATH", help="use this mcpc-fixture instead of building one")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every failure in full to this file, as Markdown")
    parser.add_argument("--keep", action="store_true", help="keep the working folder, with every check, and print its name")
    return parser.parse_args()


def main():
    options = arguments()
    known = [corner.name for corner in [*THROUGH, *LEGS]]
    for name in options.corner or []:
        if name not in known:
            raise SystemExit(f"conformance: there is no corner called {name}; there are {', '.join(known)}")
    (results, problems), seconds = run("conformance", options.keep, lambda *place: drive(options, *place))
    return conclude(options, results, problems, seconds)


def drive(options, children, folder):
    """Runs every corner that was asked for; returns the verdicts by corner, and what is wrong besides."""
    suite = install(children, say)
    fixture = options.fixture.resolve() if options.fixture else build(children, say, "mcpc-fixture")
    program = options.gateway.resolve() if options.gateway else None
    if not program and not options.direct:
        program = build(children, say, "mcpc", "--release")
    corners, legs = wanted(options, THROUGH), wanted(options, LEGS)
    impossible = compare.rows()
    results, problems = {}, []
    if corners or not legs:
        found, problems = servers(options, children, suite, fixture, program, folder, corners, impossible)
        results |= found
    if legs or not corners:
        results |= clients(options, children, suite, program, folder, legs, impossible)
    ran = {verdict.scenario for verdicts in results.values() for verdict in verdicts}
    # A misspelt name must not look like a run with nothing to do.
    problems += [f"no scenario called {name} had a check that passes directly" for name in options.only or [] if name not in ran]
    if not options.direct and not options.corner and not options.only:
        problems += [f"impossible.json: {row.scenario}: {row.check} has become possible" for row in impossible if not row.met]
    return results, problems


def wanted(options, corners):
    """The corners that were asked for."""
    if options.direct:
        return []
    return [corner for corner in corners if not options.corner or corner.name in options.corner]


def servers(options, children, suite, fixture, program, folder, corners, impossible):
    """The suite as a client: of the fixture itself, and of the gateway with the fixture behind it."""
    results, problems, baseline = {}, [], {}
    port = free_port()
    with (folder / "fixtures.log").open("a") as log:
        start_fixture(children, [fixture, "http", "--port", str(port)], port, log)
    eras = {corner.client for corner in corners} or {corner.client for corner in DIRECT}
    for corner in DIRECT:
        if corner.client in eras:
            ran = run_servers(children, suite, corner, f"http://127.0.0.1:{port}/mcp", folder, options.only)
            baseline[corner.client] = tell(corner, *ran)
            results[corner.name] = directly(corner, baseline[corner.client])
    if corners:
        upstreams = list(dict.fromkeys(corner.upstream for corner in corners))
        gateway = Gateway(children, program, fixture, folder, upstreams)
        for corner in corners:
            seen = tell(corner, *run_servers(children, suite, corner, gateway.url(corner.upstream), folder, options.only))
            results[corner.name] = compare.verdicts(corner, baseline[corner.client], seen, impossible)
        if gateway.child.poll() is not None:
            problems.append(f"the gateway ended by itself with status {gateway.child.returncode}\n{gateway.tail()}")
    return results, problems


def clients(options, children, suite, program, folder, legs, impossible):
    """The suite as a server: of the scripted client itself, and of the gateway with the scripted client before it."""
    results, baseline = {}, {}
    eras = {leg.server for leg in legs} or {leg.server for leg in DIRECT_LEGS}
    for leg in DIRECT_LEGS:
        if leg.server in eras:
            baseline[leg.server] = tell(leg, *run_clients(children, suite, leg, None, folder, options.only))
            results[leg.name] = directly(leg, baseline[leg.server])
    for leg in legs:
        seen = tell(leg, *run_clients(children, suite, leg, program, folder, options.only))
        results[leg.name] = compare.verdicts(leg, baseline[leg.server], seen, impossible)
    return results


def tell(corner, out, seconds):
    """Reads the checks of a run and says how it went."""
    seen = checks.read(out)
    passed, wrong = checks.count(seen, checks.PASSED), checks.count(seen, *checks.WRONG)
    say(f"  {corner.name}: {len(seen)} scenarios, {passed} checks passed, {wrong} wrong ({seconds:.0f} s)")
    return seen


def directly(corner, seen):
    """The verdicts on the fixture itself: everything has to pass."""
    return compare.verdicts(corner, {name: [one for one in all if one["status"] == checks.PASSED] for name, all in seen.items()}, seen, [])


def conclude(options, results, problems, seconds):
    """Prints the table and the closing line, and picks the exit status."""
    say("")
    say(report.of_corners(results))
    say("")
    for line in [*report.exclusions(results), *report.failures(results), *problems]:
        say(line)
    if options.report:
        options.report.write_text(report.markdown(results), encoding="utf-8")
    everything = [verdict for verdicts in results.values() for verdict in verdicts]
    passed, failed = report.total(everything, "passed"), report.total(everything, "failed") + len(problems)
    say(f"{seconds:.0f} s")
    say(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


sys.exit(main())
