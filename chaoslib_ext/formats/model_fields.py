"""
What the models of our files share: strictness, and the kinds of values people write (`40s`, `95%`, `20/s`).

Imports pydantic; only the `*_models` modules import this one, and they are imported when a file is read.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema

from chaoslib_ext.clock import parse_duration
from chaoslib_ext.formats.quantities import parse_rate, parse_ratio, shown


class StrictModel(BaseModel):
    """A mapping in a file: unknown keys are errors, and nothing is converted by guessing."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _not_built(value: object, info: ValidationInfo) -> object:
    if value is not None:
        raise ValueError(f"`{str(info.field_name).rstrip('_')}` is not built yet; remove it")
    return value


def _duration(value: object) -> float:
    try:
        return parse_duration(value)  # type: ignore[arg-type]  # it refuses what is not a text
    except OverflowError:
        raise ValueError(f"got {shown(value)}, expected a duration a person can wait for") from None


def _longer_than_zero(value: float) -> float:
    if not 0 < value < 10 * 365 * 86400:
        raise ValueError('got a duration of 0 or of years; expected one that a run can wait for, like "40s"')
    return value


def _inside(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"got {value:g}, expected more than 0 and less than 1; no number of requests decides a promise of all or none")
    return value


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^(\s*[0-9]+(\.[0-9]+)?\s*(ms|s|min|m|h|d|w)\s*)+$", "examples": ["40s", "250ms"]})
_RATIO_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^\s*[0-9.]+\s*%\s*$"}], "examples": [0.95, "95%"]}
)
_RATE_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*/\s*s\s*$", "examples": ["20/s"]})

Duration = Annotated[float, BeforeValidator(_duration), _DURATION_SCHEMA]
PositiveDuration = Annotated[float, BeforeValidator(_duration), AfterValidator(_longer_than_zero), _DURATION_SCHEMA]
Ratio = Annotated[float, BeforeValidator(parse_ratio), _RATIO_SCHEMA]
TargetRatio = Annotated[float, BeforeValidator(parse_ratio), AfterValidator(_inside), _RATIO_SCHEMA]
Rate = Annotated[float, BeforeValidator(parse_rate), _RATE_SCHEMA]
NotBuilt = Annotated[Any, BeforeValidator(_not_built), WithJsonSchema({"type": "null", "description": "Read, but not built yet: refused unless null."})]
