# ruff: noqa: E501 - a table: one situation, one line
"""
Verdicts on what Prometheus said: an SLO read from its counters, and an alert that must fire. Each cause beside its near miss.

A situation is a whole run directory with real files; see `tests/truth/build.py`. The counters are those of a shop that is asked
100 times a second and fails for a share of requests in the fault's window.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "truth"))

from build import AVAILABILITY, NS, FaultScene, Scene, block_of, build, healthy

from chaoslib_ext.block import Detection, Objective
from chaoslib_ext.result import Finding
from chaoslib_ext.slo import Sli, Slo
from chaoslib_ext.verdict import judge

SERVER = Slo(
    "server", "shop", "As the proxy saw it", Sli("server", None, "none", None, "prometheus", "good_total", "all_total"), 0.99, 30 * 86400.0, "slos.yaml#2"
)
Event = dict[str, Any]


def readings(bad_share: Callable[[float], float] = lambda _t: 0.0, rate: float = 100.0, age_s: float = 1.0, every_s: float = 1.0, ok: Callable[[float], bool] = lambda _t: True,
             gone: Callable[[float], int] = lambda _t: 0, broken: Callable[[float], int] = lambda _t: 0, stale_s: float = 0.5) -> list[Event]:  # fmt: skip
    """A reading a second of counters that are scraped every `every_s`, so that what stands there is up to `stale_s` older."""
    found, good, total = [], [0.0], [0.0]
    for n in range(700):
        share = bad_share(n / 10)
        total.append(total[-1] + rate / 10)
        good.append(good[-1] + (1 - share) * rate / 10)
    for n in range(60):
        t_s = n + 0.3
        at = int((max(0.0, t_s - stale_s) // every_s) * every_s * 10)
        told: Event = {"kind": "reading", "name": "sli", "slo": "server", "source": "prometheus", "age_ns": round(age_s * NS), "t_ns": round(t_s * NS)}
        whole = {"ok": True, "good": good[at], "total": total[at], "gone": gone(t_s), "broken": broken(t_s)}
        found.append({**told, **(whole if ok(t_s) else {"ok": False, "error": "HTTP 500"})})
    return found


def share(value: float) -> Callable[[float], float]:
    """Fails for this share of requests while the fault is in force."""
    return lambda t_s: value if 10.0 <= t_s < 40.05 else 0.0


def judged(folder: Path, objective: Objective, events: list[Event], slo: Slo = SERVER, **scene: Any) -> Finding:
    block = block_of(slos=[AVAILABILITY, slo], objectives=[objective], rto=None, recovery_after_removal_s=None)
    result = judge(build(folder / "run", Scene(block=block, events=tuple(events), **scene)))
    [finding] = [one for one in result.findings if one.kind == "slo"]
    return finding


FAULT95 = Objective("server", "fault", 0.95)


@pytest.mark.parametrize(
    ("objective", "events", "outcome", "reasons"),
    [
        pytest.param(FAULT95, readings(share(0.04)), "met", (), id="few errors"),
        pytest.param(FAULT95, readings(share(0.2)), "missed", ("SLO_MISSED",), id="many errors"),
        pytest.param(FAULT95, readings(share(0.052)), "inconclusive", ("SOURCE_TOO_COARSE",), id="a hair too many: the edges decide, and nobody knows them"),
        pytest.param(FAULT95, [], "inconclusive", ("NO_DATA",), id="never read"),
        pytest.param(FAULT95, readings(share(0.2), ok=lambda t: False), "inconclusive", ("SOURCE_UNREACHABLE",), id="unreachable, and nothing is zero"),
        pytest.param(FAULT95, readings(share(0.04), ok=lambda t: not 9 < t < 41), "inconclusive", ("SOURCE_UNREACHABLE",), id="unreachable in the window only"),
        pytest.param(FAULT95, readings(share(0.04), ok=lambda t: not 20 < t < 25), "met", (), id="near miss: unreachable inside it, the counters went on"),
        pytest.param(FAULT95, readings(rate=1.0), "inconclusive", ("TOO_FEW_SAMPLES",), id="too few events"),
        pytest.param(FAULT95, readings(share(0.2), every_s=15.0, age_s=15.0), "inconclusive", ("SOURCE_TOO_COARSE", "NO_DATA", "TOO_FEW_SAMPLES"), id="scraped every 15 s"),
        pytest.param(FAULT95, readings(share(0.04), gone=lambda t: int(t > 12)), "inconclusive", ("SOURCE_INCOMPLETE",), id="a replica's counter vanished"),
        pytest.param(FAULT95, readings(share(0.2), gone=lambda t: int(t > 12)), "missed", ("SLO_MISSED",), id="near miss: it vanished, and what is left is bad enough"),
        pytest.param(FAULT95, readings(share(0.04), gone=lambda t: int(t > 2)), "met", (), id="near miss: it vanished long before"),
        pytest.param(FAULT95, readings(share(0.2), broken=lambda t: int(t > 12)), "inconclusive", ("SOURCE_INCOMPLETE",), id="a counter began anew inside a sum"),
        pytest.param(Objective("server", "baseline"), readings(share(0.2)), "met", (), id="the baseline ends before the fault, and is judged from its inside"),
        pytest.param(Objective("server", "baseline"), readings(lambda t: 0.05 if t < 10 else 0.0), "inconclusive", ("BASELINE_UNHEALTHY",), id="a bad baseline is held against nobody"),
        pytest.param(Objective("server", "whole", 0.8), readings(share(0.1)), "met", (), id="the whole run"),
        pytest.param(Objective("server", "recovered"), readings(share(0.2)), "met", (), id="well again after it"),
        pytest.param(Objective("server", "recovered"), readings(lambda t: 0.2 if t >= 10 else 0.0), "missed", ("SLO_MISSED",), id="never well again"),
    ],
)  # fmt: skip
def test_an_slo_in_prometheus_is_judged_from_its_counters(
    tmp_path: Path, objective: Objective, events: list[Event], outcome: str, reasons: tuple[str, ...]
) -> None:
    finding = judged(tmp_path, objective, events)
    assert finding.outcome == outcome, finding
    assert set(finding.reasons) <= set(reasons) and bool(finding.reasons) == bool(reasons), finding
    assert finding.source == "prometheus"


def test_the_load_does_not_speak_for_such_an_slo(tmp_path: Path) -> None:
    """The requests of the load are all well here, and the counters say otherwise."""
    finding = judged(tmp_path, FAULT95, readings(share(0.5)), serve=healthy)
    assert finding.outcome == "missed"
    assert "judged from prometheus" in " ".join(finding.evidence)


def test_the_file_may_ask_for_more_events(tmp_path: Path) -> None:
    more = Slo(SERVER.name, SERVER.service, SERVER.display_name, SERVER.sli, SERVER.target, SERVER.period_s, SERVER.source, min_samples=10**6)
    assert judged(tmp_path, FAULT95, readings(share(0.0)), more).reasons == ("TOO_FEW_SAMPLES",)


def test_more_good_events_than_events_decide_nothing(tmp_path: Path) -> None:
    events = [{**one, "good": one["total"] * 2} for one in readings()]
    assert judged(tmp_path, FAULT95, events).reasons == ("SOURCE_INCOMPLETE",)


CALM95 = replace(SERVER, target=0.95)


@pytest.mark.parametrize(
    ("events", "reasons"),
    [
        pytest.param(readings(lambda t: 0.04 if t < 10 else 0.0), (), id="few errors"),
        pytest.param(readings(gone=lambda t: int(t > 5)), ("SOURCE_INCOMPLETE",), id="a part vanished in it"),
        pytest.param(readings(gone=lambda t: int(t > 1)), (), id="near miss: it vanished before"),
        pytest.param(readings(lambda t: 0.06 if t < 10 else 0.0), ("BASELINE_UNHEALTHY",), id="it was bad"),
        pytest.param(readings(lambda t: 0.06 if t < 10 else 0.0, gone=lambda t: int(t > 5)), ("BASELINE_UNHEALTHY",), id="it was bad, and a part vanished"),
        pytest.param([], ("NO_DATA",), id="never read"),
        pytest.param(readings(rate=5.0), ("TOO_FEW_SAMPLES",), id="too few events"),
    ],
)
def test_the_baseline_is_healthy_only_by_counters_that_stayed_whole(tmp_path: Path, events: list[Event], reasons: tuple[str, ...]) -> None:
    block = block_of(slos=[AVAILABILITY, CALM95], objectives=[Objective("server", "fault", 0.5)], rto=None, recovery_after_removal_s=None)
    result = judge(build(tmp_path / "run", Scene(block=block, events=tuple(events))))
    [finding] = [one for one in result.findings if one.id == "baseline:server"]
    assert finding.reasons == reasons, finding


# detection -----------------------------------------------------------------------------------------------------


def polls(
    fires_s: float | None, until_s: float = 55.0, before: str = "inactive", ok: Callable[[float], bool] = lambda _t: True, ends_s: float = 1000.0
) -> list[Event]:
    """A poll a second of the alert `Burning`, which takes 20 ms and sees it fire from `fires_s` on."""
    found: list[Event] = []
    for n in range(1, int(until_s)):
        sent_s = n + 0.1
        state = before if fires_s is None or sent_s < fires_s else "firing" if sent_s < ends_s else "inactive"
        told: Event = {
            "kind": "reading",
            "name": "alert",
            "alert": "Burning",
            "source": "prometheus",
            "sent_ns": round(sent_s * NS),
            "t_ns": round((sent_s + 0.02) * NS),
        }
        found.append({**told, "ok": True, "state": state} if ok(sent_s) else {**told, "ok": False, "error": "HTTP 500"})
    if fires_s is not None:
        found.append({"kind": "alert", "name": "Burning", "state": "firing", "starts_at": "2026-01-01T00:00:11Z", "t_ns": round((fires_s + 1) * NS)})
    return found


def detected(folder: Path, within_s: float, events: list[Event], **scene: Any) -> Any:
    block = block_of(objectives=[], rto=None, recovery_after_removal_s=None, detection=Detection("Burning", within_s))
    return judge(build(folder / "run", Scene(block=block, events=tuple(events), **scene)))


@pytest.mark.parametrize(
    ("within_s", "events", "outcome", "reasons"),
    [
        pytest.param(15.0, polls(20.0), "met", (), id="in time"),
        pytest.param(9.0, polls(20.0), "missed", ("DETECTION_MISSED",), id="too late"),
        pytest.param(9.8, polls(20.0), "inconclusive", ("DETECTION_STRADDLES",), id="between two polls"),
        pytest.param(15.0, polls(None), "missed", ("DETECTION_MISSED",), id="never"),
        pytest.param(15.0, polls(None, before="pending"), "missed", ("DETECTION_MISSED",), id="pending is not firing"),
        pytest.param(60.0, polls(None), "inconclusive", ("DETECTION_NOT_OBSERVED",), id="never, but not watched long enough"),
        pytest.param(15.0, polls(20.0, before="firing"), "inconclusive", ("ALERT_ALREADY_FIRING",), id="it fired before the effect"),
        pytest.param(15.0, polls(5.0, ends_s=8.0), "missed", ("DETECTION_MISSED",), id="near miss: it fired and ended before the effect"),
        pytest.param(15.0, [], "inconclusive", ("NO_DATA",), id="never read"),
        pytest.param(15.0, polls(None, ok=lambda _t: False), "inconclusive", ("SOURCE_UNREACHABLE",), id="unreachable is never met"),
        pytest.param(15.0, polls(None, ok=lambda t: t < 12), "inconclusive", ("SOURCE_UNREACHABLE",), id="unreachable from then on"),
        pytest.param(15.0, polls(None, ok=lambda t: not 12 < t < 20), "inconclusive", ("SOURCE_UNREACHABLE",), id="a gap in which it may have fired"),
        pytest.param(15.0, polls(None, ok=lambda t: not 12 < t < 15), "missed", ("DETECTION_MISSED",), id="near miss: a short gap"),
        pytest.param(15.0, polls(13.0, ok=lambda t: not 12 < t < 20), "met", (), id="it fired in a gap, and in time in any case"),
        pytest.param(8.0, polls(13.0, ok=lambda t: not 12 < t < 20), "inconclusive", ("DETECTION_STRADDLES",), id="it fired in a gap, and nobody knows when"),
    ],
)
def test_an_alert_that_must_fire(tmp_path: Path, within_s: float, events: list[Event], outcome: str, reasons: tuple[str, ...]) -> None:
    result = detected(tmp_path, within_s, events)
    [finding] = [one for one in result.findings if one.kind == "detection"]
    assert (finding.outcome, finding.reasons) == (outcome, reasons), finding
    assert result.detection["state"] == {"met": "fired", "missed": "missed", "inconclusive": "undecided"}[outcome]


def test_a_detection_is_a_bracket_of_the_poll_and_the_effect(tmp_path: Path) -> None:
    detection = detected(tmp_path, 15.0, polls(20.0)).detection
    assert detection == {
        "alert": "Burning", "within_s": 15.0, "lo_s": 9.08, "hi_s": 10.12, "starts_at": "2026-01-01T00:00:11Z", "source": "prometheus", "state": "fired",
    }  # fmt: skip


def test_without_an_effect_there_is_nothing_to_detect(tmp_path: Path) -> None:
    result = detected(tmp_path, 15.0, polls(20.0), faults=(FaultScene(effect=None, removed=None),))
    [finding] = [one for one in result.findings if one.kind == "detection"]
    assert (finding.outcome, finding.reasons) == ("inconclusive", ("EFFECT_UNPROVEN",))


def test_a_missed_detection_says_when_the_fault_was_shorter(tmp_path: Path) -> None:
    result = detected(tmp_path, 35.0, polls(None))
    [finding] = [one for one in result.findings if one.kind == "detection"]
    assert finding.outcome == "missed"
    assert "the alert had only that long to notice" in finding.evidence[-1]


def test_a_detection_alone_can_pass_and_fail(tmp_path: Path) -> None:
    met, missed = detected(tmp_path / "a", 15.0, polls(20.0)), detected(tmp_path / "b", 9.0, polls(20.0))
    assert (met.verdict, missed.verdict, missed.reasons) == ("PASS", "FAIL", ["DETECTION_MISSED"])
