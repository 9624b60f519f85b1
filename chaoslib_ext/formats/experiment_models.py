"""The shape of our block in an experiment's `extensions`, as pydantic models that build the plain one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from chaoslib_ext.block import Block, Budget, Detection, FaultBlock, Objective, Rpo, Rto, Windows
from chaoslib_ext.formats.file_problems import nearest
from chaoslib_ext.formats.model_fields import Duration, NotBuilt, PositiveDuration, Ratio, StrictModel, TargetRatio
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.reasons import REASONS
from chaoslib_ext.slo import Slo


def _auto(value: object) -> object:
    if value != "auto":
        raise ValueError(f"got {shown(value)}, expected auto; an effect of the file's own is not built yet")
    return value


def _version(value: object) -> object:
    if value != 1 or isinstance(value, bool):
        raise ValueError(f"got {shown(value)}, expected 1, the only version that this chaosx reads")
    return value


def _reason(value: object) -> object:
    if not isinstance(value, str) or value not in REASONS:
        near = nearest(value, REASONS)
        raise ValueError(f"got {shown(value)}, expected a reason code" + (f"; did you mean {near}?" if near else ""))
    return value


def _more_than_none(value: float) -> float:
    if value <= 0:
        raise ValueError("got 0, expected more than 0: such a rule would stop always, or never")
    return value


SomeRatio = Annotated[Ratio, AfterValidator(_more_than_none)]
AlertName = Annotated[str, Field(min_length=1, max_length=200)]


class WindowsModel(StrictModel):
    warmup: Duration = 5.0
    baseline: PositiveDuration = 15.0
    recovery: PositiveDuration = 60.0
    stable: PositiveDuration = 10.0


class ObjectiveModel(StrictModel):
    slo: str
    window: Literal["baseline", "fault", "recovered", "whole"]
    target: TargetRatio | None = None


class RtoModel(StrictModel):
    objective: PositiveDuration
    slos: Annotated[list[str], Field(min_length=1)] | None = None
    from_: Annotated[str | None, Field(alias="from")] = None


class RemovalModel(StrictModel):
    objective: PositiveDuration


class RpoModel(StrictModel):
    ledger: Annotated[str, Field(min_length=1)]
    objective: Duration | None = None
    max_writes: Annotated[int, Field(ge=0, lt=10**12)] | None = None

    @model_validator(mode="after")
    def _promises(self) -> RpoModel:
        if self.objective is None and self.max_writes is None:
            raise ValueError("promises nothing; add `objective` (seconds of data), `max_writes`, or both")
        return self


class FaultCapsModel(StrictModel):
    zones: Annotated[int, Field(ge=0, lt=10**12)] | None = None
    per_owner: Ratio | None = None
    per_zone: Ratio | None = None


class FaultModel(StrictModel):
    effect: Annotated[Literal["auto"], BeforeValidator(_auto)] = "auto"
    neutral: bool = False
    caps: FaultCapsModel = Field(default_factory=FaultCapsModel)
    removed: NotBuilt = None
    undo: NotBuilt = None


class StopModel(StrictModel):
    no_data: PositiveDuration | None = None
    slo: str | None = None
    below: SomeRatio | None = None
    for_: Annotated[PositiveDuration | None, Field(alias="for")] = None
    error_ratio: SomeRatio | None = None
    alert: AlertName | None = None

    def rule(self) -> dict[str, Any]:
        """The plain rule, as `guard.Rules.of` reads it."""
        named = {"no_data": self.no_data, "slo": self.slo, "below": self.below, "error_ratio": self.error_ratio, "alert": self.alert, "for_s": self.for_}
        return {name: value for name, value in named.items() if value is not None}


class DetectionModel(StrictModel):
    alert: AlertName
    within: PositiveDuration


class BudgetModel(StrictModel):
    slo: str
    max_spend: Ratio


class SelfTestModel(StrictModel):
    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE", "ABORTED", "ERROR", "DIRTY"]
    reasons: list[Annotated[str, BeforeValidator(_reason)]] = Field(default_factory=list)
    env: str | None = None


class BlockModel(StrictModel):
    """Our block in an experiment: the item of `extensions` that is called `chaoslib_ext`."""

    name: Literal["chaoslib_ext"]
    version: Annotated[Literal[1], BeforeValidator(_version)]
    slos: list[str] = Field(default_factory=list)
    load: str | None = None
    windows: WindowsModel = Field(default_factory=WindowsModel)
    objectives: list[ObjectiveModel] = Field(default_factory=list)
    rto: RtoModel | None = None
    recovery_after_removal: RemovalModel | None = None
    rpo: RpoModel | None = None
    detection: DetectionModel | None = None
    faults: dict[str, FaultModel] = Field(default_factory=dict)
    stop: list[StopModel] = Field(default_factory=list)
    budget: BudgetModel | None = None
    control: Literal["none", "a-a", "known-bad"] = "none"
    self_test: SelfTestModel | None = None

    def block(self, slos: list[Slo], load: LoadProfile | None) -> Block:
        """The plain block, with the files that it names."""
        windows = Windows(self.windows.warmup, self.windows.baseline, self.windows.recovery, self.windows.stable)
        objectives = [Objective(one.slo, one.window, one.target) for one in self.objectives]
        named = [slo.name for slo in slos]
        rto = None if self.rto is None else Rto(self.rto.objective, self.rto.slos or named, self.rto.from_)
        faults = {name: FaultBlock(one.effect, one.neutral, one.caps.model_dump(exclude_none=True)) for name, one in self.faults.items()}
        stop = [one.rule() for one in self.stop]
        return Block(
            slos=slos,
            load=load,
            windows=windows,
            objectives=objectives,
            rto=rto,
            recovery_after_removal_s=self.recovery_after_removal.objective if self.recovery_after_removal else None,
            faults=faults,
            stop=stop,
            budget=Budget(self.budget.slo, self.budget.max_spend) if self.budget else None,
            control=self.control,
            self_test=self.self_test.model_dump(exclude_none=True) if self.self_test else None,
            detection=Detection(self.detection.alert, self.detection.within) if self.detection else None,
            rpo=Rpo(self.rpo.ledger, self.rpo.objective, self.rpo.max_writes) if self.rpo else None,
        )
