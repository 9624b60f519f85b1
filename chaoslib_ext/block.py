"""Our block of an experiment, as plain data: objectives, windows, faults, stop rules. All times in seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.slo import Slo


@dataclass(frozen=True, slots=True)
class Windows:
    """How long each phase takes; `recovery_s` at most: it ends once the system has recovered and stayed so for `stable_s`."""

    warmup_s: float = 5.0
    baseline_s: float = 15.0
    recovery_s: float = 60.0
    stable_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Objective:
    """An SLO promised in a window (baseline, fault, recovered, whole); `target` None means the SLO's own."""

    slo: str
    window: str
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Rto:
    """Recovery of all `slos` within `objective_s` of the activity `from_` (None: of the first effective fault)."""

    objective_s: float
    slos: list[str]
    from_: str | None = None


@dataclass(frozen=True, slots=True)
class Rpo:
    """
    No more than `max_writes` acknowledged writes of the load profile's `ledger` are lost, and none acknowledged earlier than `objective_s` before the fault.

    At least one of the two is given; None of them promises nothing. An objective of 0 s means no lost write at all.
    """

    ledger: str
    objective_s: float | None = None
    max_writes: int | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """The Prometheus alert that must fire within `within_s` of the first effective fault."""

    alert: str
    within_s: float


@dataclass(frozen=True, slots=True)
class FaultBlock:
    """What the file says about one action. `neutral` means that it does no harm; `caps` as `environment.parse_caps` gives them."""

    effect: str = "auto"
    neutral: bool = False
    caps: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most of an SLO's error budget that the run may spend, as a ratio of the whole."""

    slo: str
    max_spend: float


@dataclass(frozen=True, slots=True)
class Block:
    """
    Everything the runner and the verdict need from the experiment's own part, with the files that it names.

    `stop` holds rules as `guard.Rules.of` reads them, like `{"no_data": 5.0}`, in seconds.
    `self_test` is `{verdict, reasons, env?}` and never changes a verdict.
    """

    slos: list[Slo] = field(default_factory=list)
    load: LoadProfile | None = None
    windows: Windows = field(default_factory=Windows)
    objectives: list[Objective] = field(default_factory=list)
    rto: Rto | None = None
    recovery_after_removal_s: float | None = None
    faults: dict[str, FaultBlock] = field(default_factory=dict)
    stop: list[dict[str, Any]] = field(default_factory=list)
    budget: Budget | None = None
    control: str = "none"
    self_test: dict[str, Any] | None = None
    rpo: Rpo | None = None
    detection: Detection | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, enough to judge from a run directory alone; `from_json` gives back an equal block."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Block:
        """The block of `to_json`, also after a trip through JSON."""
        return cls(
            slos=[Slo.from_json(one) for one in data["slos"]],
            load=LoadProfile.from_json(data["load"]) if data["load"] else None,
            windows=Windows(**data["windows"]),
            objectives=[Objective(**one) for one in data["objectives"]],
            rto=Rto(**data["rto"]) if data["rto"] else None,
            recovery_after_removal_s=data["recovery_after_removal_s"],
            faults={name: FaultBlock(**one) for name, one in data["faults"].items()},
            stop=data["stop"],
            budget=Budget(**data["budget"]) if data["budget"] else None,
            control=data["control"],
            self_test=data["self_test"],
            rpo=Rpo(**data["rpo"]) if data.get("rpo") else None,
            detection=Detection(**data["detection"]) if data.get("detection") else None,
        )

    def slo(self, name: str) -> Slo:
        """The SLO called `name`; KeyError when the file names none so (reading refuses such files)."""
        return {slo.name: slo for slo in self.slos}[name]
