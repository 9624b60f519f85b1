"""Journeys as the generator runs them: the seeded choice, `${variables}`, captures, and what an answer is worth."""

from __future__ import annotations

import json
import random
import re
from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any
from urllib.parse import quote, urljoin

from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.spec import Hosts
from chaoslib_ext.loadprofile import WRITE_ID, Journey, LoadProfile, Step, given_variables
from chaoslib_ext.timeline import Outcome

_VARIABLE = re.compile(r"(?<!\$)((?:\$\$)*)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # as Chaos Toolkit's templates: $$ is a plain $
_WHOLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_PATH = re.compile(r"/(?!/)[\x21-\x7e]*|/")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Unusable(Exception):
    """A rendered request that must not be sent; `outcome` says what it counts as. Never leaves this package."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.name)


@dataclass(frozen=True, slots=True)
class Template:
    """A text with `${name}` in it; `escape` fits a value into it."""

    parts: tuple[str, ...]  # literal, name, literal, name, …, literal
    escape: Callable[[str], str]

    def render(self, values: Mapping[str, str]) -> str:
        """The text with its variables filled in."""
        if len(self.parts) == 1:
            return self.parts[0]
        return "".join(self.escape(values[part]) if odd % 2 else part for odd, part in enumerate(self.parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The variables, in order."""
        return self.parts[1::2]


def template(text: str, escape: Callable[[str], str] = str) -> Template:
    """The template of a text."""
    parts, at = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [(text[at : match.start()] + match[1]).replace("$$", "$"), match[2]]
        at = match.end()
    return Template((*parts, text[at:].replace("$$", "$")), escape)


@dataclass(frozen=True, slots=True)
class Request:
    """One request ready to be sent. `path` begins with a single `/`."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A step with its templates made."""

    step: Step
    method: str
    path: Template
    headers: tuple[tuple[str, Template], ...]
    body: Template | None

    def request(self, values: Mapping[str, str]) -> Request:
        """The request for these values. Raises Unusable where a captured value would lead elsewhere or break the request."""
        path = self.path.render(values)
        if not _PATH.fullmatch(path):
            raise Unusable(Outcome.CHECK if path.startswith("/") and not path.startswith("//") else Outcome.OFF_LIMITS)
        headers = {name: value.render(values) for name, value in self.headers}
        if not all(HEADER_VALUE.fullmatch(value) for value in headers.values()):
            raise Unusable(Outcome.CHECK)
        return Request(self.method, path, headers, None if self.body is None else self.body.render(values).encode())


@dataclass(frozen=True, slots=True)
class JourneyPlan:
    """A journey with its steps made ready. `timeout_s` is the longest it may take: the sum of its steps' limits."""

    name: str
    steps: tuple[StepPlan, ...]
    timeout_s: float


@dataclass(slots=True)
class Chooser:
    """The seeded, weighted choice of a journey for each arrival; the same seed gives the same sequence."""

    journeys: tuple[JourneyPlan, ...]
    weights: tuple[float, ...]
    rng: random.Random
    _edges: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._edges = list(accumulate(self.weights))

    def choose(self) -> tuple[JourneyPlan, str]:
        """The next arrival's journey, and its `${random}`."""
        at = bisect(self._edges, self.rng.random() * self._edges[-1])
        return self.journeys[min(at, len(self.journeys) - 1)], f"{self.rng.getrandbits(64):016x}"


def plan_journeys(profile: LoadProfile, seed: int) -> Chooser:
    """The profile's journeys, ready to run. Raises UsageError for a variable that no earlier step captures, or no journey at all."""
    if not profile.journeys:
        raise UsageError(f"{profile.source}: journeys: got none, expected at least one (or a locustfile)")
    plans = tuple(_plan_journey(journey, profile) for journey in profile.journeys)
    return Chooser(plans, tuple(float(journey.weight) for journey in profile.journeys), random.Random(seed))


def _plan_journey(journey: Journey, profile: LoadProfile) -> JourneyPlan:
    known, steps, source = set(given_variables(profile)), [], profile.source
    for step in journey.steps:
        known |= {WRITE_ID} if step.write is not None else set()
        plan = _plan_step(step)
        for name in _names(plan):
            if name not in known:
                raise UsageError(
                    f"{source}: journey {journey.name!r}, {step.name}: got ${{{name}}}, which no earlier step captures (there are: {', '.join(sorted(known))})"
                )
        known |= set(step.capture)
        steps.append(plan)
    return JourneyPlan(journey.name, tuple(steps), journey.timeout_s)


def _plan_step(step: Step) -> StepPlan:
    path = template(step.path, str if _WHOLE.fullmatch(step.path) else _segment)
    headers = {name: template(str(value)) for name, value in step.headers.items()}
    if step.json is None:
        return StepPlan(step, step.method.upper(), path, tuple(headers.items()), None)
    if "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = template("application/json")
    return StepPlan(step, step.method.upper(), path, tuple(headers.items()), template(json.dumps(step.json), _inside_json))


def _names(plan: StepPlan) -> list[str]:
    texts = [plan.path, *(value for _, value in plan.headers), *([plan.body] if plan.body else [])]
    return [name for text in texts for name in text.names]


def _segment(value: str) -> str:
    return quote(value, safe="")


def _inside_json(value: str) -> str:
    return json.dumps(value)[1:-1]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, the Location header or "", and the body where a step asked for it."""

    status: int
    location: str
    body: bytes


def judge(step: Step, url: str, answer: Answer, hosts: Hosts, captured: dict[str, str]) -> Outcome:
    """What an answer to `url` counts as; values captured from it are added to `captured`."""
    if 300 <= answer.status < 400 and answer.location and not hosts.allow(urljoin(url, answer.location)):
        return Outcome.OFF_LIMITS
    accepted = answer.status in step.statuses if step.statuses else answer.status < 400
    if not accepted:
        return Outcome.STATUS
    return Outcome.OK if _capture(step, answer.body, captured) else Outcome.CHECK


def _capture(step: Step, body: bytes, captured: dict[str, str]) -> bool:
    if not step.capture:
        return True
    try:
        document = json.loads(body)
    except ValueError:
        return False
    for name, path in step.capture.items():
        value = dig(document, path)
        if value is None:
            return False
        captured[name] = value
    return True


def dig(document: Any, path: str) -> str | None:
    """The scalar at `$.a.b.0` of a JSON document as text; None where it is missing, null, or not a scalar."""
    for key in path.removeprefix("$").strip(".").split("."):
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    if isinstance(document, bool):
        return "true" if document else "false"
    return str(document) if isinstance(document, (str, int, float)) else None
