"""Portable faults: by service and zone; the environment decides the platform."""

from __future__ import annotations

from chaoslib_ext.faults.actions import kill_replicas, lose_zone

__all__ = ["kill_replicas", "lose_zone"]
