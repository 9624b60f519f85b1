"""What must fit in stop rules and detection, and what an SLO that is read from Prometheus may be promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaoslib_ext.block import Block
from chaoslib_ext.clock import format_duration
from chaoslib_ext.errors import Problem
from chaoslib_ext.formats.yamlfile import Document, KeyPath
from chaoslib_ext.slo import Slo

if TYPE_CHECKING:
    from chaoslib_ext.formats.experiment_models import BlockModel, StopModel

_NEEDS = {"no_data": (), "slo": ("below", "for"), "error_ratio": ("for",), "alert": ()}
_EXAMPLE = {
    "no_data": "{no_data: 5s}",
    "slo": "{slo: NAME, below: 50%, for: 10s}",
    "error_ratio": "{error_ratio: 20%, for: 5s}",
    "alert": "{alert: NAME}",
}


def watch_problems(model: BlockModel, part: Document, slos: list[Slo] | None) -> list[Problem]:
    """What is wrong with stop rules, and with promises of SLOs that Prometheus is asked for. `slos` None: they could not be read."""
    found = [part.problem(("stop", at), text) for at, rule in enumerate(model.stop) if (text := _stop_complaint(rule))]
    found += [part.problem(("stop", at), f"`{_kind(rule)}` needs a `load`: it is read from its requests") for at, rule in enumerate(model.stop)
              if model.load is None and _kind(rule) in ("slo", "error_ratio")]  # fmt: skip
    remote = {slo.name for slo in slos or [] if slo.sli.source != "locust"}
    return found + [part.problem(where, _only_from_load(name)) for where, name in _from_arrivals(model, slos or []) if name in remote]


def _kind(rule: StopModel) -> str:
    return next((name for name in _NEEDS if getattr(rule, name) is not None), "")


def _stop_complaint(rule: StopModel) -> str:
    """What is wrong with one stop rule, or an empty string."""
    given = [name for name in (*_NEEDS, "below", "for") if getattr(rule, "for_" if name == "for" else name) is not None]
    kinds = [name for name in given if name in _NEEDS]
    if len(kinds) != 1:
        got = " and ".join(f"`{name}`" for name in kinds) or "none"
        return f"got {got}, expected exactly one of `no_data`, `slo`, `error_ratio`, `alert`; write one rule a line, like {_EXAMPLE['no_data']}"
    [kind] = kinds
    lacking = [name for name in _NEEDS[kind] if name not in given]
    extra = [name for name in given if name != kind and name not in _NEEDS[kind]]
    if lacking:
        return f"`{lacking[0]}` is missing; write `{_EXAMPLE[kind]}`"
    return f"`{extra[0]}` says nothing in a rule on `{kind}`; write `{_EXAMPLE[kind]}`" if extra else ""


def _from_arrivals(model: BlockModel, slos: list[Slo]) -> list[tuple[KeyPath, str]]:
    """Where an SLO is named that must be measured request by request."""
    named: list[tuple[KeyPath, str]] = [(("stop", at, "slo"), rule.slo) for at, rule in enumerate(model.stop) if rule.slo is not None]
    if model.rto:
        named += [(("rto", "slos", at), name) for at, name in enumerate(model.rto.slos or [])]
        named += [] if model.rto.slos else [(("rto",), slo.name) for slo in slos]
    if model.budget:
        named.append((("budget", "slo"), model.budget.slo))
    return named


def _only_from_load(name: str) -> str:
    return f"SLO {name} is read from Prometheus, once a second; this needs an SLO of type locust, measured request by request: name those only"


def detection_warnings(block: Block, held: list[tuple[str, float]]) -> list[str]:
    """What will keep an alert from firing in time, known before the run. `held` are the held faults with their seconds."""
    if block.detection is None:
        return []
    short = [f"{name!r} is held for {format_duration(held_s)}" for name, held_s in held if held_s < block.detection.within_s]
    within = format_duration(block.detection.within_s)
    found = [f"DETECTION_MISSED: {text}, shorter than detection.within = {within}; the alert has only that long to notice" for text in short]
    if any(rule.get("alert") == block.detection.alert for rule in block.stop):
        found.append(f"STOP_RULE: the alert {block.detection.alert!r} both ends the run and is the detection; the run is ABORTED when it fires")
    return found
