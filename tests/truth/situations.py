"""
The catalogue: one YAML file per situation says what is planted, what is true, and the one verdict, exit code and set of reasons that follow.

`recorded` situations become whole run directories (see `build`); `live` ones are run on the sandbox (see `test_live.py`). What a file leaves out
is as in the usual scene: a zone is lost for 30 s, the system heals itself within 2 s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from build import AVAILABILITY, LATENCY, FaultScene, Scene, Serve, WriteScene, block_of, both, down, healthy, partly, slow, word_of
from damage import damaged

from chaoslib_ext.block import Block, Budget, FaultBlock, Objective, Rpo, Rto, Windows
from chaoslib_ext.reasons import EXIT_CODES, REASONS
from chaoslib_ext.result import Result
from chaoslib_ext.slo import Slo
from chaoslib_ext.timeline import Outcome

FOLDER = Path(__file__).parent / "situations"
SHORT = {  # the fault is in force from 10 s to 20 s, and no client notices
    "serve": healthy,
    "faults": (FaultScene(removed=(20.02, 20.05), planned_s=10.0),),
    "start": 7.0,
    "baseline": (7.5, 9.0),
    "method": (9.0, 20.1),
    "stop": 24.0,
}
KEYS = {"situation", "about", "cause", "planted", "truth", "verdict", "exit_code", "reasons", "live"}


@dataclass(frozen=True)
class Situation:
    """One file: `planted` builds the scene, `truth` is what is known of it, `cause` the number in the list of causes that it triggers or nearly does."""

    name: str
    about: str
    cause: str
    planted: dict[str, Any]
    truth: dict[str, Any]
    live: dict[str, Any]
    verdict: str
    exit_code: int
    reasons: tuple[str, ...]
    path: Path


def situations(folder: Path = FOLDER) -> list[Situation]:
    """All situations, by path. An unknown key, verdict or reason is an error of the file."""
    return [_situation(path) for path in sorted(folder.rglob("*.yaml"))]


def _situation(path: Path) -> Situation:
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    unknown = told.keys() - KEYS
    assert not unknown, f"{path.name}: unknown {', '.join(unknown)}"
    assert EXIT_CODES[told["verdict"]] == told["exit_code"], f"{path.name}: exit code and verdict do not match"
    assert set(told["reasons"]) <= REASONS.keys(), f"{path.name}: an unknown reason"
    assert ("live" in told) != ("planted" in told), f"{path.name}: planted or live"
    more = [told.get(key) or {} for key in ("planted", "truth", "live")]
    return Situation(
        told["situation"], told["about"], str(told.get("cause", "")), *more, told["verdict"], told["exit_code"], tuple(told["reasons"]), path
    )  # fmt: skip


def wrong(situation: Situation, result: Result) -> list[str]:
    """What a result says that is not so: another verdict, exit code or set of reasons, or a recovery bracket that does not hold the truth."""
    pairs = [
        ("verdict", situation.verdict, result.verdict),
        ("reasons", sorted(situation.reasons), sorted(result.reasons)),
        ("exit code", situation.exit_code, result.exit_code),
    ]
    found = [f"{what}: got {got}, true is {true}" for what, true, got in pairs if true != got]
    if "recovered_at_s" in situation.truth:
        [fault] = (situation.planted.get("faults") or [{}])[:1]
        [lo_s, hi_s] = fault.get("effect", (10.0, 10.02))
        at_s, rto = situation.truth["recovered_at_s"], result.rto or {}
        if rto.get("hi_s") is None or not (rto["lo_s"] <= at_s - lo_s and at_s - hi_s <= rto["hi_s"]):
            found.append(f"rto: got [{rto.get('lo_s')}, {rto.get('hi_s')}] s, the truth is {at_s - hi_s:.3f} s to {at_s - lo_s:.3f} s")
    return found


# from words to a scene -------------------------------------------------------------------------------------------


def scene_of(planted: dict[str, Any]) -> Scene:
    """The scene that `planted` describes."""
    told = dict(planted)
    more: dict[str, Any] = dict(SHORT) if told.pop("usual", "") == "short" else {}
    if "writes" in told:
        more["writes"] = _writes(told.pop("writes"), 30.0 if more else 60.0)
    if "service" in told:
        more["serve"] = _serve(told.pop("service"))
    if "faults" in told:
        more["faults"] = tuple(_fault(one) for one in told.pop("faults"))
    if "promises" in told:
        more["block"] = _promises(told.pop("promises"))
    generator = told.pop("generator", {})
    if "late" in generator:
        more["late_s"] = _late(**generator["late"])
    if "unsent" in generator:
        more["sent"] = _unsent(**generator["unsent"])
    more |= {when: damaged(what) for when, what in told.pop("damage", {}).items()}
    for name in ("baseline", "method", "activities", "events"):
        if name in told:
            more[name] = tuple(told.pop(name))
    return Scene(**{**more, **told})


def _serve(layers: list[dict[str, Any]]) -> Serve:
    return both(*[_layer(layer) for layer in layers]) if layers else healthy


def _layer(told: dict[str, Any]) -> Serve:
    spans = [tuple(span) for span in told.get("down") or told["during"]]
    if "down" in told:
        return down(*spans, outcome=Outcome[told.get("outcome", "TIMEOUT")], took_s=told.get("took_s", 1.0))
    return partly(float(Fraction(str(told["failing"]))), *spans) if "failing" in told else slow(told["slow_s"], *spans)


def _fault(told: dict[str, Any]) -> FaultScene:
    more = {key: tuple(value) if key in ("effect", "removed") and value else value for key, value in told.items()}
    if "readings" in more:
        more["readings"] = _readings(**more["readings"])
    return FaultScene(**more)


def _readings(not_in_force: list[int] = [], missing: list[int] | str = []) -> Callable[[int], bool | None]:
    return lambda n: None if missing == "all" or n in missing else n not in not_in_force


def _promises(told: dict[str, Any] | None) -> Block | None:
    if told is None:
        return None
    more = dict(told)
    if "nothing_but" in more:
        more = {"rto": None, "objectives": [], "recovery_after_removal_s": None, **more["nothing_but"]}
    if more.get("rpo"):
        more["rpo"] = Rpo("orders", more["rpo"].get("objective_s"), more["rpo"].get("max_writes"))
    if "slos" in more:
        more["slos"] = [_slo(one) for one in more["slos"]]
    if "windows" in more:
        more["windows"] = Windows(**more["windows"])
    if "objectives" in more:
        more["objectives"] = [Objective(one["slo"], one["window"], one.get("target")) for one in more["objectives"]]
    if more.get("rto"):
        more["rto"] = Rto(more["rto"]["objective_s"], more["rto"]["slos"], more["rto"].get("from"))
    if more.get("budget"):
        more["budget"] = Budget(**more["budget"])
    if "faults" in more:
        more["faults"] = {name: FaultBlock(**one) for name, one in more["faults"].items()}
    return block_of(**more)


def _slo(told: str | dict[str, Any]) -> Slo:
    usual = {"availability": AVAILABILITY, "latency": LATENCY}
    if isinstance(told, str):
        return usual[told]
    slo = usual[told["name"]]
    sli = replace(slo.sli, select_name=told.get("select", slo.sli.select_name), select_class=told.get("class", slo.sli.select_class))
    return replace(slo, target=told.get("target", slo.target), sli=sli)


def _late(percent: int, during: tuple[float, float], by_s: float) -> Callable[[float, int], float]:
    return lambda t_s, k: by_s if during[0] <= t_s < during[1] and k % 100 < percent else 0.0005


def _unsent(percent: int, during: tuple[float, float], browse: int = 0) -> Callable[[float, int], bool]:
    """A share of all arrivals in a span, or with `browse: n` all of the n-th ones, which are the other journey's."""

    def sent(t_s: float, k: int) -> bool:
        return not (during[0] <= t_s < during[1] and (k % browse == 0 if browse else k % 100 < percent))

    return sent


# writes -----------------------------------------------------------------------------------------------------------


def _writes(told: dict[str, Any], read_s: float) -> WriteScene:
    more: dict[str, Any] = {"read_s": read_s, **told}
    if "kept" in more:
        more["kept"] = _kept(more["kept"])
    if "word" in more:
        more["word"] = _word(**more["word"])
    if "nodes" in more:
        more["nodes"] = {name: None if one is None else _kept(one) for name, one in more["nodes"].items()}
    if "believed" in more:
        more["believed"] = tuple(more["believed"])
    return WriteScene(**more)


def _kept(told: dict[str, Any]) -> Callable[[float, int, str], int]:
    """
    How often the store holds a write at the end; answers take 20 ms.

    `lost: [a, b)` by acknowledgement (but every `but`th), `unknown_kept: n` all but every n-th unknown one, `also` and `without` single ones
    by number, `doubled: n` every n-th one twice.
    """
    a, b = told.get("lost", (0.0, 0.0))
    but, doubled, unknown = told.get("but", 0), told.get("doubled", 0), told.get("unknown_kept", 0)

    def kept(t_s: float, k: int, word: str) -> int:
        if k == told.get("also"):
            return 1
        if word != "ok" or k == told.get("without"):
            return int(word == "info" and bool(unknown) and k % unknown != 0)
        gone = a <= t_s + 0.02 < b and (not but or k % but != 0)
        return 0 if gone else 1 + (bool(doubled) and k % doubled == 0)

    return kept


def _word(share: float, word: str, during: tuple[float, float]) -> Callable[[float, int, Outcome], str]:
    """A share of the writes of a time ends otherwise, evenly spread."""
    a, b = during
    return lambda t_s, k, outcome: word if a <= t_s < b and int((k + 1) * share) > int(k * share) else word_of(t_s, k, outcome)
