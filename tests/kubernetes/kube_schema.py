"""What an object must be: unknown fields, defaults, what may not change, and the structural schemas of custom resources."""

from __future__ import annotations

import re
from typing import Any

from kube_resources import Resource
from kube_store import Object, Refusal, clone

_TOP = {"apiVersion", "kind", "metadata", "spec", "status", "data", "stringData", "binaryData", "immutable", "type", "endpoints", "ports", "addressType"}
_EVENT = {"involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "action", "eventTime", "related", "series"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_POD_MUTABLE = {"containers", "initContainers", "activeDeadlineSeconds", "tolerations", "ephemeralContainers", "terminationGracePeriodSeconds"}


def invalid(resource: Resource, name: str, text: str) -> Refusal:
    """The answer to an object that cannot be."""
    return Refusal(422, "Invalid", f'{resource.kind} "{name}" is invalid: {text}', {"name": name, "kind": resource.kind, "group": resource.group})


def check_strict(resource: Resource, thing: Object, asked: str) -> None:
    """Refused with 400 for an unknown field at the top of a built-in kind, when `fieldValidation` is Strict."""
    unknown = sorted(set(thing) - _TOP - _EVENT)
    if asked == "Strict" and unknown and resource.schema is None:
        raise Refusal(400, "BadRequest", f'strict decoding error: unknown field "{unknown[0]}"')


def complete(resource: Resource, thing: Object) -> Object:
    """The object with its defaults, custom ones pruned to their schema. Refused with 422 when it is wrong."""
    new = clone(thing)
    name = new["metadata"].get("name", "")
    new["apiVersion"], new["kind"] = resource.api_version, resource.kind
    if not _NAME.fullmatch(name):
        raise invalid(resource, name, f"metadata.name: Invalid value: {name!r}: a lowercase RFC 1123 subdomain must consist of lower case letters")
    if resource.schema is not None:
        _custom(resource, new)
    elif resource.plural == "pods":
        _pod(resource, new)
    elif resource.plural in ("deployments", "replicasets", "statefulsets", "daemonsets"):
        _workload(resource, new)
    elif resource.plural == "namespaces":
        new.setdefault("status", {}).setdefault("phase", "Active")
    elif resource.plural == "customresourcedefinitions":
        new["status"] = {"conditions": [{"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"}]}
    return new


def _pod(resource: Resource, pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    if not spec.get("containers"):
        raise invalid(resource, pod["metadata"]["name"], "spec.containers: Required value")
    for name, value in (("restartPolicy", "Always"), ("terminationGracePeriodSeconds", 30), ("schedulerName", "default-scheduler")):
        spec.setdefault(name, value)
    pod.setdefault("status", {}).setdefault("phase", "Pending")


def _workload(resource: Resource, thing: Object) -> None:
    spec, name = thing.setdefault("spec", {}), thing["metadata"]["name"]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        raise invalid(resource, name, "spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`")
    if resource.plural != "daemonsets":
        spec["replicas"] = 1 if spec.get("replicas") is None else spec["replicas"]
    if resource.plural == "deployments":
        spec.setdefault("strategy", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})


def check_change(resource: Resource, old: Object, new: Object) -> None:
    """Refused with 422 when what may not change does."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if resource.plural == "pods":
        moved = sorted(name for name in {*before, *after} - _POD_MUTABLE if before.get(name) != after.get(name))
        if moved and not (moved == ["nodeName"] and not before.get("nodeName")):
            raise invalid(
                resource, new["metadata"]["name"], f"spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`: {moved}"
            )
    elif resource.plural in ("deployments", "statefulsets", "replicasets") and before.get("selector") != after.get("selector"):
        raise invalid(resource, new["metadata"]["name"], "spec.selector: Invalid value: field is immutable")


def _custom(resource: Resource, thing: Object) -> None:
    wrong: list[str] = []
    for name, schema in (resource.schema or {}).get("properties", {}).items():
        if name in thing and name != "metadata":
            thing[name] = _fitted(thing[name], schema, name, wrong)
    if wrong:
        raise invalid(resource, thing["metadata"]["name"], "; ".join(wrong))


def _fitted(value: Any, schema: dict[str, Any], path: str, wrong: list[str]) -> Any:
    """The value with unknown fields taken out; what is wrong is added to `wrong`."""
    kind = schema.get("type")
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    if kind in types and not isinstance(value, types[kind]):  # type: ignore[arg-type]
        wrong.append(f"{path}: Invalid value: {type(value).__name__}: must be of type {kind}")
        return value
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{path}: Unsupported value: {value!r}")
    for rule in schema.get("x-kubernetes-validations") or []:
        if rule["rule"].startswith("duration(self) >=") and not _duration_ok(str(value)):
            wrong.append(f"{path}: Invalid value: {value!r}: {rule.get('message', 'must be a valid duration')}")
    if kind == "array":
        return [_fitted(one, schema.get("items") or {}, f"{path}[{index}]", wrong) for index, one in enumerate(value)]
    if kind == "object":
        return _fitted_fields(value, schema, path, wrong)
    return value


def _fitted_fields(value: dict[str, Any], schema: dict[str, Any], path: str, wrong: list[str]) -> dict[str, Any]:
    for name in schema.get("required") or []:
        if name not in value:
            wrong.append(f"{path}.{name}: Required value")
    known, more = schema.get("properties") or {}, schema.get("additionalProperties")
    new = {}
    for name, one in value.items():
        if name in known:
            new[name] = _fitted(one, known[name], f"{path}.{name}", wrong)
        elif isinstance(more, dict):
            new[name] = _fitted(one, more, f"{path}.{name}", wrong)
        elif more or schema.get("x-kubernetes-preserve-unknown-fields"):
            new[name] = one
    return new


def _duration_ok(text: str) -> bool:
    """Whether a Go duration of at least one millisecond."""
    found = list(_DURATION.finditer(text))
    return bool(found) and "".join(one[0] for one in found) == text and sum(float(one[1]) * _UNIT_S[one[3]] for one in found) >= 1e-3
