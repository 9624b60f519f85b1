"""Portable faults: by service and zone; the environment decides the platform."""

from __future__ import annotations

from chaoslib_ext.faults.actions import abort_traffic, cut_replication, delay_replication, delay_traffic, kill_replicas, lose_primary, lose_zone

__all__ = ["abort_traffic", "cut_replication", "delay_replication", "delay_traffic", "kill_replicas", "lose_primary", "lose_zone"]
