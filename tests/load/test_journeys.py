"""Journeys: captures, variables, and the seeded choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from load_rig import LoadChild, Server, profile, step

from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.journeys import JourneyPlan, Request, Unusable, dig, plan_journeys
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.timeline import Outcome

BUY = [
    step("POST /login", json={"user": "u${arrival}"}, capture={"token": "$.session.token", "n": "$.session.n"}),
    step("POST /checkout?token=${token}", headers={"Authorization": "Bearer s3cr3t"}, json={"cart": "${n}"}, statuses=[201]),
]


def plan(*steps: dict[str, Any]) -> JourneyPlan:
    return plan_journeys(LoadProfile.from_json(profile(list(steps))), 1).journeys[0]


def request(asked: dict[str, Any], **values: str) -> Request:
    captured = step("GET /", capture=dict.fromkeys(values, "$.a"))
    return plan(captured, asked).steps[1].request(values)


def test_a_journey_carries_what_it_captured_from_step_to_step(server: Server, child: Callable[..., LoadChild]) -> None:
    found = child(server.url, profile=profile(BUY)).run()
    assert found.outcomes("step", "POST /login") == {Outcome.OK: found.meta["released"]}
    assert found.outcomes("step", "POST /checkout") == found.outcomes("journey") == {Outcome.OK: found.meta["released"]}
    assert {path for _, path, _ in server.requests()} == {"/login", "/checkout?token=s3cr3t%2F%C3%BC"}  # a value is one part of a path
    steps = {row[0] + row[2] for row in found.of("step", "POST /login")}
    assert {row[0] for row in found.of("step", "POST /checkout")} <= {end + more for end in steps for more in (0, 1)}  # begins where the first one ended


def test_a_failed_step_ends_its_journey_with_its_outcome(server: Server, child: Callable[..., LoadChild]) -> None:
    steps = [step("GET /x"), step("GET /latin"), step("GET /never")]
    found = child(server.url, profile=profile(steps)).run()
    assert found.outcomes("journey") == {Outcome.STATUS: found.meta["released"]}
    assert found.outcomes("step", "GET /never") == {}
    assert "/never" not in {path for _, path, _ in server.requests()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("$.a.b", "1", id="nested"),
        pytest.param("$.list.1", "y", id="in a list"),
        pytest.param("$.yes", "true", id="a boolean as JSON writes it"),
        pytest.param("$.a", None, id="not a scalar"),
        pytest.param("$.null", None, id="null"),
        pytest.param("$.list.9", None, id="past the end"),
        pytest.param("$.yes.more", None, id="inside a scalar"),
    ],
)
def test_a_capture_takes_a_scalar_or_nothing(path: str, expected: str | None) -> None:
    assert dig({"a": {"b": 1}, "list": ["x", "y"], "yes": True, "null": None}, path) == expected


def test_values_fit_into_where_they_are_put() -> None:
    nasty = 'a"b/c?d&e\\'
    made = request(step("PUT /x/${v}?q=${v}", json={"v": ["${v}"]}, headers={"X-V": "<${v}>"}), v=nasty)
    assert made.path == "/x/a%22b%2Fc%3Fd%26e%5C?q=a%22b%2Fc%3Fd%26e%5C"
    assert made.body == b'{"v": ["a\\"b/c?d&e\\\\"]}'
    assert made.headers == {"X-V": f"<{nasty}>", "Content-Type": "application/json"}


def test_a_doubled_dollar_is_a_plain_one() -> None:
    assert request(step("GET /$${v}/${v}"), v="1").path == "/${v}/1"


@pytest.mark.parametrize(
    ("asked", "value", "outcome"),
    [
        pytest.param(step("GET ${v}"), "http://elsewhere.invalid/", Outcome.OFF_LIMITS, id="a whole URL"),
        pytest.param(step("GET ${v}"), "//elsewhere.invalid/", Outcome.OFF_LIMITS, id="another host"),
        pytest.param(step("GET ${v}"), "@elsewhere.invalid/", Outcome.OFF_LIMITS, id="our host as a user name"),
        pytest.param(step("GET ${v}"), "/x y", Outcome.CHECK, id="a path that breaks the request line"),
        pytest.param(step("GET /", headers={"X-V": "${v}"}), "a\r\nHost: elsewhere.invalid", Outcome.CHECK, id="a header of its own"),
    ],
)
def test_a_captured_value_cannot_lead_elsewhere(asked: dict[str, Any], value: str, outcome: Outcome) -> None:
    with pytest.raises(Unusable) as refused:
        request(asked, v=value)
    assert refused.value.outcome is outcome


def test_a_variable_that_nobody_captures_is_refused_at_the_start(server: Server, child: Callable[..., LoadChild]) -> None:
    one = child(server.url, profile=profile([step("GET /x/${nothing}")]))
    assert one.process.wait(30) == 2
    assert "${nothing}" in one.errors.read_text()
    with pytest.raises(UsageError, match="expected at least one"):
        plan_journeys(LoadProfile.from_json(profile()), 1)


def test_the_choice_follows_weight_and_seed() -> None:
    two = [{"name": "buy", "weight": 3.0, "steps": [step("GET /buy")]}, {"name": "look", "weight": 1.0, "steps": [step("GET /look")]}]

    def chosen(seed: int) -> list[tuple[str, str]]:
        chooser = plan_journeys(LoadProfile.from_json(profile(*two)), seed)
        return [(journey.name, drawn) for journey, drawn in (chooser.choose() for _ in range(4000))]

    assert chosen(5) == chosen(5) != chosen(6)
    assert 0.70 < sum(name == "buy" for name, _ in chosen(5)) / 4000 < 0.80
    assert len({drawn for _, drawn in chosen(5)}) == 4000
