"""Our block of an experiment, and the files that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.block import Block, Budget, FaultBlock, Objective, Rto, Windows
from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.experiment import Experiment, read_experiment
from chaoslib_ext.loadprofile import read_load_profile
from chaoslib_ext.slo import read_slos

SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: pay}
spec:
  service: shop
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: locust, spec: {select: {name: pay}, condition: success}}}
        total: {metricSource: {type: locust, spec: {select: {name: pay}}}}
  timeWindow: [{duration: 30d}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""


PROFILE = "apiVersion: chaosx/v1\nkind: LoadProfile\nstages: [{rate: 20/s}]\njourneys: [{name: pay, steps: [{request: POST /pay}]}]\n"


LOSE = "{type: action, name: lose zone b, provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: 40s}}}"


BLOCK = """\
  version: 1
  slos: [slo.yaml]
  load: load.yaml
  windows: {warmup: 5s, baseline: 15s, recovery: 60s, stable: 10s}
  objectives: [{slo: pay, window: fault, target: 95%}]
  rto: {objective: 10s, slos: [pay], from: lose zone b}
  recovery_after_removal: {objective: 5s}
  faults: {lose zone b: {effect: auto, caps: {zones: 1, per_owner: 34%}}}
  stop: [{no_data: 5s}]
  budget: {slo: pay, max_spend: 2%}
  control: none
  self_test: {verdict: PASS, reasons: []}
"""


OURS = f"title: t\nmethod:\n- {LOSE}\nextensions:\n- name: chaoslib_ext\n{BLOCK}"


def read(tmp_path: Path, text: str, name: str = "x.yaml", **more: Any) -> Experiment:
    (tmp_path / "slo.yaml").write_text(SLO, encoding="utf-8")
    (tmp_path / "load.yaml").write_text(PROFILE, encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_experiment(tmp_path / name, **more)


def refusal(tmp_path: Path, text: str, name: str = "x.yaml", **more: Any) -> str:
    with pytest.raises(InvalidFile) as refused:
        read(tmp_path, text, name, **more)
    return str(refused.value)


def test_an_experiment_is_read_whole(tmp_path: Path) -> None:
    experiment = read(tmp_path, OURS)
    assert experiment.title == "t"
    assert experiment.warnings == []
    assert experiment.inputs == [tmp_path / "x.yaml", tmp_path / "load.yaml", tmp_path / "slo.yaml"]
    assert [activity["name"] for activity in experiment.activities()] == ["lose zone b"]
    assert experiment.block == Block(
        slos=read_slos(tmp_path / "slo.yaml", ["pay"]),
        load=read_load_profile(tmp_path / "load.yaml"),
        windows=Windows(5.0, 15.0, 60.0, 10.0),
        objectives=[Objective("pay", "fault", 0.95)],
        rto=Rto(10.0, ["pay"], "lose zone b"),
        recovery_after_removal_s=5.0,
        faults={"lose zone b": FaultBlock("auto", False, {"zones": 1, "per_owner": 0.34})},
        stop=[{"no_data": 5.0}],
        budget=Budget("pay", 0.02),
        control="none",
        self_test={"verdict": "PASS", "reasons": []},
    )


def test_a_block_survives_json(tmp_path: Path) -> None:
    block = read(tmp_path, OURS).block
    assert block is not None
    assert Block.from_json(json.loads(json.dumps(block.to_json()))) == block
    assert Block.from_json(json.loads(json.dumps(Block().to_json()))) == Block()


words = st.text("ab", min_size=1, max_size=3)


blocks = st.builds(
    Block,
    windows=st.builds(Windows, st.floats(0, 9), st.floats(0, 9), st.floats(0, 9), st.floats(0, 9)),
    objectives=st.lists(st.builds(Objective, words, words, st.none() | st.floats(0, 1)), max_size=2),
    rto=st.none() | st.builds(Rto, st.floats(1, 9), st.lists(words, max_size=2), st.none() | words),
    faults=st.dictionaries(words, st.builds(FaultBlock, words, st.booleans(), st.dictionaries(words, st.floats(0, 1), max_size=1)), max_size=2),
    stop=st.lists(st.fixed_dictionaries({"no_data": st.floats(1, 9)}), max_size=2),
    budget=st.none() | st.builds(Budget, words, st.floats(0, 1)),
    self_test=st.none() | st.fixed_dictionaries({"verdict": words, "reasons": st.lists(words, max_size=1)}),
)


@given(blocks)
def test_any_block_survives_json(block: Block) -> None:
    assert Block.from_json(json.loads(json.dumps(block.to_json()))) == block


def test_an_rto_without_slos_means_all_of_them(tmp_path: Path) -> None:
    block = read(tmp_path, OURS.replace("slos: [pay], from: lose zone b", "from: lose zone b")).block
    assert block and block.rto and block.rto.slos == ["pay"]


def test_a_fault_held_shorter_than_the_rto_is_warned_of(tmp_path: Path) -> None:
    [warning] = read(tmp_path, OURS.replace("duration: 40s", "duration: 19s")).warnings
    assert warning.startswith("HELD_SHORTER_THAN_RTO: 'lose zone b' is held for 19s, shorter than rto.objective + windows.stable = 20s")


def test_a_strangers_action_is_warned_of_unless_it_is_neutral(tmp_path: Path) -> None:
    text = OURS.replace("extensions:", "- {type: action, name: mine, provider: {type: http, url: 'http://x/'}}\nextensions:")
    assert [warning.partition(":")[0] for warning in read(tmp_path, text).warnings] == ["UNMANAGED_ACTION"]
    assert read(tmp_path, text.replace("faults: {", "faults: {mine: {neutral: true}, ")).warnings == []


def test_a_promise_without_load_is_warned_of(tmp_path: Path) -> None:
    assert [text[:8] for text in read(tmp_path, OURS.replace("  load: load.yaml\n", "")).warnings] == ["NO_DATA:"]


BLOCK_BROKEN = [
    pytest.param(
        "target: 95%", "target: 99.9", 'x.yaml:10: objectives[0].target: got 99.9, expected a ratio from 0 to 1; write 0.999 or "99.9%"', id="a bare percentage"
    ),
    pytest.param("target: 95%", "target: 100%", "no number of requests decides a promise of all or none", id="all of them"),
    pytest.param(
        "{slo: pay, window: fault", "{slo: pya, window: fault", ":10: objectives[0].slo: no SLO is called 'pya'; did you mean 'pay'?", id="an unknown SLO"
    ),
    pytest.param("window: fault", "window: falt", "did you mean `fault`?", id="an unknown window"),
    pytest.param("windows: {warmup", "windows: {warmpu", "windows.warmpu: unknown key; did you mean `warmup`?", id="a typo in a window"),
    pytest.param("warmup: 5s", "warmup: 5", 'windows.warmup: got 5, expected a duration with its unit, like "40s"', id="a bare time"),
    pytest.param("slos: [pay], from", "slos: [pay, nix], from", "rto.slos[1]: no SLO is called 'nix'", id="an unknown SLO in the RTO"),
    pytest.param(
        "from: lose zone b",
        "from: lose zone c",
        ":11: rto.from: no activity of the method is called 'lose zone c'; did you mean 'lose zone b'?",
        id="an RTO from nothing",
    ),
    pytest.param("faults: {lose zone b", "faults: {lose zone", "faults.lose zone: no activity of the method is called 'lose zone'", id="a fault that is none"),
    pytest.param("effect: auto", "effect: {probe: x}", "an effect of the file's own is not built yet", id="an effect of ones own"),
    pytest.param("effect: auto", "removed: x", "`removed` is not built yet; remove it", id="a removal of ones own"),
    pytest.param("effect: auto", "undo: x", "`undo` is not built yet; remove it", id="an undo of ones own"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{error_ratio: 20%}]", "stop[0]: `for` is missing; write `{error_ratio: 20%, for: 5s}`", id="no time"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{error_ratio: 0%, for: 5s}]", "stop[0].error_ratio: got 0, expected more than 0", id="stops always"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{slo: pay, for: 5s}]", "`below` is missing; write `{slo: NAME, below: 50%, for: 10s}`", id="below what"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{slo: pya, below: 50%, for: 5s}]", "stop[0].slo: no SLO is called 'pya'; did you mean", id="no such SLO"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{alert: x, for: 5s}]", "stop[0]: `for` says nothing in a rule on `alert`", id="a time for an alert"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{alert: x, no_data: 5s}]", "got `no_data` and `alert`, expected exactly one of", id="two rules in one"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{}]", "stop[0]: got none, expected exactly one of", id="an empty rule"),
    pytest.param("stop: [{no_data: 5s}]", "stop: [{error_rate: 20%, for: 5s}]", "unknown key; did you mean `error_ratio`?", id="a typo in a rule"),
    pytest.param("control: none", "rpo: {objective: 0s, ledger: orders}", "no ledger of the load profile is called 'orders'", id="rpo"),
    pytest.param("control: none", "detection: {alert: x}", "detection.within: missing; add it", id="a detection without time"),
    pytest.param("control: none", "control: b-b", "got 'b-b', expected 'none', 'a-a' or 'known-bad'", id="an unknown control"),
    pytest.param("budget: {slo: pay", "budget: {slo: nix", "budget.slo: no SLO is called 'nix'", id="an unknown SLO in the budget"),
    pytest.param("reasons: []", "reasons: [SLO_MISED]", "did you mean SLO_MISSED?", id="an unknown reason"),
    pytest.param("verdict: PASS", "verdict: GREEN", "self_test.verdict: got 'GREEN'", id="an unknown verdict"),
    pytest.param("slos: [slo.yaml]", "slos: [nix.yaml]", "slos[0]: no such file", id="no SLO file"),
    pytest.param("load: load.yaml", "load: nix.yaml", "load: no such file", id="no load profile"),
    pytest.param("slos: [slo.yaml]", "slos: [load.yaml]", "document 0: version not supported: got 'chaosx/v1'", id="a profile as SLO"),
    pytest.param("objectives: [", "objetives: [", "did you mean `objectives`?", id="a typo in the block"),
    pytest.param("rto: {objective: 10s", "rto: {objective: 0s", "rto.objective: got a duration of 0", id="no time to recover"),
]


@pytest.mark.parametrize(("good", "bad", "said"), BLOCK_BROKEN)
def test_a_broken_block_says_what_to_do(tmp_path: Path, good: str, bad: str, said: str) -> None:
    assert good in OURS
    assert said in refusal(tmp_path, OURS.replace(good, bad))


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, OURS.replace("title: t", "titel: t").replace("95%", "95").replace("zone: b", "zon: b"))
    assert [part in said for part in ("`title`", "titel", "objectives[0].target", "arguments.zon")] == [True] * 4


def test_a_promised_slo_must_select_something(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(SLO.replace("{name: pay}}", "{name: POST /pya}}").replace("{name: pay},", "{name: POST /pya},"), encoding="utf-8")
    said = refusal(tmp_path, OURS.replace("slo.yaml", "other.yaml"))
    assert "SLO pay" in said and "selects the step 'POST /pya', which the load profile has not; did you mean 'POST /pay'?" in said
