"""How a finding stands beside the last comparable run: same as last time, new, or fixed. Outcomes are copied, never made here."""

from __future__ import annotations

from chaoslib_ext.history import Past
from chaoslib_ext.report.facts import Facts, Json
from chaoslib_ext.report.words import Prose, clean, count

SAME, NEW, FIXED = "same as last time", "new", "fixed"
_BAD = ("missed", "inconclusive")


def last(facts: Facts) -> Past | None:
    """The comparable run before this one; None where there is none."""
    return facts.comparable[-1] if facts.comparable else None


def standing(facts: Facts, finding: Json) -> str:
    """`same as last time`, `new`, `fixed`, or what lies between; empty where there is nothing to compare with."""
    past = last(facts)
    if past is None:
        return ""
    now, before = str(finding.get("outcome")), past.findings.get(str(finding.get("id")))
    if now == before:
        return SAME
    if before is None:
        return "not compared last time" if now == "met" else NEW
    if now == "met":
        return FIXED if before == "missed" else "undecided last time"
    if now == "missed":
        return NEW if before == "met" else "undecided last time"
    return "missed last time, undecided now" if before == "missed" else NEW


def since(facts: Facts, finding: Json) -> str:
    """`in the last 3 comparable runs too` for a finding that is not new; empty otherwise."""
    runs = 0
    for past in reversed(facts.comparable):
        if past.findings.get(str(finding.get("id"))) != finding.get("outcome"):
            break
        runs += 1
    return f"in the last {count(runs, 'comparable run')} too" if runs > 1 else ""


def told(facts: Facts) -> str:
    """One sentence on the run as a whole beside the last one; empty for the first of its kind."""
    past = last(facts)
    if past is None:
        if not facts.history:
            return ""
        n = len(facts.history)
        return f"{count(n, 'earlier run')} of this experiment {'is' if n == 1 else 'are'} not comparable: its files, its promises or its environment changed."
    words = [standing(facts, finding) for finding in facts.result.get("findings") or []]
    new, fixed = words.count(NEW), words.count(FIXED)
    same = sum(word == SAME and finding.get("outcome") in _BAD for word, finding in zip(words, facts.result.get("findings") or [], strict=True))
    changes = [f"{n} {word}" for n, word in ((new, "new"), (fixed, "fixed"), (same, "the same")) if n]
    verdict = clean(past.verdict, 20) if past.verdict != facts.verdict else f"{clean(past.verdict, 20)} too"
    return Prose(
        f"Last comparable run ({clean(past.started_utc, 30)[:16].replace('T', ' ')} UTC): {verdict}; findings: {', '.join(changes) or 'none then, none now'}."
    )
