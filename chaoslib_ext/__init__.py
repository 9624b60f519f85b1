"""Resilience tests that can be believed, on Chaos Toolkit and Locust."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "discover"]


def discover(discover_system: bool = True) -> Any:  # noqa: ARG001  # chaoslib gives it by name
    """What this extension offers, for `chaos discover`. Nothing of a system is looked at."""
    from chaoslib.discovery.discover import discover_actions, initialize_discovery_result

    found = initialize_discovery_result("chaoslib_ext", __version__, "chaoslib_ext")
    found["activities"].extend(discover_actions("chaoslib_ext.faults.actions"))
    return found
