"""
The shape of OpenSLO v1 documents, as pydantic models: the rules of OpenSLO's own SDK, not of its old JSON Schema.

Fields whose behaviour is not built are part of the shape; `slo` refuses them by name where they matter.
Source: the OpenSLO v1 specification and the validators of its Go SDK.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from chaoslib_ext.formats.model_fields import StrictModel
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.slo import parse_shorthand

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _name(value: object) -> object:
    if isinstance(value, str) and not _LABEL.fullmatch(value):
        raise ValueError(f"got {shown(value)}, expected a name of at most 63 lower-case letters, digits and hyphens (RFC 1123)")
    return value


def _target(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 < value < 1:
            return float(value)
        if 1 < value < 100:
            raise ValueError(f"got {value}, expected a ratio above 0 and below 1; write it as `targetPercent: {value}`")
    raise ValueError(f"got {shown(value)}, expected a ratio above 0 and below 1, like 0.995")


def _percent(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 100:
        return float(value)
    raise ValueError(f"got {shown(value)}, expected a percentage above 0 and below 100, like 99.5")


def _moment(value: object) -> str:
    if isinstance(value, datetime):  # YAML makes datetimes of them
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, str) and not isinstance(value, date):
        try:
            return datetime.strptime(value, "%Y-%m-%d %H:%M:%S").isoformat(sep=" ")
        except ValueError:
            pass
    raise ValueError(f"got {shown(value)}, expected a time like 2026-01-01 12:00:00")


def _period(value: object) -> float:
    return parse_shorthand(value)


Name = Annotated[str, BeforeValidator(_name)]
Target = Annotated[float, BeforeValidator(_target), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})]
Percent = Annotated[float, BeforeValidator(_percent), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100})]
Moment = Annotated[str, BeforeValidator(_moment), WithJsonSchema({"type": "string"})]
Period = Annotated[float, BeforeValidator(_period), WithJsonSchema({"type": "string", "pattern": "^[0-9]+[mhdwMQY]$"})]


def _one_window(value: list[Any]) -> list[Any]:
    if len(value) != 1:
        raise ValueError(f"got {len(value)} time windows, expected exactly 1")
    return value


def _some(value: list[Any]) -> list[Any]:
    if not value:
        raise ValueError("got an empty list, expected at least 1 objective")
    return value


class Metadata(StrictModel):
    name: Name
    displayName: Annotated[str, Field(max_length=63)] | None = None
    labels: dict[str, Any] | None = None
    annotations: dict[str, str] | None = None


class MetricSource(StrictModel):
    metricSourceRef: str | None = None
    type: str | None = None
    spec: dict[str, Any]


class Metric(StrictModel):
    metricSource: MetricSource


class RatioMetric(StrictModel):
    counter: bool | None = None
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw: Metric | None = None
    rawType: Literal["success", "failure"] | None = None


class IndicatorSpec(StrictModel):
    description: Annotated[str, Field(max_length=1050)] | None = None
    ratioMetric: RatioMetric | None = None
    thresholdMetric: Metric | None = None


class Indicator(StrictModel):
    metadata: Metadata | None = None
    spec: IndicatorSpec


class Calendar(StrictModel):
    startTime: Moment
    timeZone: str


class TimeWindow(StrictModel):
    duration: Period
    isRolling: bool = True
    calendar: Calendar | None = None


class Objective(StrictModel):
    displayName: str | None = None
    target: Target | None = None
    targetPercent: Percent | None = None
    op: Literal["lte", "gte", "lt", "gt"] | None = None
    value: float | None = None
    timeSliceTarget: float | None = None
    timeSliceWindow: Any = None
    indicator: Any = None
    indicatorRef: Any = None
    compositeWeight: Any = None


class SloSpec(StrictModel):
    description: Annotated[str, Field(max_length=1050)] | None = None
    service: str
    indicator: Indicator | None = None
    indicatorRef: str | None = None
    timeWindow: Annotated[list[TimeWindow], AfterValidator(_one_window)]
    budgetingMethod: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: Annotated[list[Objective], AfterValidator(_some)]
    alertPolicies: list[Any] | None = None


class SloDocument(StrictModel):
    """One OpenSLO v1 document of kind SLO."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: SloSpec


class SliDocument(StrictModel):
    """One OpenSLO v1 document of kind SLI."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["SLI"]
    metadata: Metadata
    spec: IndicatorSpec


class DataSourceSpec(StrictModel):
    description: str | None = None
    type: str
    connectionDetails: dict[str, Any] | None = None


class DataSourceDocument(StrictModel):
    """One OpenSLO v1 document of kind DataSource."""

    apiVersion: Literal["openslo/v1"]
    kind: Literal["DataSource"]
    metadata: Metadata
    spec: DataSourceSpec


class Select(StrictModel):
    name: str | None = None
    class_: Annotated[Literal["journey", "step"] | None, Field(alias="class")] = None


class PrometheusSpec(StrictModel):
    """The `spec` of a metric source of type `Prometheus`: PromQL for a counter."""

    query: Annotated[str, Field(min_length=1, max_length=8000)]


def _condition(value: object) -> object:
    if value == "success":
        return {"latency_ms": None}
    if isinstance(value, dict):
        return value
    raise ValueError(f"got {shown(value)}, expected `success` or `{{latency_ms: 250}}`")


class Condition(StrictModel):
    latency_ms: Annotated[float, Field(gt=0)] | None = None


class LocustSpec(StrictModel):
    """The `spec` of a metric source of type `locust`: which samples, and which of them are good."""

    select: Select
    condition: Annotated[Condition | None, BeforeValidator(_condition)] = None
