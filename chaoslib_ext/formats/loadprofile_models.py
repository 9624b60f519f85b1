"""The shape of a load profile file, as pydantic models that build the plain ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from chaoslib_ext.formats.model_fields import NotBuilt, PositiveDuration, Rate, StrictModel
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.write_models import Node, WriteLedgerModel
from chaoslib_ext.loadprofile import Journey, LoadProfile, Step
from chaoslib_ext.schedule import Stage

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REQUEST = re.compile(r"([A-Z]+) (/(?!/)[\x21\x22\x24-\x7e]*)")  # printable ASCII without #
_CAPTURE = re.compile(r"\$(\.[A-Za-z0-9_-]+)+")
_STATUS_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "array", "items": {"type": "integer"}, "minItems": 1}]
}
_VARIABLE = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_MOST_USERS = 100_000
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _request(value: object) -> str:
    match = _REQUEST.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[1] not in _METHODS:
        known = ", ".join(_METHODS)
        raise ValueError(f'got {shown(value)}, expected a method and a path, like "POST /pay" (methods: {known}); the host comes from the environment')
    return match[0]


def _capture(value: dict[str, str]) -> dict[str, str]:
    for name, path in value.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"got {shown(name)}, expected a variable name of letters, digits and _")
        if not _CAPTURE.fullmatch(path):
            raise ValueError(f"got {shown(path)} for {name}, expected a dotted path like $.a.b; other JSON paths are not built yet")
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"got {shown(name)}, expected the name of an HTTP header")
        if not text.isprintable() or not text.isascii():
            raise ValueError(f"got {shown(text)} for {name}, expected printable ASCII on one line")
    return value


def _json(value: object) -> object:
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError("holds a value that JSON has not (YAML makes dates of 2026-01-31 and numbers of bare keys); put it in quotes")
    return value


def _statuses(value: object) -> object:
    statuses = value if isinstance(value, list) else [value]
    for status in statuses:
        if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
            raise ValueError(f"got {shown(status)}, expected an HTTP status from 100 to 599, or a list of them")
    if not statuses:
        raise ValueError("got an empty list, expected at least one HTTP status")
    return statuses


def _arrivals(value: object) -> object:
    if isinstance(value, dict) and "replay" in value:
        raise ValueError("`replay` is not built yet; use uniform or poisson")
    return value


def _some(value: float) -> float:
    if value <= 0:
        raise ValueError("got 0/s, expected more: nobody would ever come")
    return value


def _secret(value: object) -> object:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise ValueError(f"got {shown(value)}, expected the name of an environment variable, never its value")
    return value


class StageModel(StrictModel):
    rate: Rate
    to: Rate | None = None
    for_: Annotated[PositiveDuration | None, Field(alias="for")] = None


class CheckModel(StrictModel):
    status: Annotated[list[int], BeforeValidator(_statuses), WithJsonSchema(_STATUS_SCHEMA)]


class StepModel(StrictModel):
    request: Annotated[str, BeforeValidator(_request), WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(_METHODS)}) /"})]
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = Field(default_factory=dict)
    json_: Annotated[Any, BeforeValidator(_json), Field(alias="json")] = None
    capture: Annotated[dict[str, str], AfterValidator(_capture)] = Field(default_factory=dict)
    timeout: PositiveDuration = 2.0
    slo: str | None = None
    check: CheckModel | None = None
    write: Annotated[str, Field(min_length=1)] | None = None
    sql: NotBuilt = None

    def step(self) -> Step:
        """The plain step."""
        method, _, path = self.request.partition(" ")
        name = f"{method} {path.partition('?')[0]}"
        statuses = tuple(self.check.status) if self.check else ()
        return Step(name, method, path, self.headers, self.json_, self.capture, self.timeout, statuses, self.slo, self.write)


class JourneyModel(StrictModel):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    steps: Annotated[list[StepModel], Field(min_length=1)]


class LoadProfileModel(StrictModel):
    """A load profile file."""

    apiVersion: Literal["chaosx/v1"]
    kind: Literal["LoadProfile"]
    stages: list[StageModel] = Field(default_factory=list)
    arrivals: Annotated[Literal["uniform", "poisson"], BeforeValidator(_arrivals)] = "uniform"
    journeys: list[JourneyModel] = Field(default_factory=list)
    data: Annotated[str, Field(min_length=1)] | None = None
    secrets: list[Annotated[str, BeforeValidator(_secret)]] = Field(default_factory=list)
    writes: Annotated[dict[Node, WriteLedgerModel], Field(max_length=100)] = Field(default_factory=dict)
    locustfile: Annotated[str, Field(min_length=1)] | None = None
    users: Annotated[int, Field(ge=1, le=_MOST_USERS)] | None = None
    spawn_rate: Annotated[Rate, AfterValidator(_some)] | None = None

    def profile(self, path: Path) -> LoadProfile:
        """The plain load profile of the file at `path`."""
        stages = tuple(Stage(stage.rate, stage.to, stage.for_) for stage in self.stages)
        journeys = tuple(Journey(one.name, float(one.weight), tuple(step.step() for step in one.steps)) for one in self.journeys)
        locustfile = None if self.locustfile is None else str(path.parent / self.locustfile)
        writes = {name: one.ledger() for name, one in self.writes.items()}
        return LoadProfile(
            stages, self.arrivals, journeys, locustfile, str(path), writes, secrets=tuple(self.secrets), users=self.users, spawn_rate=self.spawn_rate
        )
