"""Every format has a JSON Schema, and the schemas admit what is good and refuse what is not."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import yaml

from chaoslib_ext import ledger
from chaoslib_ext.formats import schemas
from chaoslib_ext.formats.record_schemas import EVENT_KINDS

ROW: dict[str, Any] = {
    "activity": "lose zone b",
    "func": "lose_zone",
    "how": "silent",
    "kind": "held",
    "duration_s": 40.0,
    "reversible": True,
    "service": "shop",
    "targets": [
        {"platform": "process", "identity": "s", "kind": "replica", "ns": "shop", "name": "shop-b1", "uid": "b-1-2", "zone": "b", "probe": None, "data": {}}
    ],
    "of": {"shop": {"total": 6, "hit": 2}},
    "survivors": {"a": 2, "c": 2},
}
RESULT: dict[str, Any] = {
    **{"schema": 1, "run": "r", "title": "t", "verdict": "FAIL", "exit_code": 1, "reasons": ["RTO_MISSED"], "rpo": None, "detection": None},
    "findings": [
        {
            **{"id": "rto", "kind": "rto", "slo": None, "window": None, "target": 10.0, "lo": 12.0, "hi": None},
            **{"n": 5, "bad": None, "outcome": "missed", "reasons": ["RTO_MISSED"], "evidence": []},
        }
    ],
    "rto": {"objective_s": 10.0, "lo_s": 12.0, "hi_s": None, "from": "lose zone b", "slos": ["pay"], "mode": "not-recovered", "observed_s": 60.0},
    **{"recovery_after_removal": None, "faults": [], "load": None, "budget": None, "control": "none", "attempt": {"n": 1}, "notices": []},
    **{"windows": {"fault": [1, 2], "recovered": None}, "clean": {"state": "clean", "proven_at_ns": 5}, "seal": "ab"},
}
GOOD: dict[str, Any] = {
    "experiment-block": yaml.safe_load(
        "{name: chaoslib_ext, version: 1, slos: [a.yaml], windows: {warmup: 5s}, objectives: [{slo: a, window: fault, target: 95%}],"
        " rto: {objective: 10s, from: x}, faults: {x: {effect: auto, caps: {per_owner: 0.3}}}, stop: [{no_data: 5s}], self_test: {verdict: PASS, reasons: []}}"
    ),
    "environment": {
        "apiVersion": "chaosx/v1",
        "kind": "Environment",
        "name": "a",
        "class": "local",
        "allow": {},
        "caps": {"per_owner": "34%"},
        "retry": {"base": "1s"},
    },
    "load-profile": yaml.safe_load(
        "{apiVersion: chaosx/v1, kind: LoadProfile, stages: [{rate: 1/s}], journeys: [{name: a, "
        "steps: [{request: GET /, json: [1], check: {status: 200}, timeout: 2s}]}]}"
    ),
    "slo": yaml.safe_load(
        "{apiVersion: openslo/v1, kind: SLO, metadata: {name: a}, spec: {service: s, indicatorRef: b, timeWindow: [{duration: 30d}],"
        " budgetingMethod: Occurrences, objectives: [{target: 0.99}]}}"
    ),
    "plan": {"intent": {}, "resolved": [ROW], "cost": {}, "survivors": {}, "refused": [], "warnings": [], "token": "0123abcd"},
    "result": RESULT,
    "event": {"seq": 1, "t_ns": 5, "src": "supervisor", "kind": "phase", "name": "warm-up", "state": "start"},
    "undo-frame": {
        **{
            "v": 1,
            "seq": 1,
            "t_ns": 2,
            "fault": "f",
            "rec": "INTENT",
            "handler": "h",
            "ours": {},
            "prior": {},
            "kind": "held",
            "expires_ns": 9,
            "effect": None,
        },
        **{"note": "", "target": {"platform": "process", "identity": "i", "kind": "zone", "ns": "", "name": "b", "uid": "u"}},
    },
    "run": {"schema": 1, "title": "t", "clock": {"t0_ns": 1, "wall_s": 2.0, "boot_id": "b"}, "seed": 7, "versions": {"python": "3"}},
}
SPOILT: dict[str, tuple[str, Any]] = {
    "experiment-block": ("rpo", {"objective": "0s"}),
    "environment": ("credentials", {"aws_profile": "x"}),
    "load-profile": ("arrivals", "posson"),
    "slo": ("apiVersion", "openslo/v1alpha"),
    "plan": ("token", "short"),
    "result": ("verdict", "GREEN"),
    "event": ("kind", "gossip"),
    "undo-frame": ("rec", "MAYBE"),
    "run": ("seed", "seven"),
}


def errors(name: str, value: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schemas.schema(name)).iter_errors(value)]


@pytest.mark.parametrize("name", schemas.NAMES)
def test_every_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.schema(name))
    assert schemas.schema(name)["title"] == f"chaosx {name}"


@pytest.mark.parametrize("name", schemas.NAMES)
def test_a_schema_admits_what_is_good(name: str) -> None:
    assert errors(name, GOOD[name]) == []


@pytest.mark.parametrize("name", schemas.NAMES)
def test_a_schema_refuses_what_is_not(name: str) -> None:
    key, value = SPOILT[name]
    spoilt = copy.deepcopy(GOOD[name])
    spoilt[key] = value
    assert errors(name, spoilt)


@pytest.mark.parametrize("name", ["experiment-block", "environment", "load-profile", "slo", "plan", "result", "undo-frame"])
def test_a_schema_refuses_an_unknown_key(name: str) -> None:
    assert errors(name, {**GOOD[name], "surprise": 1})


def test_the_schema_knows_the_event_kinds_and_records_that_the_code_writes() -> None:
    from chaoslib_ext import rundir

    assert set(EVENT_KINDS) == rundir.KINDS
    assert set(schemas.schema("undo-frame")["properties"]["rec"]["enum"]) == ledger.RECS


def test_defaults_are_written_as_people_write_them() -> None:
    windows = schemas.schema("experiment-block")["$defs"]["WindowsModel"]["properties"]
    assert windows["warmup"]["default"] == "5s"


def test_an_unknown_schema_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        schemas.schema("journal")


def test_importing_the_formats_costs_no_library() -> None:
    code = (
        "import sys, chaoslib_ext.experiment, chaoslib_ext.environment, chaoslib_ext.slo, chaoslib_ext.loadprofile, "
        "chaoslib_ext.formats.schemas, chaoslib_ext.formats.activities_table;"
        "print([name for name in ('pydantic', 'yaml', 'chaoslib', 'locust', 'kubernetes') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.strip() == "[]"
