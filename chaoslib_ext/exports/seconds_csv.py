"""
The time series of a run as CSV: a row for each second and each series that had something in it.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, also behind a separator of another
locale. Names come from outside: they get an apostrophe there, which a spreadsheet shows as text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.moments import utc
from chaoslib_ext.report.series import Slice, slices
from chaoslib_ext.report.words import clean
from chaoslib_ext.timeline import Outcome

_COUNTS = ("offered", "completed", "good", "bad", "unknown")
_CLASSES = [outcome for outcome in Outcome if outcome is not Outcome.OK]
_SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
HEAD = ("series", "class", "zone", "t_s", "utc", *_COUNTS, *(outcome.name.lower() for outcome in _CLASSES), *_SHARES)
_FORMULA = re.compile("(^|[;,|\"'])(\\s*)([=+\\-@\uff1d\uff0b\uff0d\uff20])")


def table(facts: Facts) -> str:
    """
    CSV with a head, separated by commas, lines ended by CR LF (RFC 4180).

    The first series are all journeys together (all requests in a closed model), then one for each endpoint. `t_s` counts from the
    run's zero, samples belong to the second of their intended start, `completed` to that of their end. `bad` counts the classes
    timeout to off_limits, `unknown` the generator's own failures and what was sent late.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL)
    writer.writerow(HEAD)
    for row in _rows(facts):
        writer.writerow(row)
    return out.getvalue()


def _rows(facts: Facts) -> Iterator[list[object]]:
    if not len(facts.rows):
        return
    start_s, end_s = min(0, min(facts.rows.intended_us) // 1_000_000), int(facts.end_s()) + 1
    noun = "journeys" if facts.arrival_kind == "journey" else "requests"
    series = [((f"all {noun}", facts.arrival_kind, ""), facts.journeys)]
    series += [((point.name, point.kind, point.zone), frozenset([point.index])) for point in facts.endpoints]
    for names, endpoints in series:
        face = [cell(name) for name in names]
        for piece in slices(facts.rows, endpoints, start_s, end_s):
            if piece.offered or piece.completed:
                yield [*face, int(piece.start_s), utc(facts.header, piece.start_s * 1e9).replace("\u00a0UTC", ""), *_figures(piece)]


def _figures(piece: Slice) -> list[object]:
    quantiles = [piece.percentile_ms(share) for share in _SHARES.values()]
    counts: list[object] = [getattr(piece, name) for name in _COUNTS]
    return [*counts, *(piece.errors.get(outcome, 0) for outcome in _CLASSES), *("" if value is None else f"{value:.3f}" for value in quantiles)]


def cell(text: object) -> str:
    """Foreign text as a cell: on one line, and nowhere the begin of a formula."""
    return _FORMULA.sub(r"\1\2'\3", clean(text))
