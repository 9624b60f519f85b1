"""`${name}` in the texts of a file, found as Chaos Toolkit's templates find them."""

from __future__ import annotations

import re

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
