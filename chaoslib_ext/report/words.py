"""
Text and numbers as the outputs print them: foreign text made harmless, numbers in one manner everywhere.

Everything that came from outside (titles, endpoint names, error texts) passes `clean` before it is printed.
"""

from __future__ import annotations

import math
import re
from typing import Any

CAP = 300
NBSP = "\u00a0"
_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")


class Prose(str):
    """Text composed by us whose foreign parts are cleaned already: escaped when printed, never cut."""

    __slots__ = ()


def clean(value: object, cap: int = CAP) -> str:
    """Foreign text without control, direction or surrogate characters, on one line, at most `cap` characters."""
    text = _HIDDEN.sub("", _BREAKS.sub(" ", str(value)[: cap * 8])).strip()
    return text if len(text) <= cap else text[: cap - 1].rstrip() + "…"


def number(count: int | float) -> str:
    """`4100` as `4,100`; a fraction keeps at most two decimals."""
    if isinstance(count, int) or float(count).is_integer():
        return f"{int(count):,}"
    return f"{count:,.2f}".rstrip("0").rstrip(".")


def percent(ratio: float, decimals: int = 2) -> str:
    """`0.9737` as `97.37 %`. Cut, never rounded: one bad sample in a million must not read as 100 %, nor one good one as 0 %."""
    for digits in range(decimals, 8):
        shown = math.floor(ratio * 100 * 10**digits + 1e-6) / 10**digits
        if shown > 0 or ratio <= 0:
            break
    text = f"{shown:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + NBSP + "%"


def seconds(value_s: float) -> str:
    """`43.0` as `43 s`, `3.14` as `3.1 s`, `0.254` as `0.25 s`, `754` as `12 min 34 s`."""
    if abs(value_s) >= 600:
        minutes, rest = divmod(round(value_s), 60)
        return f"{minutes}{NBSP}min" + (f"{NBSP}{rest}{NBSP}s" if rest else "")
    return f"{_short(value_s)}{NBSP}s"


def bracket(lo_s: float, hi_s: float | None) -> str:
    """`3.1–3.4 s`, or with a second decimal where the ends are close; `more than 12 s` when the upper end was never reached."""
    if hi_s is None:
        return f"more than {seconds(lo_s)}"
    low, high = _short(lo_s), _short(hi_s)
    if low == high:
        low, high = _short(lo_s, 2), _short(hi_s, 2)
    return seconds(hi_s) if low == high else f"{low}–{high}{NBSP}s"


def _short(value_s: float, digits: int = 1) -> str:
    text = f"{value_s:.{2 if abs(value_s) < 1 else digits}f}"
    return text.rstrip("0").rstrip(".").replace("-0", "0") if float(text) == 0 else text.rstrip("0").rstrip(".")


def at(t_ns: float) -> str:
    """A moment of the run, `T+20.3 s`."""
    return f"T+{t_ns / 1e9:.1f}{NBSP}s"


def between(lo_ns: float, hi_ns: float) -> str:
    """A bracketed moment, `T+20.31–20.36 s`; milliseconds matter here."""
    low, high = f"{lo_ns / 1e9:.2f}", f"{hi_ns / 1e9:.2f}"
    return f"T+{low}{NBSP}s" if low == high else f"T+{low}–{high}{NBSP}s"


def millis(value_ms: float) -> str:
    """`0.42 ms`, `38 ms`, `1,250 ms`."""
    return f"{number(round(value_ms, 2) if abs(value_ms) < 10 else round(value_ms))}{NBSP}ms"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 target`, `2 targets`."""
    return f"{number(n)}{NBSP}{noun if n == 1 else plural or noun + 's'}"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def whole(value: Any) -> int:
    """The integer in a JSON value, 0 where there is none."""
    return int(value) if isinstance(value, int | float) else 0
