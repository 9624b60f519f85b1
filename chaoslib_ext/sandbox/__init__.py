"""
The sandbox: a real Envoy in front of six replicas of a small shop in three zones, on this machine, from pip alone.

Every zone's replicas are behind a link that can be told to pass, swallow or delay; a keeper restarts replicas as a
kubelet does. `WEAKNESSES` can be planted. Several sandboxes live side by side, each under its name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaoslib_ext.sandbox.folder import SandboxInfo
    from chaoslib_ext.sandbox.life import down, environment_json, find, status, up
    from chaoslib_ext.sandbox.weaknesses import WEAKNESSES, Weaknesses, parse_weaknesses

__all__ = ["WEAKNESSES", "SandboxInfo", "Weaknesses", "down", "environment_json", "find", "parse_weaknesses", "status", "up"]
_HOMES = {"SandboxInfo": "folder", "WEAKNESSES": "weaknesses", "Weaknesses": "weaknesses", "parse_weaknesses": "weaknesses"}


def __getattr__(name: str) -> Any:
    """Loads what is used: each of the many processes of a sandbox imports this package, and needs next to nothing of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'life')}"), name)
