"""The checks of a hypothesis tolerance, by the rules of chaoslib's `ensure_hypothesis_tolerance_is_valid`."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.yamlfile import KeyPath

_TYPES = ("probe", "regex", "jsonpath", "range")


def tolerance_problems(tolerance: Any) -> list[tuple[KeyPath, str]]:
    """What is wrong with a tolerance: where below it, and what."""
    if isinstance(tolerance, float):
        return [((), f"got {shown(tolerance)}, which Chaos Toolkit refuses; write {{type: range, range: [{shown(tolerance)}, {shown(tolerance)}]}}")]
    if not isinstance(tolerance, bool | int | str | list | dict):
        return [((), f"got {shown(tolerance)}, expected true or false, a whole number, a text, a list or a mapping with `type`")]
    if not isinstance(tolerance, dict):
        return []
    kind = tolerance.get("type")
    if kind == "range":
        return _range(tolerance.get("range"))
    if kind == "regex":
        return _regex(tolerance.get("pattern"))
    if kind == "jsonpath":
        return _jsonpath(tolerance.get("path"))
    return [] if kind == "probe" else [(("type",), f"got {shown(kind)}, expected one of {', '.join(_TYPES)}")]


def _range(bounds: Any) -> list[tuple[KeyPath, str]]:
    good = isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(one, int | float) and not isinstance(one, bool) for one in bounds)
    return [] if good else [(("range",), f"got {shown(bounds)}, expected two plain numbers, like [0, 0.25]; Chaos Toolkit takes no variables here")]


def _regex(pattern: Any) -> list[tuple[KeyPath, str]]:
    if not isinstance(pattern, str):
        return [(("pattern",), f"got {shown(pattern)}, expected a regular expression as a text")]
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return [(("pattern",), f"got {shown(pattern)}, which is not a regular expression: {error}")]
    return []


def _jsonpath(path: Any) -> list[tuple[KeyPath, str]]:
    return [] if isinstance(path, str) and path.strip() else [(("path",), f"got {shown(path)}, expected a JSON path like $.status")]


def missing_package(tolerance: Any) -> str:
    """The package that this tolerance needs and that is not there, and how to install it; empty when nothing is missing."""
    if isinstance(tolerance, dict) and tolerance.get("type") == "jsonpath" and importlib.util.find_spec("jsonpath2") is None:
        return "package jsonpath2 is not installed; pip install 'chaostoolkit-lib[jsonpath]'"
    return ""
