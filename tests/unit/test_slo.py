"""OpenSLO v1 files: what is read, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.slo import Sli, Slo, parse_shorthand, read_slo_files, read_slos

RATIO = """\
      ratioMetric:
        counter: true
        good: {metricSource: {type: locust, spec: {select: {name: POST /pay}, condition: success}}}
        total: {metricSource: {type: locust, spec: {select: {name: POST /pay}}}}
"""
SLO = f"""\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: pay, displayName: Paying works}}
spec:
  service: shop
  indicator:
    spec:
{RATIO}  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.995}}]
"""
REF = """\
apiVersion: openslo/v1
kind: SLI
metadata: {name: pay-quick}
spec:
  ratioMetric:
    good: {metricSource: {metricSourceRef: loadgen, spec: {select: {name: pay}, condition: {latency_ms: 250}}}}
    total: {metricSource: {metricSourceRef: loadgen, spec: {select: {name: pay}}}}
---
apiVersion: openslo/v1
kind: DataSource
metadata: {name: loadgen}
spec: {type: locust, connectionDetails: {resolution: 1s}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: quick, annotations: {chaoslib-ext.dev/min-samples: "200", chaoslib-ext.dev/hold: 60s}}
spec:
  service: shop
  indicatorRef: pay-quick
  timeWindow: [{duration: 1w, isRolling: false, calendar: {startTime: 2026-01-01 12:00:00, timeZone: Europe/Berlin}}]
  budgetingMethod: Occurrences
  objectives: [{targetPercent: 99.9, op: gt}, {target: 0.5}]
"""


def write(tmp_path: Path, text: str, name: str = "slo.yaml") -> Path:
    path = tmp_path / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def test_an_inline_indicator_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, SLO)
    assert read_slos(path) == [Slo("pay", "shop", "Paying works", Sli("pay", "POST /pay", "step", None), 0.995, 30 * 86400.0, f"{path}#0")]


def test_references_are_followed_and_oddities_are_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, REF)
    found = read_slo_files([path], ["pay"])
    assert found.slos == [Slo("quick", "shop", "quick", Sli("pay-quick", "pay", "journey", 250), 0.999, 604800.0, f"{path}#2", 200)]
    assert [text.partition(": ")[2][:30] for text in found.warnings] == [
        "`op` has no meaning for a rati",
        "only the first objective of an",
        "the annotation chaoslib-ext.de",
    ]


def test_references_reach_across_files(tmp_path: Path) -> None:
    parts = REF.split("---\n")
    paths = [write(tmp_path, part, f"{number}.yaml") for number, part in enumerate(reversed(parts))]
    assert [slo.name for slo in read_slo_files(paths).slos] == ["quick"]


def test_a_list_may_be_the_root(tmp_path: Path) -> None:
    inner = "\n".join("  " + line for line in SLO.splitlines())
    path = write(tmp_path, "-" + inner[1:] + "\n-" + inner[1:].replace("name: pay,", "name: pay2,"))
    assert [(slo.name, slo.source) for slo in read_slos(path)] == [("pay", f"{path}#0"), ("pay2", f"{path}#1")]


def test_a_name_means_a_journey_only_where_there_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, SLO)
    assert read_slos(path)[0].sli.select_class == "step"
    assert read_slos(path, ["POST /pay"])[0].sli.select_class == "journey"


def test_the_class_may_be_said(tmp_path: Path) -> None:
    path = write(tmp_path, SLO.replace("{name: POST /pay}", "{name: POST /pay, class: step}"))
    assert read_slos(path, ["POST /pay"])[0].sli.select_class == "step"


words = st.text("abc", min_size=1, max_size=4)
slis = st.builds(Sli, words, st.none() | words, st.sampled_from(["journey", "step"]), st.none() | st.floats(1, 1000))


@given(st.builds(Slo, words, words, words, slis, st.floats(0.01, 0.99), st.floats(60, 1e7), words, st.none() | st.integers(1, 999)))
def test_an_slo_survives_json(slo: Slo) -> None:
    assert Slo.from_json(json.loads(json.dumps(slo.to_json()))) == slo


BROKEN = [
    pytest.param("openslo/v1", "openslo/v1alpha", ":1: apiVersion: document 0: version not supported: got 'openslo/v1alpha'", id="v1alpha"),
    pytest.param("openslo/v1", "openslo.com/v2alpha", "version not supported", id="v2alpha"),
    pytest.param("kind: SLO", "kind: SLOO", "did you mean `SLO`?", id="an unknown kind"),
    pytest.param("name: pay", "name: Pay Now", "metadata.name: got 'Pay Now', expected a name", id="a name with a space"),
    pytest.param("target: 0.995", "target: 1.0", "got 1.0, expected a ratio above 0 and below 1", id="all of them"),
    pytest.param(
        "target: 0.995",
        "target: 99.5",
        ":14: spec.objectives[0].target: got 99.5, expected a ratio above 0 and below 1; write it as `targetPercent: 99.5`",
        id="a percentage as ratio",
    ),
    pytest.param("target: 0.995", "target: .nan", "got nan", id="not a number"),
    pytest.param("target: 0.995", "targetPercent: 100", "below 100", id="a hundred percent"),
    pytest.param("target: 0.995", "target: 0.9, targetPercent: 90", "exactly one of `target` and `targetPercent`", id="two targets"),
    pytest.param("target: 0.995", "displayName: x", "exactly one of `target` and `targetPercent`", id="no target"),
    pytest.param("target: 0.995", "target: 0.9, indicatorRef: x", "a composite SLO) is not built yet", id="a composite"),
    pytest.param("[{target: 0.995}]", "[]", "expected at least 1 objective", id="no objective"),
    pytest.param("[{target: 0.995}]", "{target: 0.995}", "spec.objectives: got {'target': 0.995}, expected a list", id="no list"),
    pytest.param("Occurrences", "Timeslices", "Timeslices is not built yet; use Occurrences", id="time slices"),
    pytest.param("Occurrences", "Occurences", "did you mean `Occurrences`?", id="a typo in a value"),
    pytest.param("duration: 30d", "duration: 60s", "OpenSLO has no seconds", id="seconds"),
    pytest.param("duration: 30d", "duration: 1 Week", "one of m h d w M Q Y", id="a word as unit"),
    pytest.param("isRolling: true", "isRolling: false", "either `isRolling: true` or a `calendar`", id="neither rolling nor calendar"),
    pytest.param("isRolling: true", "isRolling: false, calendar: {startTime: soon, timeZone: UTC}", "expected a time like", id="no time"),
    pytest.param("[{duration: 30d, isRolling: true}]", "[]", "got 0 time windows, expected exactly 1", id="no window"),
    pytest.param(
        "type: locust", "type: Datadog", "spec.indicator.spec.ratioMetric.good.metricSource.type: source type Datadog is not built yet", id="another source"
    ),
    pytest.param("type: locust, ", "", "`type` is missing", id="no source type"),
    pytest.param("type: locust", "metricSourceRef: nowhere", "no DataSource is called 'nowhere'; there are: none", id="a dangling source"),
    pytest.param("condition: success", "condition: failure", "expected `success` or `{latency_ms: 250}`", id="an unknown condition"),
    pytest.param("condition: success", "condition: {latency_ms: 0}", "latency_ms", id="no latency"),
    pytest.param("condition: success", "condition: {latency: 250}", "did you mean `latency_ms`?", id="a typo in a condition"),
    pytest.param(", condition: success", "", "`condition` is missing", id="no condition"),
    pytest.param(
        "total: {metricSource: {type: locust, spec: {select: {name: POST /pay}}}}",
        "total: {metricSource: {type: locust, spec: {select: {name: x}}}}",
        "the same `select` as in `good`",
        id="another total",
    ),
    pytest.param("good:", "bad:", "`bad` is not built yet; use `good` and `total`", id="bad"),
    pytest.param("  service: shop\n", "", ":4: spec.service: missing; add it", id="no service"),
    pytest.param("  service: shop\n", "  service: shop\n  indicatorRef: x\n", "exactly one of `indicator` and `indicatorRef`", id="two indicators"),
    pytest.param("  service: shop\n", "  service: shop\n  budgetingMetod: x\n", "did you mean `budgetingMethod`?", id="a typo in a key"),
    pytest.param(
        "displayName: Paying works",
        "annotations: {chaoslib-ext.dev/min-samples: many}",
        'expected a whole number above 0 in quotes, like "200"',
        id="min-samples is no number",
    ),
]


@pytest.mark.parametrize(("good", "bad", "said"), BROKEN)
def test_a_broken_slo_says_what_to_do(tmp_path: Path, good: str, bad: str, said: str) -> None:
    assert good in SLO
    with pytest.raises(InvalidFile) as refused:
        read_slos(write(tmp_path, SLO.replace(good, bad)))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file holds no document"),
        ("- 1\n", "document 0: got 1, expected a mapping"),
        (SLO + "---\n" + SLO, "`pay` is defined twice"),
        (REF.replace("indicatorRef: pay-quick", "indicatorRef: pay-qick"), "no SLI is called 'pay-qick'; did you mean `pay-quick`?"),
        (SLO + "---\napiVersion: openslo/v1alpha\nkind: SLO\n", "document 1: version not supported"),
        (SLO.replace("ratioMetric", "thresholdMetric").replace("counter: true", "x: 1"), "thresholdMetric"),
    ],
)
def test_a_broken_set_of_documents_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read_slos(write(tmp_path, text))
    assert said in str(refused.value)


def test_one_broken_indicator_is_told_once(tmp_path: Path) -> None:
    twice = REF.replace("metricSourceRef: loadgen", "type: Datadog") + "---\n" + REF.split("---\n")[2].replace("name: quick", "name: quicker")
    with pytest.raises(InvalidFile) as refused:
        read_slos(write(tmp_path, twice))
    assert len(refused.value.problems) == 2  # good and total


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("1h", 3600), ("30d", 2592000), ("2w", 1209600), ("1M", 2592000), ("1Q", 7776000), ("1Y", 31536000)]
)
def test_the_duration_shorthand_is_read(text: str, seconds: float) -> None:
    assert parse_shorthand(text) == seconds


@pytest.mark.parametrize("bad", ["", "5", "5s", "0d", "-1d", "1.5h", "1 d", 5, None, True])
def test_what_is_no_shorthand_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="expected a number and one of"):
        parse_shorthand(bad)
