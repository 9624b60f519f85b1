"""`chaosx explain` for a person: the walk from the verdict to the rows, as lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaoslib_ext.cli.plan_power import points
from chaoslib_ext.clock import NS

Json = dict[str, Any]
_MOST_OTHERS = 40


def lines(told: Json) -> Iterator[str]:
    """The lines of an explanation."""
    yield str(told["verdict"])
    yield f"  {told['title']}  ({told['run']})"
    for reason in told["reasons"]:
        yield f"  {reason['code']}: {reason['sentence']}"
    for problem in told["problems"]:
        yield f"  evidence: {problem}"
    for finding in told["findings"]:
        yield ""
        yield from _finding(finding)
    if told["others"]:
        yield ""
        yield f"also: chaosx explain {told['directory']} FINDING, one of {', '.join(repr(name) for name in told['others'][:_MOST_OTHERS])}"


def _finding(finding: Json) -> Iterator[str]:
    codes = f"  {', '.join(finding['reasons'])}" if finding["reasons"] else ""
    yield f"{finding['id']}: {finding['outcome']}{codes}"
    if finding.get("window_ns"):
        a, b = finding["window_ns"]
        yield _line("window", f"{finding['window'] or 'whole'}: T+{a / NS:.6f} s to T+{b / NS:.6f} s, {finding['window_means']}")
    if finding.get("select"):
        yield _line("samples", _selection(finding["select"]))
    if finding.get("counts"):
        yield _line("counted", _counts(finding))
    for name, part in (finding.get("slos") or {}).items():
        yield from _part(name, part)
    if finding.get("clock_ns"):
        lo, hi = finding["clock_ns"]
        yield _line("clock", f"starts with {finding['clock_starts']}: between T+{lo / NS:.6f} s and T+{hi / NS:.6f} s")
    if finding.get("formula"):
        yield _line("formula", finding["formula"])
    if finding.get("detectable_loss") is not None:
        yield _line("told", f"a loss under {points(finding['detectable_loss'])} points below the target cannot be told from none by so many")
    if finding.get("agrees") is False:
        yield _line("DIFFERS", "the sealed finding holds other figures; chaosx report --verify says whether the evidence was altered")
    for word, row in (("first bad", finding.get("first_bad")), ("last bad", finding.get("last_bad"))):
        if row:
            yield _line(word, _row(row))
    for text in finding["evidence"] or []:
        yield _line("said", text)
    if finding.get("events"):
        yield _line("events", ", ".join(f"#{seq}" for seq in finding["events"]))
    yield _line("from", "; ".join(finding["sources"]) or "run.json")
    for text in finding["next"]:
        yield _line("to do", text)


def _line(word: str, text: str) -> str:
    return f"  {word:9} {text}"


def _selection(select: Json) -> str:
    limit = "" if select["max_latency_us"] is None else f", answered within {select['max_latency_us'] / 1000:g} ms"
    name = "all of them" if select["name"] is None else repr(select["name"])
    return f"{select['class']} {name} (endpoints {', '.join(map(str, select['endpoints'])) or 'none'}); good: OK{limit}"


def _counts(finding: Json) -> str:
    counts = finding["counts"]
    if "due" in counts:
        return f"{counts['due']} due, {counts['in_time']} sent in time, {counts['late_or_not_sent']} late or not sent"
    why = ", ".join(f"{name} {count}" for name, count in (finding.get("not_good_by") or {}).items())
    needed = f"; {finding['needed']} decide" if finding.get("needed") else ""
    return f"{counts['total']} rows: {counts['good']} good, {counts['bad']} bad, {counts['unknown']} unknown{f' ({why})' if why else ''}{needed}"


def _part(name: str, part: Json) -> Iterator[str]:
    at = "never" if part["at_us"] is None else f"T+{part['at_us'] / 1e6:.6f} s"
    yield _line(name, f"recovered at {at}; {part['known']} known arrivals since the clock's start, {part['enough']} make a stretch decidable")
    for word, row in (("last bad", part["last_bad"]), ("proof", part["proof"])):
        if row:
            yield _line("", f"{word}: {_row(row)}")


def _row(row: Json) -> str:
    sent, end = (row["intended_us"] + row["late_us"]) / 1e6, (row["intended_us"] + row["latency_us"]) / 1e6
    return f"{row['outcome']} due T+{row['intended_us'] / 1e6:.6f} s, sent {sent:.6f} s, ended {end:.6f} s  ({row['file']} row {row['row']})"
