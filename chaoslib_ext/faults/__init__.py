"""Portable faults: by service and zone; the environment decides the platform."""

from __future__ import annotations

from chaoslib_ext.faults.actions import (
    abort_traffic,
    cut_replication,
    delay_replication,
    delay_traffic,
    fill_disk,
    kill_replicas,
    lose_primary,
    lose_zone,
    slow_disk,
)

__all__ = ["abort_traffic", "cut_replication", "delay_replication", "delay_traffic", "fill_disk", "kill_replicas", "lose_primary", "lose_zone", "slow_disk"]
