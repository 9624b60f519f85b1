"""
The shipped table of known Chaos Toolkit activities: which of them this tool can vouch for.

A *managed* fault has an undo, an effect and a removal of ours. Everything else that acts is *unmanaged* and can never
lead to PASS. Probes change nothing and never need managing.
"""

from __future__ import annotations

from typing import Any

# function of chaoslib_ext.faults → its kind: `instant` owes a replacement, `held` is taken back by the healer
MANAGED: dict[str, str] = {
    "kill_replicas": "instant",
    "lose_zone": "held",
    "delay_traffic": "held",
    "abort_traffic": "held",
    "cut_replication": "held",
    "delay_replication": "held",
    "fill_disk": "held",
    "slow_disk": "held",
    "lose_primary": "instant",
}
MANAGED_MODULES = ("chaoslib_ext.faults", "chaoslib_ext.faults.actions")

# top package → its distribution, and how to install it
KNOWN_PACKAGES: dict[str, tuple[str, str]] = {
    "chaosk8s": ("chaostoolkit-kubernetes", "pip install 'chaoslib_ext[kubernetes]'"),
    "chaosaws": ("chaostoolkit-aws", "pip install 'chaoslib_ext[aws]'"),
}


def managed_kind(activity: dict[str, Any]) -> str | None:
    """`instant` or `held` for a managed fault, None for everything else. Takes any mapping, well formed or not."""
    provider = activity.get("provider")
    if activity.get("type") != "action" or not isinstance(provider, dict) or provider.get("type") != "python":
        return None
    func = provider.get("func")
    arguments = provider.get("arguments")
    if func == "lose_primary" and isinstance(arguments, dict) and arguments.get("how") == "freeze":
        return "held" if provider.get("module") in MANAGED_MODULES else None
    return MANAGED.get(func) if provider.get("module") in MANAGED_MODULES and isinstance(func, str) else None


def is_managed(activity: dict[str, Any]) -> bool:
    """Can this tool vouch for the activity? True for our own faults, and for probes, which change nothing."""
    return standing(activity) != "unmanaged"


def standing(activity: dict[str, Any]) -> str:
    """`probe`, `managed` or `unmanaged`: everything that acts and is not ours is unmanaged, chaosk8s and chaosaws too."""
    if activity.get("type") == "probe":
        return "probe"
    return "managed" if managed_kind(activity) else "unmanaged"
