"""Load profiles: when arrivals happen, what each does, and what is refused."""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.loadprofile import Journey, LoadProfile, Schedule, Stage, Step, read_load_profile

GOOD = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 20/s, to: 200/s, for: 5s}, {rate: 200/s}]
arrivals: poisson
journeys:
- name: checkout
  weight: 3
  steps:
  - {request: "POST /login?next=1", json: {user: ada}, capture: {token: $.auth.token}, timeout: 500ms}
  - {request: POST /pay, headers: {Authorization: "Bearer ${token}"}, json: {id: "${random}"}, check: {status: [200, 201]}, slo: pay}
"""

rates = st.floats(0.5, 400, allow_nan=False).map(lambda rate: round(rate, 2))
bounded = st.builds(Stage, st.one_of(st.just(0.0), rates), st.one_of(st.none(), st.just(0.0), rates), st.floats(0.1, 8).map(lambda seconds: round(seconds, 2)))
stages = st.builds(lambda first, last: (*first, last), st.lists(bounded, max_size=4), st.builds(Stage, rates))


def write(tmp_path: Path, text: str, name: str = "profile.yaml") -> Path:
    path = tmp_path / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def first(schedule: Schedule, count: int) -> list[float]:
    return list(itertools.islice(schedule.times(), count))


def test_a_constant_rate_spaces_arrivals_evenly() -> None:
    assert first(Schedule((Stage(4.0),)), 5) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_ramp_solves_the_quadratic() -> None:
    schedule = Schedule((Stage(0.0, 10.0, 10.0), Stage(10.0)))  # k arrivals by sqrt(2k)
    assert first(schedule, 50) == pytest.approx([math.sqrt(2 * k) for k in range(50)])
    assert first(schedule, 52)[50:] == pytest.approx([10.0, 10.1])


def test_nothing_arrives_in_a_stage_without_rate() -> None:
    schedule = Schedule((Stage(2.0, None, 1.0), Stage(0.0, None, 3.0), Stage(2.0)))
    assert first(schedule, 4) == [0.0, 0.5, 4.0, 4.5]
    assert schedule.count_between(1.0, 4.0) == 0


@given(stages, st.floats(0, 30), st.floats(0, 30))
def test_counting_equals_enumerating_a_uniform_schedule(given_stages: tuple[Stage, ...], a_s: float, b_s: float) -> None:
    schedule = Schedule(given_stages)
    low_s, high_s = sorted((a_s, b_s))
    times = list(itertools.takewhile(lambda at_s: at_s < high_s, schedule.times()))
    assert schedule.count_between(low_s, high_s) == sum(1 for at_s in times if at_s >= low_s)


@given(stages, st.integers(0, 400))
def test_counting_is_exact_at_the_edges(given_stages: tuple[Stage, ...], number: int) -> None:
    schedule = Schedule(given_stages)
    times = first(schedule, number + 2)
    at_s = times[number]
    assert schedule.count_between(0, at_s) == sum(1 for other_s in times[: number + 1] if other_s < at_s)
    after_s = math.nextafter(at_s, math.inf)
    assert schedule.count_between(at_s, after_s) == sum(1 for other_s in times if other_s == at_s)


@settings(max_examples=50)
@given(stages, st.integers(0, 2**32), st.floats(0, 20), st.floats(0, 20))
def test_counting_equals_enumerating_a_poisson_schedule(given_stages: tuple[Stage, ...], seed: int, a_s: float, b_s: float) -> None:
    schedule = Schedule(given_stages, "poisson", seed)
    low_s, high_s = sorted((a_s, b_s))
    times = list(itertools.takewhile(lambda at_s: at_s < high_s, schedule.times()))
    assert schedule.count_between(low_s, high_s) == sum(1 for at_s in times if at_s >= low_s)


@given(stages, st.sampled_from(["uniform", "poisson"]), st.integers(0, 100))
def test_a_schedule_is_deterministic_and_never_goes_back(given_stages: tuple[Stage, ...], arrivals: str, seed: int) -> None:
    times = first(Schedule(given_stages, arrivals, seed), 500)
    assert times == first(Schedule(given_stages, arrivals, seed), 500)
    assert times == sorted(times)
    assert all(math.isfinite(at_s) and at_s >= 0 for at_s in times)


@given(stages)
def test_the_rate_never_exceeds_its_peak(given_stages: tuple[Stage, ...]) -> None:
    schedule = Schedule(given_stages)
    moments = [random.Random(7).uniform(0, 40) for _ in range(50)]
    assert all(0 <= schedule.rate_at(at_s) <= schedule.peak_rate() * (1 + 1e-9) for at_s in moments)


def test_seconds_add_up_to_the_whole() -> None:
    schedule = Schedule((Stage(20.0, 200.0, 5.0), Stage(200.0)))
    assert sum(schedule.count_between(second, second + 1) for second in range(60)) == schedule.count_between(0, 60) == 11_550


def test_poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    counts = [Schedule((Stage(50.0),), "poisson", seed).count_between(0, 10) for seed in range(200)]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert mean == pytest.approx(500, rel=0.02)
    assert 0.7 < variance / mean < 1.4


def test_the_last_rate_goes_on_for_ever() -> None:
    schedule = Schedule((Stage(1.0, 5.0, 2.0),))
    assert schedule.rate_at(1e6) == 5.0
    assert schedule.count_between(1000, 1001) == 5


@pytest.mark.parametrize("bad", [(), (Stage(0.0),), (Stage(1.0), Stage(2.0)), (Stage(1.0, 2.0),), (Stage(1.0, 0.0, 1.0),)])
def test_stages_that_make_no_endless_schedule_are_refused(bad: tuple[Stage, ...]) -> None:
    with pytest.raises(ValueError, match="stages"):
        Schedule(bad)


def test_a_profile_is_read_whole(tmp_path: Path) -> None:
    profile = read_load_profile(write(tmp_path, GOOD))
    assert profile.stages == (Stage(20.0, 200.0, 5.0), Stage(200.0))
    assert profile.arrivals == "poisson"
    [journey] = profile.journeys
    assert (journey.name, journey.weight, journey.timeout_s) == ("checkout", 3.0, 2.5)
    login, pay = journey.steps
    assert (login.name, login.path, login.capture, login.timeout_s, login.statuses) == ("POST /login", "/login?next=1", {"token": "$.auth.token"}, 0.5, ())
    assert (pay.name, pay.headers, pay.json, pay.statuses, pay.slo) == (
        "POST /pay",
        {"Authorization": "Bearer ${token}"},
        {"id": "${random}"},
        (200, 201),
        "pay",
    )


def test_a_locustfile_is_found_beside_the_profile(tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text("", encoding="utf-8")
    profile = read_load_profile(write(tmp_path, "apiVersion: chaosx/v1\nkind: LoadProfile\nlocustfile: load.py\n"))
    assert profile.locustfile == str(tmp_path / "load.py")
    assert profile.journeys == ()


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text('ab"é', max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
words = st.text("abc", min_size=1, max_size=4)
steps = st.builds(
    Step,
    name=words,
    method=st.just("GET"),
    path=words,
    headers=st.dictionaries(words, words, max_size=1),
    json=plain,
    capture=st.dictionaries(words, words, max_size=1),
    timeout_s=st.floats(0.1, 5),
    statuses=st.lists(st.integers(100, 599), max_size=2).map(tuple),
    slo=st.none() | words,
)
profiles = st.builds(
    LoadProfile,
    stages=st.lists(bounded, max_size=2).map(tuple),
    arrivals=st.sampled_from(["uniform", "poisson"]),
    journeys=st.lists(st.builds(Journey, words, st.floats(0.1, 5), st.lists(steps, max_size=2).map(tuple)), max_size=2).map(tuple),
    locustfile=st.none() | words,
    source=words,
)


@settings(max_examples=40)
@given(profiles)
def test_a_profile_survives_json(profile: LoadProfile) -> None:
    assert LoadProfile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


STEP = "journeys: [{name: a, steps: [{request: GET /}]}]"
HEAD = "apiVersion: chaosx/v1\nkind: LoadProfile\n"

BROKEN = [
    pytest.param(
        "stages: [{rate: 20}]\n" + STEP, ':3: stages[0].rate: got 20, expected a rate per second, like "20/s"; write "20/s"', id="a rate without unit"
    ),
    pytest.param("stages: [{rate: 1/s}, {rate: 2/s}]\n" + STEP, "stages[0]: `for` is missing", id="an endless stage that is not the last"),
    pytest.param("stages: [{rate: 1/s, for: 5s}]\n" + STEP, "stages[0]: the last stage is open-ended", id="a last stage that ends"),
    pytest.param("stages: [{rate: 0/s}]\n" + STEP, "stages[0].rate: got 0/s", id="no arrivals"),
    pytest.param("stages: [{rate: 1/s, fro: 5s}]\n" + STEP, "stages[0].fro: unknown key; did you mean `for`?", id="a typo"),
    pytest.param("stages: [{rate: 1/s}]", "journeys: expected either `journeys` or a `locustfile`", id="nothing to do"),
    pytest.param(STEP, "stages: missing", id="no stages"),
    pytest.param("stages: [{rate: 1/s}]\narrivals: {replay: access.log}\n" + STEP, "arrivals: `replay` is not built yet", id="replay"),
    pytest.param("stages: [{rate: 1/s}]\narrivals: posson\n" + STEP, "did you mean `poisson`?", id="an unknown arrival process"),
    pytest.param("stages: [{rate: 1/s}]\ndata: users.csv\n" + STEP, "users.csv: cannot be read (No such file or directory)", id="no data"),
    pytest.param("stages: [{rate: 1/s}]\nsecrets: [A b]\n" + STEP, "secrets[0]: got 'A b', expected the name of an environment variable", id="no name"),
    pytest.param("stages: [{rate: 1/s}]\nsecrets: [A, A]\n" + STEP, "secrets[1]: 'A' means something else already", id="a secret twice"),
    pytest.param("stages: [{rate: 1/s}]\nsecrets: [random]\n" + STEP, "secrets[0]: 'random' means something else already", id="a built-in name"),
    pytest.param("stages: [{rate: 1/s}]\nusers: 5\n" + STEP, "users: belongs to a `locustfile`", id="users of journeys"),
    pytest.param("stages: [{rate: 1/s}]\nspawn_rate: 5/s\n" + STEP, "spawn_rate: belongs to a `locustfile`", id="a spawn rate of journeys"),
    pytest.param(
        "stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, write: orders}]}]", "no ledger under `writes` is called 'orders'", id="a write"
    ),
    pytest.param("stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{sql: select 1}]}]", "`sql` is not built yet", id="sql"),
    pytest.param("stages: [{rate: 1/s}]\njourneys: [{name: a, steps: []}]", "journeys[0].steps", id="no steps"),
    pytest.param("stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: FETCH /}]}]", 'expected a method and a path, like "POST /pay"', id="no method"),
    pytest.param("stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET //evil}]}]", "expected a method and a path", id="a path that names a host"),
    pytest.param(
        "stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: 'GET /${id}'}]}]", "steps[0].request: ${id} is not captured", id="an unknown variable"
    ),
    pytest.param(
        "stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, capture: {t: '$..t'}}]}]", "expected a dotted path like $.a.b", id="a JSON path"
    ),
    pytest.param(
        "stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, timeout: 2}]}]", 'expected a duration with its unit, like "40s"', id="a bare time"
    ),
    pytest.param("stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, timeout: 0s}]}]", "got a duration of 0", id="no time at all"),
    pytest.param(
        "stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, check: {status: 20}}]}]", "HTTP status from 100 to 599", id="a wrong status"
    ),
    pytest.param("stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, check: {status: true}}]}]", "got True", id="a status that is true"),
    pytest.param(
        'stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, headers: {A: "x\\r\\nB: y"}}]}]',
        "printable ASCII on one line",
        id="a smuggled header",
    ),
    pytest.param(
        "stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /, json: {on: 2026-01-31}}]}]", "a value that JSON has not", id="a date in JSON"
    ),
    pytest.param(
        "stages: [{rate: 1/s}]\njourneys: [{name: a, steps: [{request: GET /}]}, {name: a, steps: [{request: GET /}]}]",
        "a second journey is called 'a'",
        id="twins",
    ),
    pytest.param("stages: [{rate: 1/s}]\njourneys: [{name: a, weight: 0, steps: [{request: GET /}]}]", "journeys[0].weight: got 0", id="no weight"),
    pytest.param("locustfile: missing.py", "locustfile: no such file", id="no locustfile"),
    pytest.param("stages: [{rate: .inf}]\n" + STEP, "stages[0].rate: got inf", id="an infinite rate"),
    pytest.param("stages: [{rate: 99999999/s}]\n" + STEP, "expected at most 1000000/s", id="an absurd rate"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_profile_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read_load_profile(write(tmp_path, HEAD + text))
    assert said in str(refused.value)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile) as refused:
        read_load_profile(write(tmp_path, HEAD + "stages: [{rate: 20}]\narrivals: x\njourneys: [{name: a, steps: [{request: GET}]}]"))
    assert [problem.line for problem in refused.value.problems] == [3, 4, 5]
