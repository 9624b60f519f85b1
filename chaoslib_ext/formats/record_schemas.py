"""
JSON Schemas of the records that chaosx itself writes: plan, result, event, undo frame, run header.

Hand-written, because these shapes are plain data all the way. Times ending in `_ns` count from the run's zero.
"""

from __future__ import annotations

from typing import Any

from chaoslib_ext.reasons import EXIT_CODES, REASONS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
ANY_MAPPING: Schema = {"type": "object"}
REASON: Schema = {"enum": sorted(REASONS)}


def maybe(schema: Schema) -> Schema:
    """`schema`, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema) -> Schema:
    """A list of `schema`."""
    return {"type": "array", "items": schema}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None, open_: bool = False) -> Schema:
    """An object with these keys; `open_` admits others."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": sorted(required), "additionalProperties": open_}


def one_of(*values: Any) -> Schema:
    """One of these values."""
    return {"enum": list(values)}


PAIR: Schema = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
TEXTS = list_of(TEXT)
TARGET = record(dict.fromkeys(("platform", "identity", "kind", "ns", "name", "uid"), TEXT), open_=True)

PLAN_ROW = record(
    {
        "activity": TEXT,
        "func": TEXT,
        "kind": one_of("held", "instant"),
        "duration_s": maybe(NUMBER),
        "reversible": FLAG,
        "targets": {**list_of(TARGET), "minItems": 1},
        "of": {"type": "object", "additionalProperties": record({"total": COUNT, "hit": COUNT})},
        "survivors": {"type": "object", "additionalProperties": COUNT},
    },
    {"how": maybe(TEXT), "service": maybe(TEXT)},
    open_=True,
)

PLAN = record(
    {
        "intent": ANY_MAPPING,
        "resolved": list_of(PLAN_ROW),
        "cost": ANY_MAPPING,
        "survivors": ANY_MAPPING,
        "refused": list_of({}),
        "warnings": TEXTS,
        "token": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
    },
    {"seed": COUNT, "outlook": ANY_MAPPING, "limits": ANY_MAPPING},
)

FINDING = record(
    {
        "id": TEXT,
        "kind": one_of("slo", "sources", "rto", "recovery_after_removal", "rpo", "detection", "budget", "hypothesis", "effect", "obligation"),
        "slo": maybe(TEXT),
        "window": maybe(TEXT),
        "target": maybe(NUMBER),
        "lo": maybe(NUMBER),
        "hi": maybe(NUMBER),
        "n": maybe(COUNT),
        "bad": maybe(COUNT),
        "outcome": one_of("met", "missed", "inconclusive"),
        "reasons": list_of(REASON),
        "evidence": list_of({}),
    },
    {"source": maybe(TEXT)},
)

RTO = record(
    {
        "objective_s": NUMBER,
        "lo_s": maybe(NUMBER),
        "hi_s": maybe(NUMBER),
        "from": maybe(TEXT),
        "slos": TEXTS,
        "mode": one_of("absorbed", "self-healed", "after-removal", "not-recovered", "undecided"),
    },
    {
        "observed_s": maybe(NUMBER),
        "held_s": maybe(NUMBER),
        "false_dawns": maybe(COUNT),
        "last_slo": maybe(TEXT),
        "terms": maybe({"type": "object", "additionalProperties": maybe(NUMBER)}),
        "impact_s": maybe(NUMBER),
        "lost_s": maybe(NUMBER),
        "depth": maybe(NUMBER),
    },
    open_=True,
)

_COUNTS = ("lost", "lost_after_fault", "recovered", "never_seen", "resurrected", "phantom", "duplicated", "acknowledged", "unknown")
_AGES = ("lo_s", "hi_s", "first_lost_t_ns", "last_lost_t_ns", "loss_span_s")
RPO = record(  # null where the final read had no authority: not measured is never 0
    {
        "ledger": TEXT,
        "objective_s": maybe(NUMBER),
        "max_writes": maybe(COUNT),
        "attempted": COUNT,
        "outcome": one_of("met", "missed", "inconclusive"),
        "nodes": maybe({"type": "object", "additionalProperties": maybe(COUNT)}),
        **dict.fromkeys(_COUNTS, maybe(COUNT)),
        **dict.fromkeys(_AGES, maybe(NUMBER)),
    },
    open_=True,
)

DETECTION = record(
    {"alert": TEXT, "within_s": NUMBER, "lo_s": maybe(NUMBER), "hi_s": maybe(NUMBER), "state": one_of("fired", "missed", "undecided")},
    {"starts_at": maybe(TEXT), "source": TEXT},
    open_=True,
)

RESULT_FAULT = record(
    {
        "name": TEXT,
        "kind": one_of("held", "instant"),
        "targets": list_of(TARGET),
        "effect": maybe(PAIR),
        "removed": maybe(PAIR),
    },
    {"how": maybe(TEXT), "reversible": FLAG, "proof": maybe(TEXT), "held_s": maybe(NUMBER), "planned_s": maybe(NUMBER), "replaced": maybe(FLAG)},
    open_=True,
)

RESULT = record(
    {
        "schema": one_of(1),
        "run": TEXT,
        "title": TEXT,
        "verdict": one_of(*EXIT_CODES),
        "exit_code": one_of(*EXIT_CODES.values()),
        "reasons": list_of(REASON),
        "findings": list_of(FINDING),
        "rto": maybe(RTO),
        "recovery_after_removal": maybe(record({"objective_s": NUMBER, "lo_s": maybe(NUMBER), "hi_s": maybe(NUMBER)}, open_=True)),
        "rpo": maybe(RPO),
        "detection": maybe(DETECTION),
        "faults": list_of(RESULT_FAULT),
        "load": maybe(ANY_MAPPING),
        "budget": maybe(ANY_MAPPING),
        "control": one_of("none", "a-a", "known-bad"),
        "attempt": maybe(ANY_MAPPING),
        "notices": list_of({}),
        "windows": {"type": "object", "additionalProperties": maybe(PAIR)},
        "clean": record({"state": one_of("clean", "dirty", "nothing-injected"), "proven_at_ns": maybe(NUMBER)}),
        "seal": TEXT,
    }
)

_BRACKET = {"fault": TEXT, "lo_ns": NUMBER, "hi_ns": NUMBER}
EVENT_KINDS: dict[str, tuple[dict[str, Schema], dict[str, Schema]]] = {
    "phase": ({"name": one_of("preflight", "warm-up", "baseline", "method", "heal", "recovery", "read-back", "seal"), "state": one_of("start", "end")}, {}),
    "activity": (
        {"name": maybe(TEXT), "state": one_of("started", "ended")},
        {"type": maybe(TEXT), "where": TEXT, "status": maybe(TEXT), "managed": maybe(FLAG)},
    ),
    "reading": ({"name": maybe(TEXT)}, {"fault": maybe(TEXT), "ok": maybe(FLAG)}),
    "effect": (_BRACKET, {"proof": TEXT, "uids": TEXTS}),
    "removed": (_BRACKET, {"proof": TEXT, "uids": TEXTS, "replaced": FLAG}),
    "stop": ({"rule": TEXT, "reason": REASON}, {"detail": TEXT}),
    "note": ({"text": TEXT}, {}),
    "decision": ({"text": TEXT}, {"by": TEXT}),
    "target": ({"name": TEXT, "what": one_of("killed", "gone", "started", "ready")}, {"uid": TEXT, "zone": maybe(TEXT)}),
    "alert": ({"name": TEXT, "state": one_of("inactive", "pending", "firing")}, {"starts_at": TEXT}),
}


def event_schema() -> Schema:
    """One line of `events.jsonl`: the closed list of kinds, each with its own keys."""
    common = {"seq": COUNT, "t_ns": {"type": "integer"}, "src": TEXT}
    kinds = [record({**common, "kind": {"const": kind}, **required}, optional, open_=True) for kind, (required, optional) in EVENT_KINDS.items()]
    return {"oneOf": kinds}


UNDO_FRAME = record(
    {
        "v": one_of(1),
        "seq": {"type": "integer", "minimum": 1},
        "t_ns": {"type": "integer"},
        "fault": TEXT,
        "rec": one_of("FUSE", "INTENT", "AMBIG", "APPLIED", "REJECTED", "EFFECT", "UNDO_TRY", "UNDONE", "CONFLICT", "GONE", "STUCK", "ACCEPTED"),
        "handler": TEXT,
        "target": {"anyOf": [TARGET, {"type": "object", "maxProperties": 0}]},
        "ours": ANY_MAPPING,
        "prior": ANY_MAPPING,
        "kind": one_of("instant", "held"),
        "expires_ns": {"type": "integer"},
        "effect": maybe(ANY_MAPPING),
        "note": TEXT,
    }
)

RUN = record(
    {
        "schema": one_of(1),
        "title": TEXT,
        "clock": record({"t0_ns": {"type": "integer"}, "wall_s": NUMBER, "boot_id": TEXT}, open_=True),
        "seed": {"type": "integer"},
    },
    {
        "id": TEXT,
        "command": TEXTS,
        "versions": {"type": "object", "additionalProperties": TEXT},
        "block": maybe(ANY_MAPPING),
        "load": maybe(ANY_MAPPING),
        "warnings": TEXTS,
    },
    open_=True,
)
