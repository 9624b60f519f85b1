"""
What earlier runs of the same experiment in the same environment came to, in a compact form.

`earlier` is read when a run begins and copied into its `inputs/history.json`, under its seal, so that its page compares
with what was there then. Only results that are still as they were sealed count; a folder that holds none is passed over.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from chaoslib_ext.reasons import EXIT_CODES
from chaoslib_ext.seal import RESULT, altered, canonical

Json = dict[str, Any]
Pair = tuple[float, float | None]
MOST = 20
MOST_LOOKED_AT = 500  # folders, the newest first: a beginning run must not wait for years of reports
_MOST_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Past:
    """
    One earlier result.

    `findings`: id to outcome. `rto`, `after_removal`: brackets in seconds, `hi` None when recovery was never seen.
    `availability`: SLO to (bad, known) in the fault window. `lost`: acknowledged writes. `parts`: hashes of what a comparison rests on.
    """

    run: str
    started_utc: str
    verdict: str
    control: str = "none"
    reasons: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)
    rto: Pair | None = None
    after_removal: Pair | None = None
    availability: dict[str, tuple[int, int]] = field(default_factory=dict)
    lost: int | None = None
    spent: float | None = None
    version: str = ""

    def to_json(self) -> Json:
        """Plain data."""
        return asdict(self)


def parts(header: Json) -> dict[str, str]:
    """The hash of each part of a `run.json` that a comparison rests on; the framework's version is none of them."""
    block, env = _mapping(header.get("block")), _mapping(header.get("env"))
    identity = {name: value for name, value in _mapping(env.get("identity")).items() if name != "sandbox"}  # a private sandbox is a new one each time
    found = {
        "experiment": _mapping(header.get("experiment")).get("sha256"),
        "promises": {key: value for key, value in block.items() if key not in ("load", "self_test")},
        "profile": header.get("load"),
        "environment": [env.get("name"), identity, _switches(header.get("command"))],
    }
    return {name: _hash(value) for name, value in found.items()}


def earlier(root: Path, header: Json) -> list[Past]:
    """The last `MOST` sealed results of the same experiment and environment under `root`, the oldest first."""
    try:
        folders = sorted((path for path in root.iterdir() if path.name != header.get("id")), key=lambda path: path.name, reverse=True)
    except OSError:
        return []
    found: list[Past] = []
    for folder in folders[:MOST_LOOKED_AT]:
        if len(found) == MOST:
            break
        past = _look(folder, header)
        found += [past] if past is not None else []
    return found[::-1]


def _look(folder: Path, header: Json) -> Past | None:
    """The result of a folder when it is one of this experiment. Whatever else is there is no reason not to run."""
    try:
        files = [folder / "run.json", folder / RESULT]
        if any(not path.is_file() or path.stat().st_size > _MOST_BYTES for path in files):
            return None
        was = _mapping(json.loads(files[0].read_bytes()))
        if subject(was) != subject(header) or altered(folder, ("run.json", RESULT)):
            return None
        return of(was, _mapping(json.loads(files[1].read_bytes())))
    except (OSError, ValueError, RecursionError):
        return None


def subject(header: Json) -> tuple[Any, Any]:
    """What a history is about: the experiment's file name and the environment's name. It stays when the content changes."""
    return _mapping(header.get("experiment")).get("path"), _mapping(header.get("env")).get("name")


def of(header: Json, result: Json) -> Past:
    """The compact form of a result. Raises ValueError for one without a verdict that is known."""
    findings = [one for one in result.get("findings") or [] if isinstance(one, dict)]
    rpo, budget = _mapping(result.get("rpo")), _mapping(result.get("budget"))
    return _sound(
        {
            "run": header.get("id"),
            "started_utc": header.get("started_utc"),
            "verdict": result.get("verdict"),
            "control": result.get("control"),
            "reasons": result.get("reasons"),
            "parts": parts(header),
            "findings": {str(one.get("id")): one.get("outcome") for one in findings},
            "rto": _ends(result.get("rto")),
            "after_removal": _ends(result.get("recovery_after_removal")),
            "availability": {
                str(one.get("slo")): (one.get("bad"), one.get("n")) for one in findings if (one.get("kind"), one.get("window")) == ("slo", "fault")
            },
            "lost": rpo.get("lost"),
            "spent": budget.get("spent"),
            "version": _mapping(header.get("versions")).get("chaoslib_ext"),
        }
    )


def read(found: Any) -> list[Past]:
    """The history of an `inputs/history.json`. Raises ValueError for what is none."""
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("expected a list of JSON objects")
    return [_sound(one) for one in found[-MOST:]]


def _sound(found: Json) -> Past:
    """A `Past` whose fields are of their kinds; what is not is left out."""
    if found.get("verdict") not in EXIT_CODES:
        raise ValueError(f"verdict: got {str(found.get('verdict'))[:40]!r}, expected one of {', '.join(EXIT_CODES)}")
    reasons, counts = found.get("reasons"), _mapping(found.get("availability"))
    lost, spent = found.get("lost"), found.get("spent")
    return Past(
        run=str(found.get("run") or "")[:200],
        started_utc=str(found.get("started_utc") or "")[:40],
        verdict=str(found["verdict"]),
        control=str(found.get("control") or "none")[:40],
        reasons=[str(code)[:60] for code in (reasons if isinstance(reasons, list) else [])[:20]],
        parts={str(name)[:40]: str(value)[:64] for name, value in _mapping(found.get("parts")).items()},
        findings={str(name)[:200]: str(value)[:20] for name, value in list(_mapping(found.get("findings")).items())[:500]},
        rto=_pair(found.get("rto")),
        after_removal=_pair(found.get("after_removal")),
        availability={str(name)[:200]: pair for name, value in list(counts.items())[:50] if (pair := _counts(value)) is not None},
        lost=lost if type(lost) is int else None,
        spent=float(spent) if _is_number(spent) else None,
        version=str(found.get("version") or "")[:40],
    )


def _ends(recovery: Any) -> list[Any] | None:
    found = _mapping(recovery)
    lo, hi = found.get("lo_s"), found.get("hi_s")
    return None if lo is None or (hi is None and not lo) else [lo, hi]  # without upper end and with 0 below it says nothing


def _pair(value: Any) -> Pair | None:
    if not isinstance(value, list | tuple) or len(value) != 2 or not _is_number(value[0]):
        return None
    return float(value[0]), float(value[1]) if _is_number(value[1]) else None


def _counts(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, list | tuple) or [type(one) for one in value] != [int, int]:
        return None
    return (value[0], value[1]) if 0 <= value[0] <= value[1] and value[1] > 0 else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _switches(command: Any) -> str:
    """The weaknesses planted in a sandbox: `sandbox:SWITCH,…` of the command line."""
    words: Iterable[str] = map(str, command) if isinstance(command, list) else ()
    named = [word.removeprefix("--env=") for word in words if word.startswith(("sandbox:", "--env=sandbox:"))]
    return named[0].partition(":")[2] if named else ""


def _hash(value: Any) -> str:
    try:
        text = canonical(value)
    except ValueError:
        text = repr(value)  # NaN in somebody's file; equal files still read alike
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
