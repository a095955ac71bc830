"""Reports: the table of corners, every failure, every impossibility with its reason."""

from collections import defaultdict


def table(lines):
    """Columns of equal width; the first line is the head."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    rows = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    rows.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(rows)


def of_corners(results):
    """One line for each corner: its checks passed, impossible and failed."""
    lines = [["corner", "scenarios", "passed", "impossible", "failed"]]
    for corner, verdicts in results.items():
        scenarios = {verdict.scenario for verdict in verdicts}
        counts = [total(verdicts, kind) for kind in ("passed", "impossible", "failed")]
        lines.append([corner, str(len(scenarios)), *map(str, counts)])
    return table(lines)


def total(verdicts, kind):
    """How many checks are of this kind."""
    return sum(verdict.times for verdict in verdicts if kind_of(verdict) == kind)


def kind_of(verdict):
    """`passed`, `impossible` or `failed`."""
    if verdict.passed:
        return "passed"
    return "impossible" if verdict.reason else "failed"


def exclusions(results):
    """One line for each reason, with the corners and how many checks it takes out."""
    by_reason = defaultdict(list)
    for verdicts in results.values():
        for verdict in verdicts:
            if kind_of(verdict) == "impossible":
                by_reason[verdict.reason].append(verdict)
    for reason, group in by_reason.items():
        corners = ", ".join(dict.fromkeys(verdict.corner for verdict in group))
        yield f"impossible: {sum(verdict.times for verdict in group)} checks ({corners}): {reason}"


def failures(results):
    """One line for each failed check."""
    for verdicts in results.values():
        for verdict in verdicts:
            if kind_of(verdict) == "failed":
                times = f" ({verdict.times} times)" if verdict.times > 1 else ""
                yield f"FAILED {verdict.corner}: {verdict.scenario}: {verdict.check}{times}: {verdict.seen[:300]}"


def markdown(results):
    """The failures in full, grouped by what was expected, for whoever mends them."""
    groups = defaultdict(list)
    for verdicts in results.values():
        for verdict in verdicts:
            if kind_of(verdict) == "failed":
                groups[verdict.scenario, verdict.check, verdict.expected].append(verdict)
    lines = ["# What the suite finds through the gateway and not directly", "", "```", of_corners(results), "```"]
    for (scenario, check, expected), group in groups.items():
        lines += ["", f"## {scenario}: {check}", "", f"Expected: {expected}", ""]
        by_seen = defaultdict(list)
        for verdict in group:
            by_seen[verdict.seen].append(verdict.corner)
        for seen, corners in by_seen.items():
            lines += [f"- {', '.join(corners)}: {seen[:1500]}"]
    return "\n".join(lines) + "\n"
