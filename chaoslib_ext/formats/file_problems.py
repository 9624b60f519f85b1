"""What pydantic says about a file, as our problems: file, line, path, got, expected, what to do."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from chaoslib_ext.errors import InvalidFile, Problem
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.yamlfile import Document, KeyPath

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound="BaseModel")

_EXPECTED = {
    "string_type": "a text; put it in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "invalid_key": "a text as key; put it in quotes",
}


def checked(model: type[Model], document: Document) -> Model:
    """The document as a model. Raises InvalidFile with all problems at once."""
    built, problems = tried(model, document)
    if built is None:
        raise InvalidFile(problems)
    return built


def tried(model: type[Model], document: Document) -> tuple[Model | None, list[Problem]]:
    """The document as a model, or None and what is wrong with it."""
    from pydantic import ValidationError

    try:
        return model.model_validate(document.data), []
    except ValidationError as error:
        return None, problems_of(error, model, document)


def problems_of(error: ValidationError, model: type[BaseModel], document: Document) -> list[Problem]:
    """Each complaint of pydantic as a problem of the file, in the order of lines."""
    found = [document.problem(_location(one), _text(one, model)) for one in error.errors(include_url=False)]
    return sorted(found, key=lambda problem: problem.line)


def unknown_key(name: object, known: Iterable[str]) -> str:
    """What to say about a key that is not known: the nearest one, or all of them."""
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f"unknown key; did you mean `{near}`?"
    return f"unknown key; remove it (known: {', '.join(names)})"


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that is most likely meant by `name`, if one is near."""
    found = difflib.get_close_matches(str(name)[:60], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _location(one: Any) -> KeyPath:
    return tuple(key for key in one["loc"] if key != "[key]")


def _text(one: Any, model: type[BaseModel]) -> str:
    kind, got = one["type"], one.get("input")
    if kind == "missing":
        return "missing; add it"
    if kind == "extra_forbidden":
        owner = _model_at(model, one["loc"][:-1])
        return unknown_key(one["loc"][-1], _keys(owner) if owner else [])
    if kind == "value_error":
        return str(one["ctx"]["error"])
    if kind == "literal_error":
        expected = one["ctx"]["expected"]
        near = nearest(got, [name.strip(" '") for name in expected.replace(" or ", ",").split(",")])
        return f"got {shown(got)}, expected {expected}" + (f"; did you mean `{near}`?" if near else "")
    if kind in _EXPECTED:
        return f"got {shown(got)}, expected {_EXPECTED[kind]}"
    return f"got {shown(got)}: {one['msg'][:1].lower()}{one['msg'][1:]}"


def _keys(model: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_at(model: Any, path: Iterable[str | int]) -> type[BaseModel] | None:
    """The model that validates what lies at `path` below `model`; None when it is not a model."""
    current = _inner(model)
    for key in path:
        arguments = typing.get_args(current)
        if typing.get_origin(current) in (list, tuple, dict):
            current = _inner(arguments[-1])
        elif isinstance(current, type) and hasattr(current, "model_fields"):
            fields = {info.alias or name: info.annotation for name, info in current.model_fields.items()}
            if key not in fields:
                return None
            current = _inner(fields[str(key)])
        else:
            return None
    return current if isinstance(current, type) and hasattr(current, "model_fields") else None


def _inner(annotation: Any) -> Any:
    """`X` of `X | None` and of `Annotated[X, …]`."""
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in (typing.Union, types.UnionType):
            annotation = next(one for one in typing.get_args(annotation) if one is not type(None))
        else:
            return annotation
