"""Every finding as a table row, the missed ones first, the undecided ones next: first what was promised, then what proves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chaoslib_ext.reasons import REASONS
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.findings import PROOFS, Row, rows
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.signs import MARKS
from chaoslib_ext.report.standing import SAME, standing
from chaoslib_ext.report.words import clean, count

_MOST = 150  # rows of one table; a thousand are in result.json


def section(facts: Facts) -> Section:
    """The objectives table; without findings it says so."""
    found = rows(facts.result.get("findings") or [])
    tally = [count(n, word, word) for word in ("missed", "inconclusive", "met") if (n := sum(row.outcome == word for row in found))]
    beside = {clean(finding.get("id", ""), 120): standing(facts, finding).replace(SAME, "same") for finding in facts.result.get("findings") or []}
    promised = _lines((row for row in found if row.kind not in PROOFS), beside)
    proofs = _lines((row for row in found if row.kind in PROOFS), beside)
    data = {
        "promised": promised[:_MOST],
        "lacking": [line for line in proofs if line[0].outcome != "met"][:_MOST],
        "proven": [line for line in proofs if line[0].outcome == "met"][:_MOST],
        "more": max(0, len(promised) - _MOST) + max(0, len(proofs) - 2 * _MOST),
        "tally": ", ".join(tally),
        "compared": any(beside.values()),
        "bounds": any(row.interval for row in found),
    }
    return Section("objectives", "Objectives", "objectives.html.j2", data)


def _lines(found: Iterable[Row], beside: Mapping[str, str]) -> list[tuple[Row, str, list[str], str]]:
    """The lines of one table: the row, its sign, why, and how it stands beside the last run."""
    said: set[str] = set()
    return [(row, MARKS.get(row.outcome, "?"), _why(row, said), beside.get(row.id, "")) for row in found]


def _why(row: Row, said: set[str]) -> list[str]:
    """What the numbers of a row do not say by themselves; the words of a code once in the table, the code alone after that."""
    if row.outcome == "missed" and row.kind not in PROOFS and row.measured not in ("no data", "not measured", "not proven", "refuted"):
        return list(row.evidence)
    told = [f"{code}: {REASONS[code].sentence}" if code in REASONS and code not in said else code for code in row.reasons]
    said.update(row.reasons)
    return told + list(row.evidence)
