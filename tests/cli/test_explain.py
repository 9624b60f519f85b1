"""
What `chaosx explain` prints can be computed again from the raw rows by somebody who knows nothing of this package.

The reader here is plain `struct` over the bytes on disk; the recovery is found by asking the definition of every arrival.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "truth"))

from build import FaultScene, Scene, block_of, both, build, down, partly, slow

from chaoslib_ext.block import Budget, Objective
from chaoslib_ext.cli.explain_command import lines
from chaoslib_ext.cli.plan_power import points
from chaoslib_ext.errors import UsageError
from chaoslib_ext.explain import explain
from chaoslib_ext.rundir import read, seal_result
from chaoslib_ext.verdict import judge

OK, NOT_SENT, GENERATOR = 0, 8, 9
Row = tuple[int, int, int, int, int]  # intended, late, latency (microseconds), endpoint, outcome


def raw_rows(folder: Path) -> list[tuple[Row, str, int]]:
    """Every row of a run directory with its file and its number there, by intended start."""
    found = []
    for path in sorted((folder / "load/w0").glob("rows-*.bin")):
        data, at, number = path.read_bytes(), 8, 0
        assert data[:8] == b"CXROWS1\n"
        while at < len(data):
            size, crc = struct.unpack_from("<II", data, at)
            payload = data[at + 8 : at + 8 + size]
            assert zlib.crc32(payload) == crc
            for fields in struct.iter_unpack("<qIIHBB", payload):
                found.append((fields[:5], f"load/w0/{path.name}", number))
                number += 1
            at += 8 + size
    return sorted(found, key=lambda one: one[0][0])


def state(row: Row, limit_us: int | None) -> str:
    _, late, latency, _, outcome = row
    if outcome in (NOT_SENT, GENERATOR) or late > 50_000:
        return "unknown"
    return "good" if outcome == OK and (limit_us is None or latency <= limit_us) else "bad"


def recovered(known: list[Row], good: list[bool], target: Fraction, stable_us: int) -> int | None:
    """The first good arrival from which every prefix of `stable` with enough arrivals meets the target; None without one."""
    enough = -(-1 // (1 - target))
    for i, row in enumerate(known):
        stretch = [ok for other, ok in zip(known[i:], good[i:], strict=True) if other[0] < row[0] + stable_us]
        if good[i] and len(stretch) >= enough and all(Fraction(sum(stretch[:n]), n) >= target for n in range(int(enough), len(stretch) + 1)):
            return i
    return None


USUAL = block_of(
    objectives=[
        Objective("availability", "baseline"),
        Objective("availability", "fault", 0.5),
        Objective("latency", "recovered"),
        Objective("latency", "whole", 0.5),
    ],
    budget=Budget("availability", 0.02),
)
SCENES = {
    "an outage that heals": Scene(serve=down((10.01, 12.0)), block=USUAL),
    "an outage that lasts": Scene(serve=down((10.01, 30.0)), block=USUAL),
    "slow, and a share of errors": Scene(serve=both(slow(0.4, (10.0, 14.0)), partly(0.3, (10.0, 13.0))), block=USUAL),
    "not sent, and sent late": Scene(sent=lambda t, k: k % 50 != 0, late_s=lambda t, k: 0.08 if k % 70 == 0 else 0.001, block=USUAL),
}


@pytest.fixture(params=SCENES, scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run") / "r"
    build(place, SCENES[request.param])
    seal_result(place, judge(read(place)))
    return place


def every_finding(folder: Path) -> list[dict[str, Any]]:
    ids = [one["id"] for one in json.loads((folder / "result.json").read_text())["findings"]]
    return [explain(folder, name)["findings"][0] for name in ids]


def test_every_ratio_is_what_an_independent_reader_counts(folder: Path) -> None:
    rows = raw_rows(folder)
    counted = 0
    for finding in every_finding(folder):
        if not finding.get("select") or not finding.get("counts"):
            continue
        counted += 1
        (a_ns, b_ns), select = finding["window_ns"], finding["select"]
        inside = [one for one in rows if a_ns <= one[0][0] * 1000 < b_ns and one[0][3] in select["endpoints"]]
        states = [state(row, select["max_latency_us"]) for row, _, _ in inside]
        expected = {"total": len(states), **{word: states.count(word) for word in ("good", "bad", "unknown")}}
        assert finding["counts"] == expected, finding["id"]
        assert finding.get("agrees") is not False
        assert sum(finding["not_good_by"].values()) == expected["bad"] + expected["unknown"]
        if finding["kind"] != "budget" and expected["good"] + expected["bad"]:
            share = Fraction(expected["good"], expected["good"] + expected["bad"])
            assert f"{expected['good']} / ({expected['good']} + {expected['bad']}) = {float(share) * 100:.9g}%" in finding["formula"]
        bad = [(row, file, number) for (row, file, number), word in zip(inside, states, strict=True) if word == "bad"]
        for pointer, one in ((finding["first_bad"], bad[:1]), (finding["last_bad"], bad[-1:])):
            assert (pointer is None) == (not one)
            if one:
                assert (pointer["file"], pointer["row"], pointer["intended_us"]) == (one[0][1], one[0][2], one[0][0][0])
    assert counted >= 6


def at_least(bad: int, total: int, chance: float) -> float:
    """How likely that many bad ones, or more, are, summed up term by term."""
    return 1.0 - sum(
        math.exp(math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) + k * math.log(chance) + (total - k) * math.log(1 - chance))
        for k in range(bad)
    )


def test_the_loss_that_could_have_been_told_is_what_the_binomial_gives(folder: Path) -> None:
    told = [one for one in every_finding(folder) if one.get("detectable_loss") and one["kind"] == "slo"]
    assert told
    for finding in told:
        known, allowed = finding["counts"]["good"] + finding["counts"]["bad"], 1.0 - finding["target"]
        least = next(bad for bad in range(known + 1) if at_least(bad, known, allowed) < 0.025)
        assert at_least(least, known, allowed + finding["detectable_loss"]) == pytest.approx(0.8, abs=1e-6), finding["id"]


def test_the_bracket_of_the_recovery_is_what_the_definition_gives(folder: Path) -> None:
    [told] = explain(folder, "rto")["findings"]
    block = json.loads((folder / "run.json").read_text())["block"]
    targets = {slo["name"]: Fraction(str(slo["target"])) for slo in block["slos"]}
    limits = {slo["name"]: slo["sli"]["max_latency_ms"] for slo in block["slos"]}
    clock_ns = told["clock_ns"]
    effect = next(json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines() if '"effect"' in line)
    assert clock_ns == [effect["lo_ns"], effect["hi_ns"]]
    stop_ns = json.loads((folder / "load/w0/meta.json").read_text())["stop_ns"]
    rows = {(file, number): row for row, file, number in raw_rows(folder)}
    journeys = sorted(row for row in rows.values() if row[3] == 1 and clock_ns[0] // 1000 <= row[0] < stop_ns // 1000)
    for name, part in told["slos"].items():
        limit_us = None if limits[name] is None else round(limits[name] * 1000)
        known = [row for row in journeys if state(row, limit_us) != "unknown"]
        good = [state(row, limit_us) == "good" for row in known]
        i = recovered(known, good, targets[name], round(block["windows"]["stable_s"] * 1e6))
        assert part["known"] == len(known)
        assert part["at_us"] == (None if i is None else known[i][0])
        bad_before = [row for row, ok in zip(known[:i], good[:i], strict=True) if not ok]
        assert part["lo_us"] == (bad_before[-1][0] + bad_before[-1][1] if bad_before else clock_ns[0] // 1000)
        for pointer in (part["last_bad"], part["proof"]):
            if pointer is not None:
                assert rows[pointer["file"], pointer["row"]] == (
                    pointer["intended_us"],
                    pointer["late_us"],
                    pointer["latency_us"],
                    pointer["endpoint"],
                    rows[pointer["file"], pointer["row"]][4],
                )
        if part["proof"] is not None:
            assert part["hi_us"] == part["proof"]["intended_us"] + part["proof"]["latency_us"]
    lo_us = max(part["lo_us"] for part in told["slos"].values())
    assert told["lo_s"] == round(max(0, lo_us * 1000 - clock_ns[1]) / 1e9, 6)
    if told["hi_s"] is not None:
        hi_us = max(part["hi_us"] for part in told["slos"].values())
        assert told["hi_s"] == round((hi_us * 1000 - clock_ns[0]) / 1e9, 6)
    assert told["agrees"]


def test_the_lines_for_a_person_hold_the_figures_of_the_json(folder: Path) -> None:
    told = explain(folder)
    text = "\n".join(lines(told))
    assert text.startswith(told["verdict"])
    for finding in told["findings"]:
        assert finding["id"] in text
        assert finding.get("formula", "") in text
        assert finding.get("detectable_loss") is None or f"a loss under {points(finding['detectable_loss'])} points" in text
        assert all(source in text for source in finding["sources"])


def judged(folder: Path, scene: Scene) -> dict[str, Any]:
    build(folder, scene)
    seal_result(folder, judge(read(folder)))
    return explain(folder)


UNDECIDED = [
    pytest.param(Scene(rate=5.0), "TOO_FEW_SAMPLES", "are needed: make the window at least", id="too few samples"),
    pytest.param(
        Scene(
            serve=down((10.01, 15.3)), block=block_of(objectives=[], recovery_after_removal_s=None), faults=(FaultScene(removed=(15.02, 15.05), planned_s=5.0),)
        ),
        "HELD_SHORTER_THAN_RTO",
        "give it `duration: 15s`",
        id="held too short",
    ),
    pytest.param(Scene(serve=down((3.0, 8.0))), "BASELINE_UNHEALTHY", "were bad before anything was injected (TIMEOUT", id="an unhealthy baseline"),
    pytest.param(Scene(faults=(FaultScene(effect=None, removed=None),)), "EFFECT_UNPROVEN", "never seen in effect: lose zone b", id="an effect nobody saw"),
    pytest.param(Scene(late_s=lambda t, k: 0.2), "GENERATOR_SATURATED", "lower the rate (it was 100/s at most)", id="a generator that is late"),
]


@pytest.mark.parametrize(("scene", "code", "said"), UNDECIDED)
def test_an_inconclusive_run_says_what_to_change(tmp_path: Path, scene: Scene, code: str, said: str) -> None:
    told = judged(tmp_path / "r", scene)
    assert told["verdict"] == "INCONCLUSIVE"
    steps = [text for finding in told["findings"] if code in finding["reasons"] for text in finding["next"]]
    assert any(said in text for text in steps), (told["reasons"], steps)


def test_a_finding_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    judged(tmp_path / "r", Scene())
    with pytest.raises(UsageError, match="did you mean 'slo:availability:fault'"):
        explain(tmp_path / "r", "slo:availabilty:fault")


def test_altered_evidence_is_told(tmp_path: Path) -> None:
    judged(tmp_path / "r", Scene())
    path = tmp_path / "r/load/w0/rows-0000.bin"
    data = bytearray(path.read_bytes())
    data[8 + 8 + 19 + 20 * 3 - 1] ^= 0xFF
    path.write_bytes(bytes(data))
    assert any("rows-0000.bin" in problem for problem in explain(tmp_path / "r")["problems"])
