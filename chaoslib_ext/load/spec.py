"""What the load child is told to do: the load spec file, and which hosts it may reach."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaoslib_ext.errors import UsageError

DEFAULT_MAX_IN_FLIGHT = 20_000


@dataclass(frozen=True, slots=True)
class SliRule:
    """Which samples an SLI counts, and from which latency on a sample is not good; None means any latency."""

    name: str
    select_name: str | None
    select_class: str
    max_latency_ms: float | None

    def counts(self, name: str, class_: str) -> bool:
        """Whether samples of this name and class are its."""
        return self.select_class == class_ and self.select_name in (None, name)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that load may reach: `name` allows any port of it, `name:port` only that one."""

    names: frozenset[str]

    def allow(self, url: str) -> bool:
        """Whether an absolute URL leads to an allowed host."""
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            return False
        host = (parts.hostname or "").lower()
        return parts.scheme in ("http", "https") and self.allow_address(host, port)

    def allow_address(self, host: str, port: int | str | None) -> bool:
        """Whether a host name or address, without brackets, may be connected to on this port."""
        host = host.lower()
        return host in self.names or f"{host}:{port}" in self.names or f"[{host}]" in self.names or f"[{host}]:{port}" in self.names


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """
    One load child's orders. `t0_ns` is the run's zero in CLOCK_MONOTONIC; `profile` the JSON of a LoadProfile.
    `run` is the run's id, with which write ids begin; only a profile that has ledgers needs it. `max_writes` is how many of
    them there may be; None: any number.

    `base_url` has no trailing slash and its host is one of `hosts`.
    """

    t0_ns: int
    out_dir: Path
    base_url: str
    hosts: Hosts
    profile: dict[str, Any]
    seed: int
    slis: tuple[SliRule, ...]
    max_in_flight: int
    zone_header: str
    parent_pid: int | None
    run: str = ""
    max_writes: int | None = None


def read_spec(path: Path) -> LoadSpec:
    """The spec in a JSON file. Raises UsageError: unreadable, a key missing, or a base_url that is off limits."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        spec = LoadSpec(
            t0_ns=int(data["t0_ns"]),
            out_dir=Path(data["out_dir"]),
            base_url=str(data["base_url"]).rstrip("/"),
            hosts=Hosts(frozenset(str(host).lower() for host in data["hosts"])),
            profile=data["profile"],
            seed=int(data["seed"]),
            slis=tuple(_sli(sli) for sli in data.get("slis", [])),
            max_in_flight=int(data.get("max_in_flight", DEFAULT_MAX_IN_FLIGHT)),
            zone_header=str(data.get("zone_header", "X-Zone")),
            parent_pid=data.get("parent_pid"),
            run=str(data.get("run") or ""),
            max_writes=None if data.get("max_writes") is None else int(data["max_writes"]),
        )
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: got a load spec that cannot be read ({error}), expected the supervisor's JSON object") from error
    except KeyError as error:
        raise UsageError(f"{path}: got a load spec without {error}, expected the supervisor's JSON object") from error
    _check_host(spec)
    return spec


def _sli(data: dict[str, Any]) -> SliRule:
    limit = data.get("max_latency_ms")
    return SliRule(str(data["name"]), data.get("select_name"), str(data["select_class"]), None if limit is None else float(limit))


def _check_host(spec: LoadSpec) -> None:
    if spec.hosts.allow(spec.base_url):
        return
    allowed = ", ".join(sorted(spec.hosts.names)) or "none"
    raise UsageError(
        f"base_url: got {spec.base_url!r}, expected a host that the environment allows (there are: {allowed}); "
        "add the host to `hosts` of the environment, or change the service's url. Nothing was sent"
    )
