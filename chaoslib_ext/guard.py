"""
The guard: a pure step from what was seen and what has just arrived to "go on" or "stop, and why".

It reads one-second summaries of the load child and the newest reading of each alert. A request in flight for longer than
its limit counts as data at once, or a black hole in the system under test would read as a dead load generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from chaoslib_ext.clock import NS, format_duration
from chaoslib_ext.stats import exact

SILENT_S = 15.0  # how long a load child may say nothing where the file has no rule on that; it speaks once a second; chosen by feel
BLIND_S = 10.0  # an alert that ends the run must be read at least so often, or the run has no brake; chosen by feel


@dataclass(frozen=True, slots=True)
class Limit:
    """
    A share of bad requests that must not last for `for_s` seconds: of the SLI of `slo`, or of all requests when that is None.

    It is broken in a second when the share of good ones is below `below`, or the share of bad ones reaches `errors`.
    """

    rule: str
    for_s: float
    slo: str | None = None
    below: float | None = None
    errors: float | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The stop rules of an experiment. `no_data_s`: stop when nothing was measured for so long; None: never. `alerts` stop when they fire.

    `silent_s`: stop when the load child has said nothing at all for so long, whatever was due; None: never.
    """

    no_data_s: float | None = None
    limits: tuple[Limit, ...] = ()
    alerts: tuple[str, ...] = ()
    silent_s: float | None = None

    @classmethod
    def of(cls, stop: Iterable[Mapping[str, Any]]) -> Rules:
        """The rules of a block's `stop`: `{no_data}`, `{slo, below, for_s}`, `{error_ratio, for_s}`, `{alert}`; of several `no_data` the shortest."""
        rules = list(stop)
        silence = min((float(rule["no_data"]) for rule in rules if "no_data" in rule), default=None)
        limits = tuple(_limit(rule) for rule in rules if "slo" in rule or "error_ratio" in rule)
        return cls(silence, limits, tuple(str(rule["alert"]) for rule in rules if "alert" in rule))


def _limit(rule: Mapping[str, Any]) -> Limit:
    for_s = float(rule["for_s"])
    lasting = f"for {format_duration(for_s)}"
    if "slo" in rule:
        return Limit(f"slo: {rule['slo']} below {rule['below']:.6g} {lasting}", for_s, slo=str(rule["slo"]), below=float(rule["below"]))
    return Limit(f"error_ratio: {rule['error_ratio']:.6g} {lasting}", for_s, errors=float(rule["error_ratio"]))


@dataclass(frozen=True, slots=True)
class Watch:
    """
    What the guard remembers: when data last arrived, in nanoseconds of the run's clock, how many requests were overdue in the
    last second, for how many seconds in a row each limit has been broken, and when the load child last spoke.
    """

    last_data_ns: int
    overdue: int = 0
    broken_s: tuple[int, ...] = ()
    last_word_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """The newest answer about an alert: firing, pending or inactive, as of `at_ns` of the run's clock."""

    state: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Halt:
    """The guard's word to stop: the rule as written, a reason code, and what was seen."""

    rule: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Second:
    """One second's counts. `failed` are those that ended badly or have become overdue, each counted once."""

    good: int
    failed: int
    slis: Mapping[str, Any] = field(default_factory=dict)


def step(rules: Rules, watch: Watch, now_ns: int, second: dict[str, Any] | None, alerts: Mapping[str, Alert] | None = None) -> tuple[Watch, Halt | None]:
    """
    The next state of the guard, and a Halt when a rule ends the run.

    `second` is the newest one-second summary of the load child, or None when none arrived since the last step; `alerts` hold
    the newest reading of each alert that was ever read.
    """
    halt = None
    if second is not None:
        watch = replace(watch, last_word_ns=now_ns)
        if any(second[name] > 0 for name in ("good", "bad", "overdue")):
            watch = replace(watch, last_data_ns=now_ns)
        watch, halt = _limits(rules, watch, second)
    return watch, halt or _silence(rules, watch, now_ns) or _alerts(rules, now_ns, alerts or {})


def _silence(rules: Rules, watch: Watch, now_ns: int) -> Halt | None:
    silent_s = (now_ns - watch.last_data_ns) / NS
    if rules.no_data_s is not None and silent_s >= rules.no_data_s:
        return Halt(f"no_data: {rules.no_data_s:g}s", "STOP_NO_DATA", f"no request was answered or overdue for {silent_s:.1f} s")
    word_s = (now_ns - (watch.last_data_ns if watch.last_word_ns is None else watch.last_word_ns)) / NS
    if rules.silent_s is not None and word_s >= rules.silent_s:
        return Halt(f"no_data: {rules.silent_s:g}s (by default)", "STOP_NO_DATA", f"the load child said nothing for {word_s:.1f} s")
    return None


def capped(writes: int) -> Halt:
    """The load has made as many writes as a run may; the next one was not sent."""
    return Halt(f"caps.writes: {writes}", "STOP_RULE", f"the load has made {writes:,} writes, as many as the environment allows a run")


def _limits(rules: Rules, watch: Watch, second: dict[str, Any]) -> tuple[Watch, Halt | None]:
    """Counts one more second for each limit that is broken; a second without any sample neither breaks a limit nor mends it."""
    grown = second["overdue"] - watch.overdue  # a request that becomes overdue has failed; when it ends, it has failed already
    seen = _Second(second["good"], max(0, second["bad"] + grown), second.get("slis", {}))
    before = watch.broken_s or (0,) * len(rules.limits)
    halt, after = None, []
    for limit, lasted in zip(rules.limits, before, strict=True):
        share = _good_share(limit, seen, bool(second["overdue"]))
        broken = share is not None and _breaks(limit, share)
        lasted = lasted + 1 if broken or (share is None and lasted) else 0
        if broken and lasted >= limit.for_s and halt is None:
            halt = Halt(limit.rule, "STOP_RULE", f"{float(share or 0):.1%} good in the last second, broken for {lasted} s in a row")
        after.append(lasted)
    return replace(watch, overdue=second["overdue"], broken_s=tuple(after)), halt


def _good_share(limit: Limit, seen: _Second, waiting: bool) -> Fraction | None:
    """The share of good samples in a second; None when there was nothing to tell from. What is not answered at all while requests are overdue is not good."""
    if limit.slo is None:
        return Fraction(seen.good, seen.good + seen.failed) if seen.good + seen.failed else None
    good, total = seen.slis.get(limit.slo, (0, 0))
    if total:
        return Fraction(good, total)
    return Fraction(0) if waiting else None


def _breaks(limit: Limit, good_share: Fraction) -> bool:
    if limit.below is not None:
        return good_share < exact(limit.below)
    return 1 - good_share >= exact(limit.errors or 0.0)


def _alerts(rules: Rules, now_ns: int, alerts: Mapping[str, Alert]) -> Halt | None:
    for name in rules.alerts:
        seen = alerts.get(name)
        if seen is not None and seen.state == "firing":
            return Halt(f"alert: {name}", "STOP_RULE", f"the alert {name} is firing")
        if seen is None or (now_ns - seen.at_ns) / NS >= BLIND_S:
            since = f"for {(now_ns - seen.at_ns) / NS:.1f} s" if seen else "at all"
            return Halt(f"alert: {name}", "SOURCE_UNREACHABLE", f"the alert {name} could not be read {since}; the run would have no brake")
    return None
