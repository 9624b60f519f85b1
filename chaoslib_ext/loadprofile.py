"""
Load profiles: how often customers arrive, and what each of them does.

`schedule.Schedule` says when; a journey says what: ordered steps, each one HTTP request.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import InvalidFile, Problem
from chaoslib_ext.schedule import Schedule, Stage

BUILT_IN_VARIABLES = ("arrival", "random")  # the arrival's number, and 16 hex digits drawn from the seed

__all__ = ["BUILT_IN_VARIABLES", "Journey", "LoadProfile", "Schedule", "Stage", "Step", "read_load_profile"]


@dataclass(frozen=True, slots=True)
class Step:
    """
    One request of a journey.

    `name` is `METHOD path-template` without the query; `path` keeps its `${variables}` and its query. `capture` maps a
    variable to a path like `$.a.b` in the JSON answer. `statuses` empty means that any status below 400 is good.
    `slo` names the SLO whose samples this step is.
    """

    name: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    capture: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 2.0
    statuses: tuple[int, ...] = ()
    slo: str | None = None


@dataclass(frozen=True, slots=True)
class Journey:
    """What one arrival does, chosen among the journeys by weight."""

    name: str
    weight: float
    steps: tuple[Step, ...]

    @property
    def timeout_s(self) -> float:
        """The longest that the journey can take, in seconds."""
        return sum(step.timeout_s for step in self.steps)


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """
    Stages and journeys (open model), or an unmodified `locustfile` (closed model; then `journeys` is empty).

    `source` is the file it was read from, `locustfile` a path that can be opened from where the profile was read.
    """

    stages: tuple[Stage, ...]
    arrivals: str
    journeys: tuple[Journey, ...]
    locustfile: str | None
    source: str

    def schedule(self, seed: int) -> Schedule:
        """When its arrivals happen."""
        return Schedule(self.stages, self.arrivals, seed)

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON; `from_json` gives back an equal profile."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LoadProfile:
        """The profile of `to_json`, also after a trip through JSON."""
        journeys = tuple(Journey(one["name"], one["weight"], tuple(_step(step) for step in one["steps"])) for one in data["journeys"])
        stages = tuple(Stage(**stage) for stage in data["stages"])
        return cls(stages, data["arrivals"], journeys, data["locustfile"], data["source"])


def _step(data: dict[str, Any]) -> Step:
    return Step(**{**data, "statuses": tuple(data["statuses"])})


def read_load_profile(path: Path | str) -> LoadProfile:
    """The load profile of a file. Raises InvalidFile with all problems at once."""
    from chaoslib_ext.formats.file_problems import checked
    from chaoslib_ext.formats.loadprofile_models import LoadProfileModel
    from chaoslib_ext.formats.yamlfile import read_document

    path = Path(path)
    document = read_document(path)
    profile = checked(LoadProfileModel, document).profile(path)
    problems: list[Problem] = [document.problem(where, text) for where, text in _complaints(profile)]
    if problems:
        raise InvalidFile(sorted(problems, key=lambda problem: problem.line))
    return profile


def _complaints(profile: LoadProfile) -> list[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a profile beyond the shape of its fields: where, and what."""
    found: list[tuple[tuple[str | int, ...], str]] = _stage_complaints(profile)
    if bool(profile.journeys) == (profile.locustfile is not None):
        found.append((("journeys",), "expected either `journeys` or a `locustfile`, and not both"))
    if profile.locustfile is not None and not Path(profile.locustfile).is_file():
        found.append((("locustfile",), f"no such file: {profile.locustfile}; the path is relative to the load profile"))
    seen: set[str] = set()
    for at, journey in enumerate(profile.journeys):
        if journey.name in seen:
            found.append((("journeys", at, "name"), f"a second journey is called {journey.name!r}; rename one"))
        seen.add(journey.name)
        found += [(("journeys", at, *where), text) for where, text in _variable_complaints(journey)]
    return found


def _stage_complaints(profile: LoadProfile) -> list[tuple[tuple[str | int, ...], str]]:
    """Stages that make no schedule."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    last = len(profile.stages) - 1
    if last < 0 and profile.locustfile is None:
        found.append((("stages",), "missing; add at least one, like `- {rate: 20/s}`"))
    for at, stage in enumerate(profile.stages):
        if at < last and stage.for_s is None:
            found.append((("stages", at), "`for` is missing; only the last stage is open-ended"))
        if at == last and (stage.for_s is not None or stage.to is not None):
            found.append((("stages", at), "the last stage is open-ended, the run decides its length; remove its `for` and `to`, or add a stage after it"))
        if at == last and stage.rate <= 0:
            found.append((("stages", at, "rate"), "got 0/s, expected more: nothing would arrive any more"))
    return found


def _variable_complaints(journey: Journey) -> list[tuple[tuple[str | int, ...], str]]:
    """Variables that no earlier step of the journey captures."""
    from chaoslib_ext.formats.variables import names_in

    found: list[tuple[tuple[str | int, ...], str]] = []
    known = set(BUILT_IN_VARIABLES)
    for at, step in enumerate(journey.steps):
        here = ", ".join(sorted(known))
        for key, value in (("request", step.path), ("headers", step.headers), ("json", step.json)):
            text = f"is not captured by an earlier step of this journey (known here: {here})"
            found += [(("steps", at, key), f"${{{name}}} {text}") for name in sorted(names_in(value) - known)]
        known |= set(step.capture)
    return found
