"""A plan says what would be hit, cost, take and be decided; a run from a plan is that plan or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plan_rig import KILL, LOSE, SHOP, plan, roster, write

from chaoslib_ext.cli.plan_command import plan_file
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.runner.outlook import Length, method_length
from chaoslib_ext.runner.plan import read_plan, same_or_refuse


def test_a_plan_names_targets_by_uid_shares_survivors_and_price(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    planned = plan(folder)
    assert sorted(folder.rglob("*")) == before, "nothing is touched, not even the lock"
    [row] = planned.plan["resolved"]
    assert [target["uid"] for target in row["targets"] if target["kind"] == "replica"] == ["00000000-102-7", "00000000-103-7"]
    assert row["of"] == {"shop": {"total": 6, "hit": 2}}
    assert planned.plan["survivors"] == {"lose zone b": {"a": 2, "c": 2}}
    assert planned.plan["cost"]["each"] == {"browse-availability": round(20 / 3 / (0.01 * 30 * 86400), 9)}
    assert planned.plan["refused"] == []
    for text in (planned.plan["token"], "00000000-102-7", "2 of 6 (33%, no cap)", "a 2, c 2", "run it: chaosx run"):
        assert text in planned.text


def test_a_plan_says_how_long_the_run_takes(folder: Path) -> None:
    seen = plan(folder).plan["outlook"]
    assert seen["phases"] == {"warm-up": [5.0, 5.0], "baseline": [10.0, 10.0], "method": [20.0, 30.0], "recovery": [8.0, 40.0]}
    assert seen["takes_s"] == [43.0, 85.0]


@pytest.mark.parametrize(
    ("activities", "length"),
    [
        pytest.param([LOSE % "20s", LOSE.replace("lose zone b", "again") % "30s"], (30.0, 50.0), id="two holds overlap"),
        pytest.param(
            [LOSE % "20s", "{type: probe, name: p, pauses: {before: 30}, provider: {type: http, url: 'http://x/'}}"],
            (30.0, None),
            id="a pause after it, and a probe",
        ),
        pytest.param([KILL], (0.0, 10.0), id="an instant fault"),
        pytest.param(["{type: probe, name: p, background: true, provider: {type: http, url: 'http://x/'}}"], (0.0, 0.0), id="in the background"),
    ],
)
def test_the_method_ends_with_its_last_hold(folder: Path, activities: list[str], length: tuple[float, float | None]) -> None:
    write(folder, *activities)
    experiment = read_experiment(folder / "x.yaml")
    assert method_length(experiment, plan(folder).plan["resolved"]) == Length(*length)


def objective(folder: Path, window: str) -> dict[str, Any]:
    return next(one for one in plan(folder).plan["outlook"]["objectives"] if one["window"] == window)


def test_samples_of_a_window_follow_from_rate_weights_and_length(folder: Path) -> None:
    fault, baseline = objective(folder, "fault"), objective(folder, "baseline")
    assert (fault["samples"], fault["needed"], fault["decides"]) == (2000, 59, True)  # half of 200/s for 20 s
    assert (baseline["samples"], baseline["needed"], baseline["decides"]) == (1000, 299, True)


def test_an_objective_that_cannot_be_decided_says_what_would(folder: Path) -> None:
    write(folder, rate="5/s")
    baseline = objective(folder, "baseline")
    assert (baseline["samples"], baseline["decides"]) == (25, False)
    assert baseline["change"] == "make it windows.baseline 2m1s or 60/s"
    assert any(warning.startswith("TOO_FEW_SAMPLES: browse-availability, baseline: 25 of 299") for warning in plan(folder).plan["warnings"])


def test_the_change_that_is_named_is_enough(folder: Path) -> None:
    write(folder, rate="5/s", windows="{warmup: 5s, baseline: 121s, recovery: 40s, stable: 6s}")
    assert objective(folder, "baseline")["decides"]
    write(folder, rate="60/s")
    assert objective(folder, "baseline")["decides"]


RTO = [
    pytest.param({"rate": "10/s"}, "30 arrivals in windows.stable, 100 are needed", id="a stable stretch too thin"),
    pytest.param({"rate": "0.1/s"}, "one arrival in 20 s cannot resolve 10s", id="a rate too low"),
    pytest.param({"activities": [LOSE % "5s"]}, "held too short: hold the fault for 16s", id="held too short"),
    pytest.param(
        {"activities": [KILL], "windows": "{warmup: 5s, baseline: 10s, recovery: 12s, stable: 6s}"}, "watched for 12s, shorter than", id="watched too short"
    ),
]


@pytest.mark.parametrize(("changes", "said"), RTO)
def test_an_rto_that_cannot_be_decided_says_what_would(folder: Path, changes: dict[str, Any], said: str) -> None:
    write(folder, *changes.pop("activities", ()), **changes)
    told = plan(folder).plan["outlook"]["rto"]
    assert told["decides"] is False
    assert said in told["change"]


def test_the_resolution_of_an_rto_is_the_gap_between_two_arrivals(folder: Path) -> None:
    assert plan(folder).plan["outlook"]["rto"]["resolution_s"] == 0.01


def test_more_load_than_a_process_sends_is_warned_of_as_an_estimate(folder: Path) -> None:
    write(folder, rate="800/s")
    planned = plan(folder)
    assert planned.plan["outlook"]["load"]["requests_per_s"] == 1200.0
    assert planned.plan["outlook"]["load"]["enough"] is False
    assert any("GENERATOR_SATURATED is likely" in warning for warning in planned.plan["warnings"])
    assert "roughly 1,000/s (estimate" in planned.text


def test_a_plan_that_would_be_refused_says_so_and_keeps_the_rest(folder: Path) -> None:
    more = "  faults: {lose zone b: {caps: {per_owner: 10%}}}\n  objectives: [{slo: browse-availability, window: fault}]\n"
    write(folder, LOSE % "20s", KILL, block=more)
    planned = plan(folder)
    [refused] = planned.plan["refused"]
    assert (refused["activity"], refused["reason"]) == ("lose zone b", "CAPS_EXCEEDED")
    assert [row["activity"] for row in planned.plan["resolved"]] == ["kill"]
    assert "a run would be refused" in planned.text


def test_what_selects_nothing_is_a_wrong_file(folder: Path) -> None:
    write(folder, (LOSE % "20s").replace("zone: b", "zone: q"))
    with pytest.raises(UsageError, match="matches nothing"):
        plan(folder)


# a run from a plan -----------------------------------------------------------------------------------------------------


def redrawn(folder: Path) -> dict[str, Any]:
    return plan(folder, output=folder / "again.json").plan


def test_a_plan_drawn_again_from_the_same_world_is_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(folder, output=folder / "plan.json")
    stored = read_plan(folder / "plan.json")
    same_or_refuse(stored, redrawn(folder))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    same_or_refuse(stored, plan_file(Path("../x.yaml"), "../e.yaml", None, 7, False).plan)


CHANGES = [
    pytest.param(
        lambda folder: roster(folder, *SHOP, first=200), "TARGETS_CHANGED", r"planned replica shop-b-1 \(00000000-102-7\), which is not there", id="restarted"
    ),
    pytest.param(
        lambda folder: roster(folder, *SHOP, "shop-b-3"), "TARGETS_CHANGED", r"now replica shop-b-3 \(00000000-106-7\), which was not planned", id="one more"
    ),
    pytest.param(
        lambda folder: roster(folder, *SHOP, shop_a_1={"ready": False}), "TARGETS_CHANGED", "planned to survive a 2, c 2, now a 1, c 2", id="a survivor less"
    ),
    pytest.param(lambda folder: write(folder, LOSE % "21s"), "PREFLIGHT_FAILED", r"arguments.duration: planned '20s', now '21s'", id="another duration"),
    pytest.param(lambda folder: write(folder, rate="300/s"), "PREFLIGHT_FAILED", "load.stages.0..rate: planned 200.0, now 300.0", id="another load"),
]


@pytest.mark.parametrize(("change", "reason", "said"), CHANGES)
def test_a_plan_that_is_no_longer_true_is_refused_with_the_difference(folder: Path, change: Any, reason: str, said: str) -> None:
    stored = plan(folder).plan
    change(folder)
    with pytest.raises(Refused, match=said) as refused:
        same_or_refuse(stored, redrawn(folder))
    assert refused.value.reason == reason


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"resolved": [3], "intent": {}, "seed": 1}', '{"resolved": [], "intent": {}, "seed": "x"}'])
def test_a_file_that_is_no_plan_is_refused(folder: Path, text: str) -> None:
    (folder / "plan.json").write_text(text)
    with pytest.raises(UsageError, match="plan"):
        read_plan(folder / "plan.json")


def chaosx(*words: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "chaosx"), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.mark.slow
def test_a_run_from_a_plan_hits_exactly_its_targets_or_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_SANDBOX", str(folder / "rooms"))
    write(folder, LOSE % "4s", windows="{warmup: 2s, baseline: 5s, recovery: 10s, stable: 2s}")
    assert chaosx("sandbox", "up", "mine").returncode == 0
    try:
        planned = chaosx("plan", "x.yaml", "--env", "sandbox@mine", "-o", "plan.json", "--json")
        assert planned.returncode == 0, planned.stderr
        plan = json.loads(planned.stdout)
        done = chaosx("run", "x.yaml", "--env", "sandbox@mine", "--plan", "plan.json", "--json")
        assert done.returncode in (0, 3), done.stderr
        assert f"plan {plan['token']}: the targets are the planned ones" in done.stderr
        result = json.loads(done.stdout)
        assert result["plan_token"] == plan["token"]
        ran = json.loads((Path(result["directory"]) / "plan.json").read_text())
        assert ran["resolved"] == plan["resolved"]
        assert ran["seed"] == plan["seed"]
        private = chaosx("run", "x.yaml", "--env", "sandbox", "--plan", "plan.json")
        assert private.returncode == 3
        assert "not begun: PREFLIGHT_FAILED: this is not what was planned:\n  environment.identity.sandbox: planned" in private.stderr
        assert chaosx("sandbox", "down", "mine").returncode == 0
        assert chaosx("sandbox", "up", "mine").returncode == 0
        assert chaosx("run", "x.yaml", "--env", "sandbox@mine", "--plan", "plan.json").returncode == 3
        assert chaosx("run", "x.yaml", "--env", "sandbox@mine", "--plan", "plan.json", "--seed", "1").returncode == 2
    finally:
        chaosx("sandbox", "down", "mine")


@pytest.mark.slow
def test_a_plan_in_a_private_sandbox_leaves_nothing_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_SANDBOX", str(folder / "rooms"))
    done = chaosx("plan", "x.yaml")
    assert done.returncode == 0, done.stderr
    assert "a private sandbox, started for this plan and ended again" in done.stdout
    assert list((folder / "rooms").iterdir()) == []
    assert not (folder / "reports").exists()
