"""The command line of the conformance run."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from runner.children import Children, free_port
from suite import checks, compare, report
from suite.corners import DIRECT, THROUGH
from suite.install import install
from suite.programs import Gateway, build, run_suite, start_fixture


def say(text):
    """Prints at once, so that a long run can be followed."""
    print(text, flush=True)


def arguments():
    """What the user asked for."""
    parser = argparse.ArgumentParser(prog="golden-tests/conformance/run", description=__doc__)
    parser.add_argument("--corner", action="append", metavar="CORNER", help="only this corner (repeatable); `modern-http-legacy` is a modern client and a legacy upstream over HTTP")
    parser.add_argument("--only", action="append", metavar="SCENARIO", help="only this scenario of the suite (repeatable)")
    parser.add_argument("--direct", action="store_true", help="no gateway: only the suite against the fixture itself")
    parser.add_argument("--gateway", type=Path, metavar="PATH", help="use this mcpc instead of building one")
    parser.add_argument("--fixture", type=Path, metavar="PATH", help="use this mcpc-fixture instead of building one")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write every failure in full to this file, as Markdown")
    parser.add_argument("--keep", action="store_true", help="keep the working folder, with every check, and print its name")
    return parser.parse_args()


def main():
    options = arguments()
    known = [corner.name for corner in THROUGH]
    for name in options.corner or []:
        if name not in known:
            raise SystemExit(f"conformance: there is no corner called {name}; there are {', '.join(known)}")
    # A plain TERM would end the run without stopping what it started; a shell's background job ignores INT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="mcpc-conformance-"))
    started = time.monotonic()
    try:
        with Children() as children:
            results, problems = drive(options, children, folder)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        if options.keep:
            say(f"working folder: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return conclude(options, results, problems, time.monotonic() - started)


def drive(options, children, folder):
    """Runs every corner that was asked for; returns the verdicts by corner, and what is wrong besides."""
    suite = install(children, say)
    fixture = options.fixture.resolve() if options.fixture else build(children, say, "mcpc-fixture")
    through = [] if options.direct else [corner for corner in THROUGH if not options.corner or corner.name in options.corner]
    wanted = {corner.client for corner in through} or {corner.client for corner in DIRECT}
    baseline = {}
    results, problems = {}, []
    port = free_port()
    with (folder / "fixtures.log").open("a") as log:
        start_fixture(children, [fixture, "http", "--port", str(port)], port, log)
    for corner in DIRECT:
        if corner.client in wanted:
            baseline[corner.client] = run(options, children, suite, corner, f"http://127.0.0.1:{port}/mcp", folder)
            results[corner.name] = directly(corner, baseline[corner.client])
    if through:
        program = options.gateway.resolve() if options.gateway else build(children, say, "mcpc", "--release")
        upstreams = list(dict.fromkeys(corner.upstream for corner in through))
        gateway = Gateway(children, program, fixture, folder, upstreams)
        impossible = compare.rows()
        for corner in through:
            seen = run(options, children, suite, corner, gateway.url(corner.upstream), folder)
            results[corner.name] = compare.verdicts(corner, baseline[corner.client], seen, impossible)
        if not options.corner and not options.only:
            problems += [f"nothing needs this row of impossible.json any more: {row}" for row in impossible if not row.get("used")]
        if gateway.child.poll() is not None:
            problems.append(f"the gateway ended by itself with status {gateway.child.returncode}\n{gateway.tail()}")
    return results, problems


def run(options, children, suite, corner, url, folder):
    """One run of the suite, its checks read."""
    out, seconds = run_suite(children, suite, corner, url, folder, options.only)
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
