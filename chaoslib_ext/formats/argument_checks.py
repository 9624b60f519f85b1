"""The checks of the arguments that an experiment gives to a function of ours."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.clock import parse_duration
from chaoslib_ext.formats.file_problems import unknown_key
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.signatures import Parameter, parameters
from chaoslib_ext.formats.variables import names_in
from chaoslib_ext.formats.yamlfile import KeyPath

_EXPECTED: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text; put it in quotes"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
}
_DURATIONS = ("duration", "delay")  # texts that are durations


def argument_problems(module: str, func: str, arguments: dict[Any, Any]) -> list[tuple[KeyPath, str]]:
    """What is wrong with the arguments of a function of ours: where below the provider, and what."""
    declared = parameters(module, func)
    if declared is None:
        return []
    known = {one.name: one for one in declared}
    found: list[tuple[KeyPath, str]] = []
    for name, value in arguments.items():
        where: KeyPath = ("arguments", str(name))
        if name not in known:
            found.append((where, unknown_key(name, known).replace("unknown key", f"unknown argument of {func}")))
        elif text := _wrong(known[name], value):
            found.append((where, text))
    found += [((), f"{func} needs the argument `{one.name}`; add it") for one in declared if one.required and one.name not in arguments]
    return found


def _wrong(parameter: Parameter, value: Any) -> str:
    """What is wrong with one value; empty when nothing is, or when it is not known before the run."""
    if names_in(value):
        return ""
    types, expected = _EXPECTED.get(parameter.annotation, ((object,), ""))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
        if parameter.name in _DURATIONS:
            expected = 'a duration with its unit, like "40s"'
        return f"got {shown(value)}, expected {expected}"
    if parameter.name in _DURATIONS and isinstance(value, str):
        try:
            return "" if parse_duration(value) > 0 else f"got {shown(value)}, expected more than 0s"
        except (ValueError, OverflowError) as error:
            return str(error)
    return ""
