"""
The sandbox: a real Envoy in front of six replicas of a small shop in three zones, on this machine, from pip alone.

Every zone's replicas are behind a link that can be told to pass, swallow or delay; a keeper restarts replicas as a
kubelet does. `WEAKNESSES` can be planted. Several sandboxes live side by side, each under its name.
"""

from __future__ import annotations

from chaoslib_ext.sandbox.folder import SandboxInfo
from chaoslib_ext.sandbox.life import down, environment_json, find, status, up
from chaoslib_ext.sandbox.weaknesses import WEAKNESSES, Weaknesses, parse_weaknesses

__all__ = ["WEAKNESSES", "SandboxInfo", "Weaknesses", "down", "environment_json", "find", "parse_weaknesses", "status", "up"]
