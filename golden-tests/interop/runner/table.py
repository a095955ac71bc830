"""Reports: the table of server by client, every failure, every step that does not apply with its reason."""

from collections import defaultdict


def table(results, servers, clients):
    """One row for each server, one column for each client; a cell counts its steps passed of those that apply."""
    cells = defaultdict(list)
    for result in results:
        cells[result.server, result.client].append(result)
    head = ["server", *clients]
    rows = [[server, *(cell(cells[server, client]) for client in clients)] for server in servers]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in [head, *rows]]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def cell(results):
    """`passed/applicable`, marked when something failed; `n/a` where nothing applies, `-` where there is no such cell."""
    if not results:
        return "-"
    passed = sum(result.ok is True for result in results)
    failed = sum(result.ok is False for result in results)
    if passed + failed == 0:
        return "n/a"
    return f"{passed}/{passed + failed}" + (" FAIL" if failed else "")


def failures(results):
    """One line for each failed step."""
    return [f"FAILED {r.server} x {r.client}: {r.step}: {r.detail}" for r in results if r.ok is False]


def exclusions(results):
    """One line for each reason why a step does not apply, with the clients and how many steps it takes out."""
    by_reason = defaultdict(list)
    for result in results:
        if result.ok is None:
            by_reason[result.detail].append(result)
    lines = []
    for reason, group in by_reason.items():
        clients = ", ".join(dict.fromkeys(result.client for result in group))
        lines.append(f"not applicable: {len(group)} steps ({clients}): {reason}")
    return lines
