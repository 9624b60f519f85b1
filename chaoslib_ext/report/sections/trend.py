"""This run beside the comparable ones before it: the same files, the same promises, the same environment."""

from __future__ import annotations

from statistics import median

from chaoslib_ext.history import Past, of
from chaoslib_ext.report.facts import Facts, Json
from chaoslib_ext.report.moments import utc
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.signs import MARKS_OF_VERDICTS
from chaoslib_ext.report.trendline import Bar, trend_line
from chaoslib_ext.report.words import Prose, bracket, clean, count, number, percent, seconds

_NEEDED = 3  # runs before this one until a median says anything
_SPREAD = 3.0  # times the median absolute deviation


def section(facts: Facts) -> Section | None:
    """The trend; None where no earlier run of this experiment was there."""
    if not facts.history:
        return None
    runs = [*facts.comparable, _own(facts)]
    data: Json = {
        "lead": change(runs),
        "left_out": _left_out(facts),
        "rows": [_row(past, past is runs[-1]) for past in reversed(runs)],
        "chart": None,
    }
    bars = [Bar(past.rto, past.verdict, past is runs[-1], bool(facts.control)) for past in runs]
    if len(runs) > 1 and sum(bar.ends is not None for bar in bars) > 1:
        objective = (facts.result.get("rto") or {}).get("objective_s")
        data["chart"] = trend_line(bars, objective, Prose(f"Recovery time of {count(len(runs), 'run')}, the oldest at the left. {change(runs)}"))
    return Section("trend", "Trend", "trend.html.j2", data)


def _own(facts: Facts) -> Past:
    return of({**facts.header, "started_utc": utc(facts.header, 0)}, facts.result)


def _left_out(facts: Facts) -> str:
    n = len(facts.history) - len(facts.comparable)
    return f"{count(n, 'earlier run')} of this experiment {'is' if n == 1 else 'are'} left out: not begun, a control, or of other files." if n else ""


def change(runs: list[Past]) -> str:
    """What the recovery time did, in words, against the median of the runs before."""
    before = [past.rto[1] for past in runs[:-1] if past.rto and past.rto[1] is not None]
    now = runs[-1].rto
    if now is None:
        return "Recovery was not measured this time."
    if len(before) < _NEEDED:
        return f"No baseline yet: {number(len(before))} of the {_NEEDED} comparable recoveries that are needed."
    middle = median(before)
    spread = _SPREAD * median(abs(value - middle) for value in before)
    known = f"the median of {count(len(before), 'run')} is {seconds(middle)}"
    if now[1] is None:
        return f"Worse: recovery was not seen this time; {known}."
    if abs(now[1] - middle) <= max(spread, 0.1 * middle):
        return f"No change: {known}."
    share = f"{(now[1] / middle - 1) * 100:+.0f}".replace("-", "−")
    return f"{'Worse' if now[1] > middle else 'Better'} ({share} %, outside the usual spread): {known}."


def _row(past: Past, own: bool) -> list[str]:
    mark = MARKS_OF_VERDICTS.get(past.verdict, "?")
    worst = min(past.availability.values(), key=lambda pair: (pair[1] - pair[0]) / pair[1], default=None)
    return [
        Prose("this run" if own else clean(past.run, 120)),
        clean(past.started_utc, 40)[:16].replace("T", " "),
        Prose(f"{mark} {clean(past.verdict, 20)}"),
        bracket(*past.rto) if past.rto else "–",
        f"{percent((worst[1] - worst[0]) / worst[1])} ({number(worst[0])} bad of {number(worst[1])})" if worst else "–",
        number(past.lost) if past.lost is not None else "–",
        percent(past.spent) if past.spent is not None else "–",
    ]
