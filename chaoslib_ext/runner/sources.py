"""What the watcher of a run is told to ask Prometheus for, and what is refused before a run that could not be watched."""

from __future__ import annotations

import os
from typing import Any

from chaoslib_ext.block import Block
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import UsageError


def source_orders(block: Block | None, environment: Environment) -> dict[str, Any] | None:
    """
    The watcher's orders, but for the run's clock; None when the experiment needs no source beside the load.

    Raises UsageError when it does and the environment has none.
    """
    slos = promised_elsewhere(block)
    alerts = alerts_of(block)
    if block is None or not (slos or alerts):
        return None
    source = environment.sli_sources.get("prometheus")
    if source is None:
        needs = ", ".join([f"SLO {name}" for name in slos] + [f"alert {name}" for name in alerts])
        where = environment.source or environment.name
        raise UsageError(f"{where}: sli_sources.prometheus is missing, and the experiment needs it ({needs}); add `sli_sources: {{prometheus: {{url: …}}}}`")
    asked = [(name, block.slo(name).indicator("prometheus")) for name in slos]
    told = [{"slo": name, "good": sli.good_query, "total": sli.total_query} for name, sli in asked if sli is not None]
    return {"url": source["url"], "resolution_s": source.get("resolution_s"), "slos": told, "alerts": alerts, "parent_pid": os.getpid()}


def promised_elsewhere(block: Block | None) -> list[str]:
    """The SLOs that something is promised of and that Prometheus is asked for, be it to judge or beside."""
    names = {one.slo for one in block.objectives} if block else set()
    return [slo.name for slo in (block.slos if block else []) if slo.name in names and slo.indicator("prometheus") is not None]


def alerts_of(block: Block | None) -> list[str]:
    """The alerts that end the run, and the one that must fire."""
    if block is None:
        return []
    named = [str(rule["alert"]) for rule in block.stop if "alert" in rule] + ([block.detection.alert] if block.detection else [])
    return list(dict.fromkeys(named))
