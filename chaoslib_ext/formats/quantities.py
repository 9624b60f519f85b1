"""Ratios and rates as people write them in files: `95%`, `0.95`, `20/s`."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_PERCENT = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,12})?)\s*%\s*")
_RATE = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*/\s*s\s*")
_MAX_RATE = 1_000_000.0  # per second; far beyond what one generator sends, chosen to catch slips of the finger


def parse_ratio(value: object) -> float:
    """
    A ratio from 0 to 1, written `0.95` or `95%`.

    A bare number above 1 is refused: 99.9 may be meant as a percentage, but a guess about a promise is not made.
    Raises ValueError with what was got, what was expected and what to write.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and 0 <= value <= 1:
            return float(value)
        if 1 < value <= 100:
            raise ValueError(f'got {value}, expected a ratio from 0 to 1; write {Decimal(str(value)) / 100} or "{value}%"')
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        if match and Decimal(match[1]) <= 100:
            return float(Decimal(match[1]) / 100)
    raise ValueError(f'got {shown(value)}, expected a ratio from 0 to 1, like 0.95 or "95%"')


def parse_rate(value: object) -> float:
    """
    Arrivals per second, written `20/s`.

    A bare number is refused: its unit would be a guess. Raises ValueError with what was expected.
    """
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        hint = f'; write "{value}/s"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
        raise ValueError(f'got {shown(value)}, expected a rate per second, like "20/s"{hint}')
    if float(match[1]) > _MAX_RATE:
        raise ValueError(f"got {shown(value)}, expected at most {_MAX_RATE:.0f}/s")
    return float(match[1])


def shown(value: object) -> str:
    """A value as an error message shows it: its `repr`, shortened to 60 characters."""
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python prints
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= 60 else text[:57] + "..."
