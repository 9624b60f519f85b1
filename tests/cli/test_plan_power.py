"""A plan says before the run how small a change it would tell, and which promises it could not decide."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from plan_rig import KILL, LOSE, plan, write

from chaoslib_ext.environment import read_environment
from chaoslib_ext.errors import InvalidFile, Refused
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.runner.plan import make_plan

WRITING = """apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: %s}]
arrivals: %s
journeys:
- {name: browse, weight: 3, steps: [{request: GET /catalog/1}]}
- {name: buy, weight: 1, steps: [{request: POST /orders, json: {id: '${write_id}'}, write: orders}]}
writes: {orders: {acknowledged: {status: 201}, readback: {http: {url_path: '/orders?prefix=${run}', ids: $.ids}}}}
"""
RPO = "  objectives: [{slo: browse-availability, window: fault, target: 95%%}]\n  rpo: {ledger: orders, %s}\n"


def smallest_loss(total: int, target: Fraction) -> Fraction:
    """By brute force in whole numbers: the smallest loss, in millionths, of which four of five windows show too much to be chance."""
    fine, allowed = 10**6, 1 - target

    def fewer(count: int, chance: Fraction) -> Fraction:
        a, b = chance.numerator, chance.denominator
        return Fraction(sum(math.comb(total, k) * a**k * (b - a) ** (total - k) for k in range(count)), b**total)

    bad = next(count for count in range(total + 1) if fewer(count, allowed) > Fraction(975, 1000))
    low, high = 0, int(target * fine)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fewer(bad, allowed + Fraction(middle, fine)) <= Fraction(1, 5) else (middle, high)
    return Fraction(high, fine)


def told(text: str, line: str) -> str:
    """The line of a plan below the one that a promise begins."""
    lines = text.splitlines()
    return lines[next(at for at, one in enumerate(lines) if re.match(line, one)) + 1]


@pytest.mark.parametrize(("rate", "seconds"), [("100/s", 20), ("60/s", 15)])
def test_the_plan_prints_the_loss_that_an_independent_calculation_gives(rate: str, seconds: int, folder: Path) -> None:
    write(folder, LOSE % f"{seconds}s", rate=rate)
    planned = plan(folder)
    line = told(planned.text, r"  yes browse-availability +fault +>= 95%")
    n = int(rate[:-2]) // 2 * seconds
    loss = smallest_loss(n, Fraction(95, 100))
    found = re.fullmatch(rf" +at {n // seconds}/s for {seconds}s an availability loss under ([0-9.]+) points cannot be told from none", line)
    assert found, line
    assert Fraction(found[1]) <= loss * 100 < Fraction(found[1]) * Fraction(11, 10), "cut off to two digits"
    [fault] = [one for one in planned.plan["outlook"]["objectives"] if one["window"] == "fault"]
    assert fault["detectable_loss"] == pytest.approx(float(loss), abs=2e-6)


def test_of_latency_the_plan_says_between_which_ranks_the_percentile_lies(folder: Path) -> None:
    write(folder, block="  objectives: [{slo: browse-latency, window: fault}]\n", rate="20/s")
    line = told(plan(folder).text, r"  yes browse-latency +fault +>= 95%")
    assert "a loss of answers within 200ms under" in line
    assert line.endswith("p95 is known to within the samples of ranks 184 to 197 of 200")


def test_a_window_that_tells_nothing_says_so(folder: Path) -> None:
    write(folder, LOSE % "10s", rate="0.4/s", block="  objectives: [{slo: browse-availability, window: fault, target: 50%}]\n")
    assert told(plan(folder).text, r"  NO +browse-availability +fault").endswith("an availability loss, however large, cannot be told from none")


def test_the_bracket_of_a_recovery_is_as_wide_as_the_gap_between_arrivals(folder: Path) -> None:
    more = "  objectives: [{slo: browse-availability, window: fault, target: 95%}]\n  rto: {objective: 10s, slos: [browse-availability]}\n"
    write(folder, rate="40/s", block=more + "  recovery_after_removal: {objective: 2s}\n")
    planned = plan(folder)
    assert told(planned.text, r"  yes RTO").strip().startswith("at 20/s the bracket of an outage is at least 50 ms wide, plus")
    assert told(planned.text, r"  yes recovery after removal").strip().startswith("at 20/s the bracket of an outage is at least 50 ms wide, plus")
    (folder / "load.yaml").write_text((folder / "load.yaml").read_text() + "arrivals: poisson\n")
    assert plan(folder).plan["outlook"]["rto"]["resolution_s"] == pytest.approx(4.6 * 0.05)


REMOVAL = [
    pytest.param("20/s", "50ms", "one arrival in 0.1 s cannot resolve 50ms", id="finer than the gap"),
    pytest.param("10/s", "2s", "30 arrivals in windows.stable, 100 are needed", id="a stable stretch too thin"),
    pytest.param("200/s", "38s", "it is watched for 40s, shorter than the objective", id="watched too short"),
]


@pytest.mark.parametrize(("rate", "objective", "said"), REMOVAL)
def test_a_recovery_after_removal_that_cannot_be_decided_says_what_would(rate: str, objective: str, said: str, folder: Path) -> None:
    promised = "  objectives: [{slo: browse-availability, window: fault, target: 95%}]\n"
    write(folder, rate=rate, block=f"{promised}  recovery_after_removal: {{objective: {objective}}}\n")
    planned = plan(folder)
    assert planned.plan["outlook"]["recovery_after_removal"]["decides"] is False
    assert any(said in warning for warning in planned.plan["warnings"]), planned.plan["warnings"]


# lost writes -----------------------------------------------------------------------------------------------------------


def rpo(folder: Path, promise: str, rate: str = "100/s", arrivals: str = "uniform", *method: str) -> dict[str, Any]:
    write(folder, *method, block=RPO % promise)
    (folder / "load.yaml").write_text(WRITING % (rate, arrivals))
    planned = plan(folder)
    return {**planned.plan["outlook"]["rpo"], "text": planned.text, "warnings": planned.plan["warnings"]}


def test_the_plan_counts_the_writes_that_could_be_lost(folder: Path) -> None:
    seen = rpo(folder, "max_writes: 0, objective: 1s")
    # a quarter of 100/s are writes; warm-up 5 s, baseline 10 s, method 20 s, recovery 8 s at least, less the 0.2 s of the start
    assert (seen["writes"], seen["at_risk"], seen["rate_per_s"], seen["decides"]) == (1070, 25, 25.0, True)
    assert told(seen["text"], r"  yes RPO orders +<= 0 writes, <= 1s  25 writes at risk").strip() == (
        "at 25/s at least 1,070 writes are planned: `max_writes` from 0 to 1,069 can be decided; a loss shorter than 40 ms may leave no trace"
    )


RPOS = [
    pytest.param("max_writes: 0", "16/s", "4 writes in the last second before the fault, 5 must be at risk; make it 21 arrivals/s", id="too few at risk"),
    pytest.param("max_writes: 100000", "100/s", "so that more than 100000 are never lost; promise fewer", id="more than are ever written"),
    pytest.param("objective: 30ms", "100/s", "one write in 0.04 s cannot resolve 30ms", id="finer than the gap"),
]


@pytest.mark.parametrize(("promise", "rate", "said"), RPOS)
def test_an_rpo_that_cannot_be_decided_says_what_would(promise: str, rate: str, said: str, folder: Path) -> None:
    seen = rpo(folder, promise, rate)
    assert seen["decides"] is False
    assert any(f"RPO cannot be decided: {seen['change']}" == warning for warning in seen["warnings"])
    assert said in seen["change"]


def test_the_rate_that_is_named_is_enough(folder: Path) -> None:
    assert rpo(folder, "max_writes: 0", "21/s")["decides"]


def test_writes_that_nobody_makes_are_a_wrong_file(folder: Path) -> None:
    write(folder, block=RPO % "max_writes: 0")
    with pytest.raises(InvalidFile, match="no ledger of the load profile is called 'orders'"):
        read_experiment(folder / "x.yaml")


# what could never be decided ---------------------------------------------------------------------------------------------


NEVER = [
    pytest.param("{rate: 0/s, for: 300s}, {rate: 200/s}", "browse-availability, baseline", id="no arrival in the baseline"),
    pytest.param("{rate: 0.01/s}", "browse-availability, baseline", id="a window shorter than one arrival"),
    pytest.param("{rate: 200/s, for: 14s}, {rate: 0/s, for: 900s}, {rate: 1/s}", "browse-availability, fault", id="silence under the fault"),
]


@pytest.mark.parametrize(("stages", "named"), NEVER)
def test_a_promise_that_no_arrival_could_ever_decide_is_refused(stages: str, named: str, folder: Path) -> None:
    write(folder)
    load = folder / "load.yaml"
    load.write_text(load.read_text().replace("{rate: 200/s}", stages))
    planned = plan(folder)
    assert any(one["reason"] == "PREFLIGHT_FAILED" and one["text"].startswith(named) for one in planned.plan["refused"]), planned.plan["refused"]
    assert "REFUSED PREFLIGHT_FAILED" in planned.text and "a run would be refused; nothing was touched" in planned.text
    with pytest.raises(Refused, match="could never be decided") as refused:
        make_plan(read_experiment(folder / "x.yaml"), read_environment(folder / "e.yaml"), 7)
    assert refused.value.reason == "PREFLIGHT_FAILED"


@pytest.mark.parametrize("method", [LOSE % "20s", KILL], ids=["held", "instant"])
def test_a_promise_with_too_few_samples_is_marked_and_not_refused(method: str, folder: Path) -> None:
    write(folder, method, rate="5/s")
    planned = plan(folder)
    assert planned.plan["refused"] == []
    assert make_plan(read_experiment(folder / "x.yaml"), read_environment(folder / "e.yaml"), 7)["refused"] == []
    assert any(warning.startswith("TOO_FEW_SAMPLES") for warning in planned.plan["warnings"])


def test_a_promise_of_all_is_a_wrong_file(folder: Path) -> None:
    write(folder, block="  objectives: [{slo: browse-availability, window: fault, target: 100%}]\n")
    with pytest.raises(InvalidFile, match="no number of requests decides a promise of all or none"):
        read_experiment(folder / "x.yaml")


def test_a_plan_of_an_earlier_version_is_still_a_plan(folder: Path) -> None:
    from chaoslib_ext.cli.plan_power import decisions

    seen = json.loads(json.dumps(plan(folder).plan["outlook"]))
    for name in ("rpo", "recovery_after_removal"):
        seen.pop(name)
    seen["objectives"] = [{key: one[key] for key in one if key not in ("rate_per_s", "detectable_loss", "ranks", "never")} for one in seen["objectives"]]
    assert any("browse-availability" in line for line in decisions(seen))
