"""
The four kinds of PATCH: JSON patch, merge patch, strategic merge patch and server-side apply.

Each gives a new object and leaves the old one as it is. Of strategic merge the merge keys below and `$patch`,
`$deleteFromPrimitiveList` are known; of server-side apply the ownership of what was applied (not of what PUT and PATCH wrote).
"""

from __future__ import annotations

from typing import Any

from kube_store import Object, Refusal, clone

Path = tuple[Any, ...]
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "ownerReferences": "uid",
    "addresses": "type",
}
_MERGED_PRIMITIVES = {"finalizers"}
_MISSING = object()


def _invalid(text: str) -> Refusal:
    return Refusal(422, "Invalid", f"the server rejected our request due to an error in our request: {text}")


def merge(old: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386): null takes away, an object is merged, everything else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    new = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = merge(new.get(name), value)
    return new


def strategic(old: Any, patch: Any, name: str = "") -> Any:
    """Strategic merge patch: like a merge patch, but lists with a merge key are merged by it; a list without one is replaced."""
    if isinstance(patch, dict) and patch.get("$patch") == "replace":
        return {key: clone(value) for key, value in patch.items() if key != "$patch"}
    if isinstance(patch, list):
        return _merged_list(old if isinstance(old, list) else [], patch, name)
    if not isinstance(patch, dict):
        return clone(patch)
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            new[field] = [one for one in new.get(field) or [] if one not in value]
        elif key.startswith("$"):
            continue  # $setElementOrder and $retainKeys only order what is there
        elif value is None:
            new.pop(key, None)
        else:
            new[key] = strategic(new.get(key), value, key)
    return new


def _merged_list(old: list[Any], patch: list[Any], name: str) -> list[Any]:
    if name in _MERGED_PRIMITIVES:
        return old + [one for one in patch if one not in old]
    key = MERGE_KEYS.get(name)
    if key is None or not all(isinstance(one, dict) for one in patch):
        return clone(patch)
    new = list(old)
    for one in patch:
        at = next((index for index, there in enumerate(new) if there.get(key) == one.get(key, _MISSING)), None)
        if one.get("$patch") == "delete":
            if at is not None:
                del new[at]
        elif at is None:
            new.append(clone(one))
        else:
            new[at] = strategic(new[at], one)
    return new


def _pointer(text: str) -> list[str]:
    if not text.startswith("/"):
        raise _invalid(f"got the path {text!r}, expected one that begins with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _walk(document: Any, parts: list[str]) -> Any:
    for part in parts:
        document = _step(document, part)
    return document


def _step(document: Any, part: str) -> Any:
    if isinstance(document, dict) and part in document:
        return document[part]
    if isinstance(document, list) and part.isdigit() and int(part) < len(document):
        return document[int(part)]
    raise _invalid(f"the path has no {part!r}")


def _put(document: Any, path: str, value: Any) -> None:
    parts = _pointer(path)
    parent, last = _walk(document, parts[:-1]), parts[-1]
    if isinstance(parent, list):
        at = len(parent) if last == "-" else int(last) if last.isdigit() else -1
        if not 0 <= at <= len(parent):
            raise _invalid(f"{path}: no such place in the list")
        parent.insert(at, value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise _invalid(f"{path}: nothing can be added there")


def _take(document: Any, path: str) -> Any:
    parts = _pointer(path)
    parent, last = _walk(document, parts[:-1]), parts[-1]
    value = _step(parent, last)
    del parent[int(last) if isinstance(parent, list) else last]
    return value


def json_patch(old: Object, operations: Any) -> Object:
    """JSON patch (RFC 6902), all of it or nothing. Refused with 422 where an operation fails, also a `test`; the answer says not which."""
    if not isinstance(operations, list):
        raise Refusal(400, "BadRequest", "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    new = clone(old)
    for one in operations:
        match one.get("op"):
            case "add":
                _put(new, one["path"], clone(one.get("value")))
            case "remove":
                _take(new, one["path"])
            case "replace":
                _take(new, one["path"])
                _put(new, one["path"], clone(one.get("value")))
            case "test":
                if _walk(new, _pointer(one["path"])) != one.get("value"):
                    raise _invalid("testing value failed")
            case "move":
                _put(new, one["path"], _take(new, one["from"]))
            case "copy":
                _put(new, one["path"], clone(_walk(new, _pointer(one["from"]))))
            case unknown:
                raise _invalid(f"unexpected kind: {unknown}")
    return new


def leaves(document: Any, path: Path = ()) -> dict[Path, Any]:
    """Every value of an applied object by its path; an item of a list with a merge key goes by it, another list is one value."""
    found: dict[Path, Any] = {}
    if isinstance(document, dict):
        for name, value in document.items():
            if not (path == () and name in ("apiVersion", "kind")) and not (path == ("metadata",) and name in ("name", "namespace")):
                found |= leaves(value, (*path, name))
        return found
    key = MERGE_KEYS.get(str(path[-1])) if path and isinstance(document, list) else None
    if key and all(isinstance(one, dict) for one in document):
        for one in document:
            found |= leaves(one, (*path, f"{key}={one.get(key)}"))
        return found
    return {path: document}


def apply(old: Object, applied: Object, manager: str, owned: dict[Path, str], force: bool) -> Object:
    """
    Server-side apply on an object that exists; `owned` is who applied which value, and is brought up to date.

    Refused with 409 where another manager applied another value, unless `force`. What this manager applied before and
    does not any more is taken away.
    """
    wanted, there = leaves(applied), leaves(old)
    taken = [path for path, value in wanted.items() if owned.get(path, manager) != manager and there.get(path, _MISSING) != value]
    if taken and not force:
        fields = ", ".join("." + ".".join(map(str, path)) for path in taken)
        causes = [{"reason": "FieldManagerConflict", "message": f'conflict with "{owned[path]}"', "field": "." + ".".join(map(str, path))} for path in taken]
        raise Refusal(409, "Conflict", f"Apply failed with {len(taken)} conflict: {fields}", {"causes": causes})
    new = clone(old)
    for path in [path for path, who in owned.items() if who == manager and path not in wanted]:
        del owned[path]
        place = new
        for part in path[:-1]:
            place = place.get(part, {}) if isinstance(place, dict) else {}
        if isinstance(place, dict):
            place.pop(path[-1], None)
    owned.update(dict.fromkeys(wanted, manager))
    return strategic(new, applied)  # type: ignore[no-any-return]
