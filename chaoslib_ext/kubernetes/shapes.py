"""Reading other people's JSON without trusting its shape: what is missing or of another kind reads as empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSON = dict[str, Any]


def mapping(thing: object, *path: str) -> JSON:
    """The object at a path, or an empty one."""
    for name in path:
        thing = thing.get(name) if isinstance(thing, dict) else None
    return thing if isinstance(thing, dict) else {}


def rows(thing: object, *path: str) -> list[JSON]:
    """The objects of the list at a path; what is no object in it is left out."""
    found = mapping(thing, *path[:-1]).get(path[-1]) if path else thing
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def text(thing: object, *path: str) -> str:
    """The text at a path, or an empty one."""
    found = mapping(thing, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""


def number(thing: object, *path: str) -> int | None:
    """The whole number at a path, or None."""
    found = mapping(thing, *path[:-1]).get(path[-1])
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def texts(thing: object, *path: str) -> dict[str, str]:
    """The texts of the object at a path by their names, like labels."""
    return {name: value for name, value in mapping(thing, *path).items() if isinstance(value, str)}


def condition(thing: object, kind: str) -> str:
    """The status of a condition: True, False, Unknown, or empty when there is none."""
    return next((text(one, "status") for one in rows(thing, "status", "conditions") if text(one, "type") == kind), "")


def chooses(selector: object, labels: Mapping[str, str]) -> bool:
    """
    Whether a selector inside an object (`matchLabels`, `matchExpressions`) chooses these labels.

    An empty selector chooses everything, as for budgets of policy/v1; no selector, or one that cannot be understood, chooses nothing.
    """
    if not isinstance(selector, dict):
        return False
    if any(labels.get(name) != value for name, value in mapping(selector, "matchLabels").items()):
        return False
    return all(_meets(one, labels) for one in rows(selector, "matchExpressions"))


def _meets(expression: JSON, labels: Mapping[str, str]) -> bool:
    name, values = text(expression, "key"), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(name) in values
        case "NotIn":
            return labels.get(name) not in values
        case "Exists":
            return name in labels
        case "DoesNotExist":
            return name not in labels
    return False
