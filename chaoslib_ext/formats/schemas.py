"""JSON Schemas of all formats, by name: what `chaosx schema NAME` prints and editors can use."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.clock import format_duration

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILES = {
    "experiment-block": ("experiment_models", "BlockModel"),
    "environment": ("environment_models", "EnvironmentModel"),
    "load-profile": ("loadprofile_models", "LoadProfileModel"),
    "slo": ("slo_models", "SloDocument"),
}
_RECORDS = ("plan", "result", "event", "undo-frame", "run")

NAMES = (*_FILES, *_RECORDS)


def schema(name: str) -> dict[str, Any]:
    """
    The schema called `name`, one of `NAMES`. KeyError for any other.

    A file that its schema admits may still be refused: what must fit together across fields is checked by reading.
    """
    body = _of_file(name) if name in _FILES else _of_record(name)
    return {"$schema": _DIALECT, "title": f"chaosx {name}", **{key: value for key, value in body.items() if key != "title"}}


def _of_file(name: str) -> dict[str, Any]:
    """The schema that pydantic derives from the model of a file."""
    from importlib import import_module

    module, model = _FILES[name]
    found: dict[str, Any] = getattr(import_module(f"chaoslib_ext.formats.{module}"), model).model_json_schema(by_alias=True)
    for part in (found, *found.get("$defs", {}).values()):
        for field in part.get("properties", {}).values():
            if field.get("type") == "string" and isinstance(field.get("default"), float):
                field["default"] = format_duration(field["default"])  # the models hold seconds, the files durations
    return found


def _of_record(name: str) -> dict[str, Any]:
    from chaoslib_ext.formats import record_schemas as records

    by_name = {"plan": records.PLAN, "result": records.RESULT, "event": records.event_schema(), "undo-frame": records.UNDO_FRAME, "run": records.RUN}
    return by_name[name]
