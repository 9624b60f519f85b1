"""Hostile texts, and runs that hold them wherever a run holds text."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import sample_run

from chaoslib_ext.report.facts import Endpoint, Facts, Promise

# texts that have become code in some browser or page before: tags, attributes, addresses, styles, templates, and ways around filters
PAYLOADS = [str(json.loads(line)) for line in Path(__file__).with_name("payloads.jsonl").read_text(encoding="utf-8").splitlines()]
KEPT = ("verdict", "kind", "outcome", "state", "mode")  # words of ours; whatever else is a text becomes the payload


failing = cache(sample_run.failing)  # its rows are made once; nobody alters them


def filled(value: Any, text: str) -> Any:
    """The same shape with every text replaced."""
    if isinstance(value, dict):
        return {key: value[key] if key in KEPT else filled(value[key], text) for key in value}
    if isinstance(value, list | tuple):
        return [filled(item, text) for item in value]
    return text if isinstance(value, str) else value


def everywhere(text: str) -> Facts:
    """The failing run with this text in every field of a run directory that holds text, names of keys included."""
    base = failing()
    plan = filled(base.plan, text)
    plan["resolved"][0] |= {"of": {text: {"total": 6, "hit": 2}}, "survivors": {text: 2}}
    header = {**filled(base.header, text), "versions": {text: text}, "warnings": [text], "env": {"name": text, "identity": {text: text}}}
    kinds = ("stop", "note", "decision", "alert", "activity", "target", "phase", "reading")
    told = dict.fromkeys(("name", "text", "by", "detail", "rule", "status", "error", "what", "value", "zone", "uid", "proof", "module", "func"), text)
    events = [filled(event, text) for event in base.events] + [{"t_ns": at + 1, "seq": 900 + at, "kind": kind, **told} for at, kind in enumerate(kinds)]
    promises = (Promise(text, text, "journey", None, 0.95), Promise(text, text, "journey", 250.0, 0.9))
    endpoints = (Endpoint(0, text, text, "journey"), Endpoint(1, text, text, "step"))
    result = {**filled(base.result, text), "control": text, "notices": [text]}
    return Facts(result, header, plan, tuple(events), base.rows, endpoints, promises, (text,))


def everything() -> Facts:
    """One run that holds all payloads at once, in the fields that are lists."""
    base = failing()
    notes = [{"t_ns": at + 1, "seq": 1000 + at, "kind": "note", "text": text, "name": text, "by": text} for at, text in enumerate(PAYLOADS)]
    result = {**base.result, "notices": list(PAYLOADS)}
    header = {**base.header, "warnings": list(PAYLOADS), "versions": {text: text for text in PAYLOADS}}
    return replace(base, result=result, header=header, events=(*base.events, *notes), problems=tuple(PAYLOADS))
