"""What clients saw, second by second, under the faults; and what happened when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaoslib_ext.report import plots
from chaoslib_ext.report.charts import Band
from chaoslib_ext.report.chronicle import Entry, chronicle
from chaoslib_ext.report.facts import NS, Facts, Json, Promise
from chaoslib_ext.report.moments import local, utc, zone_of
from chaoslib_ext.report.rail import Phase, rail
from chaoslib_ext.report.scale import Span
from chaoslib_ext.report.sections import Section
from chaoslib_ext.report.series import joined, slices
from chaoslib_ext.report.words import NBSP, Prose, at, clean, count

_MOST_GROUPS = 3  # pairs of charts; more SLOs than that are in the objectives table only
_MOST_TABLE_ROWS = 60
_MOST_BARS = 240
_MOST_LANES = 8  # bars of the rail; more faults than that share the last one
_MARKS = (("bad", "Black: went wrong, or stopped the run."), ("fault", "Square: a fault."), ("alert", "Dashed: an alert."), ("decision", "Thick: a decision."))
_TABLE_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


@dataclass(frozen=True, slots=True)
class _Group:
    """Samples that one or more SLOs look at together."""

    noun: str
    endpoints: frozenset[int]
    promises: tuple[Promise, ...]


def section(facts: Facts) -> Section:
    """The timeline; a run without load keeps the rail and the list of events."""
    span = Span(0.0, math.floor(facts.end_s()) + 1)  # a sample at the very end belongs to the second that begins there
    bands = _bands(facts, span)
    entries = chronicle(facts.events)
    picture = rail(span, phases(facts, span), lanes([band for band in bands if band.kind == "fault"]), entries, _rail_label(facts))
    data: Json = {
        "rail": picture,
        "lead": _lead(bands),
        "marks": _marks_told(entries),
        "charts": _charts(facts, span, together(bands)),
        "step_s": _table_step(int(span.end_s)),
        "entries": [_line(facts, entry) for entry in entries],
        "local": zone_of(facts.header),
        "hidden": _hidden(facts),
    }
    return Section("timeline", "Timeline", "timeline.html.j2", data)


def _lead(bands: Sequence[Band]) -> str:
    kinds = {band.kind for band in bands}
    fault = " Hatched: a fault in force, from its proven effect to its proven removal." if "fault" in kinds else ""
    return f"One axis for all charts: seconds since the start of the run.{fault}{' Grey: warm-up.' if 'aside' in kinds else ''}"


def _marks_told(entries: Sequence[Entry]) -> str:
    """What the marks of the rail mean, of the kinds that are there."""
    kinds = {entry.kind for entry in entries if entry.number}
    told = [words for kind, words in _MARKS if kind in kinds]
    return " ".join(["Numbers refer to the list of events below.", *told]) if kinds else ""


def _bands(facts: Facts, span: Span) -> list[Band]:
    warmup = facts.window("warmup")
    aside = [Band(warmup[0], warmup[1], "aside")] if warmup and warmup[1] > warmup[0] else []
    return aside + [Band(start_s, end_s, "fault", text) for start_s, end_s, text in _faults(facts, span)]


def together(bands: Sequence[Band]) -> list[Band]:
    """The bands of a chart: faults that overlap are one stretch, the names are in the rail."""
    made: list[Band] = []
    for band in sorted(bands, key=lambda band: (band.kind, band.start_s, band.end_s)):
        last = made[-1] if made else None
        if last is not None and last.kind == band.kind == "fault" and band.start_s <= last.end_s:
            made[-1] = Band(last.start_s, max(last.end_s, band.end_s), "fault")
        else:
            made.append(Band(band.start_s, band.end_s, band.kind))
    return made


def lanes(faults: Sequence[Band]) -> list[list[Band]]:
    """The lanes of the rail: one for each fault; the last one holds all the rest, where they are many."""
    if len(faults) <= _MOST_LANES:
        return [[fault] for fault in faults]
    rest = together(faults[_MOST_LANES - 1 :])
    named = [Band(band.start_s, band.end_s, band.kind, f"{len(faults) - _MOST_LANES + 1} more faults" if at == 0 else "") for at, band in enumerate(rest)]
    return [[fault] for fault in faults[: _MOST_LANES - 1]] + [named]


def _faults(facts: Facts, span: Span) -> list[tuple[float, float, str]]:
    found = []
    for fault in facts.faults:
        effect, removed = fault.get("effect"), fault.get("removed")
        if effect:
            end_s = removed[1] / NS if removed else span.end_s
            found.append((effect[1] / NS, max(end_s, effect[1] / NS), clean(fault.get("name", ""), 120)))
    return found


def phases(facts: Facts, span: Span) -> list[Phase]:
    """The phases of the run from its events; one without an end lasts until the next begins, the last to the end of the run."""
    begun: dict[str, float] = {}
    done: list[Phase] = []
    for event in facts.events:
        if event.get("kind") != "phase":
            continue
        name, t_s = clean(event.get("name", ""), 40), event.get("t_ns", 0) / NS
        if event.get("state") == "start":
            done += [Phase(before, start_s, t_s) for before, start_s in begun.items()]
            begun = {name: t_s}
        elif name in begun:
            done.append(Phase(name, begun.pop(name), t_s))
    return sorted(done + [Phase(name, t_s, span.end_s) for name, t_s in begun.items()], key=lambda phase: phase.start_s)


def _rail_label(facts: Facts) -> str:
    return f"Phases of the run, {count(len(facts.faults), 'fault')} and the numbered events of the list below, over time."


def _groups(facts: Facts) -> list[_Group]:
    chosen: dict[tuple[str | None, str], list[Promise]] = {}
    for promise in facts.promises:
        chosen.setdefault((promise.of, promise.kind), []).append(promise)
    groups = [_Group(_noun(of, kind), facts.indexes(of, kind), tuple(promises)) for (of, kind), promises in chosen.items()]
    return [group for group in groups if group.endpoints] or [_Group(_noun(None, facts.arrival_kind), facts.journeys, ())]


def _noun(of: str | None, kind: str) -> str:
    plural = "journeys" if kind == "journey" else "requests"
    return f"{clean(of, 60)} {plural}" if of else f"all {plural}"


def _hidden(facts: Facts) -> int:
    return max(0, len(_groups(facts)) - _MOST_GROUPS)


def _charts(facts: Facts, span: Span, bands: list[Band]) -> list[plots.Figure]:
    """The figures, each with its data table; none without rows."""
    if not len(facts.rows):
        return []
    end_s = int(span.end_s)
    every = _table_step(end_s)
    figures: list[plots.Figure] = []
    for group in _groups(facts)[:_MOST_GROUPS]:
        found = slices(facts.rows, group.endpoints, 0, end_s)
        figures.append(plots.availability(span, found, group.noun, group.promises, bands, every))
        figures.append(plots.latency(span, found, group.noun, group.promises, bands, every))
    found = slices(facts.rows, facts.journeys, 0, end_s)
    wide = max(1, math.ceil(end_s / _MOST_BARS))
    figures.append(plots.rates(span, found, bands, every))
    return [*figures, plots.errors(span, joined(found, wide), wide, bands, every)]


def _table_step(end_s: int) -> int:
    return next((step for step in _TABLE_STEPS_S if end_s / step <= _MOST_TABLE_ROWS), math.ceil(end_s / _MOST_TABLE_ROWS))


def _line(facts: Facts, entry: Entry) -> tuple[Entry, str, str, str]:
    full = utc(facts.header, entry.t_ns)
    return entry, Prose(at(entry.t_ns)), full.split(" ")[-1].replace(f"{NBSP}UTC", ""), local(facts.header, entry.t_ns)
