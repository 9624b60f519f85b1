"""Label and field selectors, as the API server reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kube_resources import Resource
from kube_store import Refusal

Chosen = Callable[[dict[str, Any]], bool]

_NAME = r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET = re.compile(rf"\s*({_NAME})\s+(in|notin)\s*\(([^()]*)\)\s*")
_PAIR = re.compile(rf"\s*({_NAME})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)\s*")
_HAS = re.compile(rf"\s*(!?)\s*({_NAME})\s*")
_FIELDS = {
    "pods": {"spec.nodeName", "status.phase", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.podIP", "spec.hostNetwork"},
    "nodes": {"spec.unschedulable"},
    "namespaces": {"status.phase"},
    "events": {"involvedObject.kind", "involvedObject.name", "involvedObject.namespace", "involvedObject.uid", "reason", "type"},
    "replicasets": {"status.replicas"},
    "secrets": {"type"},
}


def _parts(text: str) -> list[str]:
    """The requirements, split at the commas that are in no brackets."""
    found, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return found


def _requirement(text: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.fullmatch(text):
        name, how, values = match[1], match[3], {one.strip() for one in match[4].split(",")}
        return (lambda labels: labels.get(name) in values) if how == "in" else (lambda labels: labels.get(name) not in values)
    if match := _PAIR.fullmatch(text):
        name, how, value = match[1], match[3], match[4]
        return (lambda labels: labels.get(name) != value) if how == "!=" else (lambda labels: labels.get(name) == value)
    if match := _HAS.fullmatch(text):
        absent, name = bool(match[1]), match[2]
        return lambda labels: (name in labels) != absent
    raise Refusal(400, "BadRequest", f"unable to parse requirement: found {text!r}, expected: identifier, '!', 'in', 'notin', '=', '==', '!='")


def by_labels(text: str) -> Chosen:
    """Chooses by `labelSelector`; an empty one chooses all. Refused with 400 when it is none."""
    if not text.strip():
        return lambda thing: True
    asked = [_requirement(part) for part in _parts(text)]
    return lambda thing: all(one(thing["metadata"].get("labels") or {}) for one in asked)


def by_spec(selector: dict[str, Any] | None) -> Chosen:
    """Chooses by a selector inside an object (`matchLabels`, `matchExpressions`); none at all chooses nothing."""
    if selector is None:
        return lambda thing: False
    asked = [_requirement(f"{name}={value}") for name, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or []:
        values = "(" + ",".join(one.get("values") or []) + ")"
        texts = {"In": f"{one['key']} in {values}", "NotIn": f"{one['key']} notin {values}", "Exists": one["key"], "DoesNotExist": "!" + one["key"]}
        asked.append(_requirement(texts[one["operator"]]))
    return lambda thing: all(one(thing["metadata"].get("labels") or {}) for one in asked)


def _value(thing: dict[str, Any], path: str) -> str:
    found: Any = thing
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool):
        return str(found).lower()
    if found is None:
        return "false" if path == "spec.unschedulable" else ""
    return str(found)


def by_fields(text: str, resource: Resource) -> Chosen:
    """Chooses by `fieldSelector`. Refused with 400 for a field that cannot be chosen by."""
    asked: list[tuple[str, bool, str]] = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        match = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", part)
        if match is None or match[1] not in {"metadata.name", "metadata.namespace"} | _FIELDS.get(resource.plural, set()):
            raise Refusal(400, "BadRequest", f'Unable to find "{resource.plural}" that match field selector "{text}": field label not supported: {part}')
        asked.append((match[1], match[2] == "!=", match[3]))
    return lambda thing: all((_value(thing, path) == value) != negated for path, negated, value in asked)
