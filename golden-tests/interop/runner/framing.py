"""The framing trial: raw requests to the gateway and to parsers of other people, and what each takes from them.

Owns the comparison. The requests, and the reasons for which the gateway differs, are a table that the tests of the
gateway's own parser read as well: `golden-tests/framing/requests.json`. Behind every connection's bytes goes one more
request, so that who reads a body's end elsewhere shows it. A difference without a reason has failed, and so has a
reason without a difference.
"""

import base64
import json
import re
import socket
import subprocess

from runner.cells import Result
from runner.children import free_port, wait_for_port
from runner.gateway import REPOSITORY

TABLE = REPOSITORY / "golden-tests" / "framing" / "requests.json"
CANARY = b"GET /canary HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSALS = {"MCPC9010", "MCPC9011"}  # the framing is not sound, the head is too large
READY_SECONDS = 60
PARSERS_SECONDS = 300
REPLY_SECONDS = 5
AFTER_SECONDS = 0.1
ROW = "framing"
PARSERS = ("h11", "llhttp", "llhttp-lenient")
COLUMNS = ("mcpc", *PARSERS)


def trial(children, tools, program, folder):
    """Runs every connection through the gateway and the parsers; returns the results."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    rows = table["good"] + table["bad"]
    streams = [stream(row) for row in rows]
    ours = through_gateway(children, program, folder, rows, streams)
    results = [Result("mcpc", ROW, name(row), *judged(row, *mine)) for row, mine in zip(rows, ours)]
    connections = folder / "connections.json"
    connections.write_text(json.dumps([base64.b64encode(data).decode() for data in streams]))
    used = set()
    for parser, command in zip(PARSERS, commands(tools, connections)):
        status, out, err = children.run(command, PARSERS_SECONDS)
        if status != 0:
            results.append(Result(parser, ROW, "reads the connections", False, f"status {status}: {err.strip()[-300:]}"))
            continue
        for row, mine, theirs in zip(rows, ours, json.loads(out), strict=True):
            ok, detail, reason = compared(table, parser, row, mine[0], [body for _, _, body in theirs])
            used.add(reason)
            results.append(Result(parser, ROW, name(row), ok, detail))
    unused = sorted(written(table) - used)
    results.append(Result("mcpc", ROW, "every reason is needed", not unused, "; ".join(map(str, unused)) or "they are"))
    return results


def commands(tools, connections):
    """How each parser is run."""
    folder = tools.clients.parent / "parsers"
    yield [tools.python("mcp1"), folder / "h11_parser.py", connections]
    yield [tools.node, folder / "llhttp.mjs", connections, "strict"]
    yield [tools.node, folder / "llhttp.mjs", connections, "lenient"]


def stream(row):
    """The bytes of one connection. A declared type makes the gateway read a body before it judges anything else."""
    text = (row.get("before", "") + row["text"]).encode()
    return re.sub(rb"\A(POST [^\r\n]*\r\nHost: a\r\n)", rb"\1Content-Type: application/json\r\n", text) + CANARY


def name(row):
    """A row as a step: its text, without what is long."""
    return json.dumps((row.get("before", "") + row["text"]).replace("HTTP/1.1\r\nHost: a\r\n", ".. "))


def bodies(row):
    """The bodies that are on a good connection, the last request's included, unless it ends before that."""
    return row["bodies"] + ([] if "ends" in row else [""])


def judged(row, taken, is_refused):
    """Whether the gateway did what the table says."""
    detail = f"{taken} taken, {'then refused' if is_refused else 'none refused'}"
    if "fault" in row:
        return is_refused, detail
    return not is_refused and taken == len(bodies(row)), detail


def compared(table, parser, row, taken, theirs):
    """Whether a parser took the same, or the table says why not: (ok, detail, which reason)."""
    told = f"the gateway took {taken}, it took {theirs}"
    if "fault" in row:
        reason = ("stricter", row["fault"])
        if len(theirs) <= taken:
            return len(theirs) == taken, told, None
        return row["fault"] in table["stricter"], f"{told}: {table['stricter'].get(row['fault'])}", reason
    expected = bodies(row)
    if theirs == expected:
        return True, "the same", None
    if theirs == [*expected, ""] and "ends" in row:
        return True, f"{told}: {row['ends']}", ("ends", row["text"])
    reason = row.get("refused_by", {}).get(parser)
    is_less = theirs == expected[: len(theirs)]
    return bool(reason) and is_less, f"{told}: {reason}", ("refused_by", parser, row["text"])


def written(table):
    """All reasons of the table."""
    stricter = {("stricter", fault) for fault in table["stricter"]}
    ends = {("ends", row["text"]) for row in table["good"] if "ends" in row}
    less = {("refused_by", parser, row["text"]) for row in table["good"] for parser in row.get("refused_by", {})}
    return stricter | ends | less


def through_gateway(children, program, folder, rows, streams):
    """How many requests of each connection the gateway took, and whether it refused the next one."""
    port = free_port()
    config = folder / "framing.yaml"
    config.write_text(configuration(port), encoding="utf-8")
    with (folder / "framing.log").open("w") as log:
        gateway = children.start([program, "run", config], stdout=log, stderr=subprocess.STDOUT)
        try:
            if not wait_for_port(gateway, port, READY_SECONDS):
                raise SystemExit(f"interop: the gateway does not listen\n{(folder / 'framing.log').read_text()}")
            return [replies(port, data, len(bodies(row)) if "bodies" in row else None) for row, data in zip(rows, streams)]
        finally:
            children.stop(gateway)


def replies(port, data, wanted):
    """Sends one connection's bytes and reads until it ends, or as many replies as are wanted came and no more."""
    received, codes = b"", []
    with socket.create_connection(("127.0.0.1", port), timeout=REPLY_SECONDS) as connection:
        connection.sendall(data)
        while True:
            connection.settimeout(AFTER_SECONDS if len(codes) == wanted else REPLY_SECONDS)
            try:
                more = connection.recv(65536)
            except (TimeoutError, ConnectionResetError):
                break
            if not more:
                break
            received += more
            codes = [code.decode() for code in re.findall(rb'"code":"(MCPC\d+)"', received)]
    return sum(code not in REFUSALS for code in codes), bool(codes) and codes[-1] in REFUSALS


def configuration(port):
    """A gateway that answers for the host of the table; nobody is behind it, and nothing gets so far."""
    return f"""# Written by the interop run.
version: 1
listen: {{ address: "127.0.0.1:{port}", hosts: [a] }}
admin: {{ address: "127.0.0.1:{free_port()}" }}
servers:
  nobody: {{ url: "http://127.0.0.1:{free_port()}" }}
endpoints:
  root: {{ path: /, servers: [nobody] }}
  mcp: {{ path: /mcp, servers: [nobody] }}
"""
