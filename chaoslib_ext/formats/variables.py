"""`${name}` in the texts of a file, found as Chaos Toolkit's templates find them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_TEMPLATE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)\})")


def names_in(value: object) -> set[str]:
    """The variables named anywhere in plain data; `$${name}` is an escape and names none."""
    if isinstance(value, str):
        return {match["name"] for match in _TEMPLATE.finditer(value) if match["name"]}
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return {name for item in value for name in names_in(item)}
    return set()


def substituted(value: Any, known: Mapping[str, Any]) -> Any:
    """
    Plain data with each `${name}` replaced; what nobody knows stays as it is.

    A text that is nothing but one `${name}` takes the value in its own type, as Chaos Toolkit does it.
    """
    if isinstance(value, dict):
        return {key: substituted(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [substituted(item, known) for item in value]
    if not isinstance(value, str):
        return value
    whole = _TEMPLATE.fullmatch(value)
    if whole is not None and whole["name"] in known:
        return known[whole["name"]]
    return _TEMPLATE.sub(lambda match: "$" if match["escaped"] else str(known.get(match["name"], match[0])), value)


def configured(configuration: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The values of an experiment's `configuration` that are known before it runs: plain ones and those of type `env`."""
    known: dict[str, Any] = {}
    for name, value in configuration.items():
        if not isinstance(value, dict) or "type" not in value:
            known[name] = value
        elif value["type"] == "env" and (value.get("key") in environ or "default" in value):
            known[name] = _typed(environ.get(value["key"], value.get("default")), value.get("env_var_type"))
    return known


def _typed(value: Any, type_: str | None) -> Any:
    """The value of an environment variable in the type that the file asks for; as it is where it cannot be one."""
    if not isinstance(value, str) or type_ is None:
        return value
    kinds: dict[str, Callable[[str], Any]] = {"int": int, "integer": int, "float": float, "number": float, "json": json.loads}
    try:
        if type_ in ("bool", "boolean"):
            return value.lower() not in ("false", "0", "no")  # as Chaos Toolkit reads it
        return kinds.get(type_, str)(value)
    except ValueError:
        return value
