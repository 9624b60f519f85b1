"""Every finding as a table row, the missed ones first, the undecided ones next: first what was promised, then what proves it."""

from __future__ import annotations

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
    shown = [(row, MARKS.get(row.outcome, "?"), _why(row), beside.get(row.id, "")) for row in found]
    promised = [line for line in shown if line[0].kind not in PROOFS]
    proofs = [line for line in shown if line[0].kind in PROOFS]
    data = {
        "promised": promised[:_MOST],
        "lacking": [line for line in proofs if line[0].outcome != "met"][:_MOST],
        "proven": [line for line in proofs if line[0].outcome == "met"][:_MOST],
        "more": max(0, len(promised) - _MOST) + max(0, len(proofs) - 2 * _MOST),
        "tally": ", ".join(tally),
        "compared": any(beside.values()),
    }
    return Section("objectives", "Objectives", "objectives.html.j2", data)


def _why(row: Row) -> list[str]:
    return [f"{code}: {REASONS[code].sentence}" if code in REASONS else code for code in row.reasons] + list(row.evidence)
