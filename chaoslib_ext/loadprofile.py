"""
Load profiles: how often customers arrive, and what each of them does.

`schedule.Schedule` says when; a journey says what: ordered steps, each one HTTP request.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaoslib_ext.errors import InvalidFile, Problem
from chaoslib_ext.people import People, read_people
from chaoslib_ext.schedule import Schedule, Stage
from chaoslib_ext.writeplan import WriteLedger

if TYPE_CHECKING:
    from chaoslib_ext.formats.yamlfile import Document

BUILT_IN_VARIABLES = ("arrival", "random")  # the arrival's number, and 16 hex digits drawn from the seed
WRITE_ID = "write_id"  # known from a step with `write` on; that step is the one that sends it

__all__ = ["BUILT_IN_VARIABLES", "Journey", "LoadProfile", "Schedule", "Stage", "Step", "read_load_profile"]


@dataclass(frozen=True, slots=True)
class Step:
    """
    One request of a journey.

    `name` is `METHOD path-template` without the query; `path` keeps its `${variables}` and its query. `capture` maps a
    variable to a path like `$.a.b` in the JSON answer. `statuses` empty means that any status below 400 is good.
    `slo` names the SLO whose samples this step is, `write` the ledger of the profile in which this step's writes are noted.
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
    write: str | None = None


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
    `writes` are the ledgers, by name.

    `source` is the file it was read from, `locustfile` a path that can be opened from where the profile was read.
    `secrets` are names of the process environment, never values. `users` and `spawn_rate` (per second) are a locustfile's.
    """

    stages: tuple[Stage, ...]
    arrivals: str
    journeys: tuple[Journey, ...]
    locustfile: str | None
    source: str
    writes: dict[str, WriteLedger] = field(default_factory=dict)
    people: People | None = None
    secrets: tuple[str, ...] = ()
    users: int | None = None
    spawn_rate: float | None = None

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
        writes = {name: WriteLedger.from_json(one) for name, one in (data.get("writes") or {}).items()}
        people = People(**{**data["people"], "columns": tuple(data["people"]["columns"])}) if data.get("people") else None
        secrets = tuple(data.get("secrets") or ())
        closed = (data.get("users"), data.get("spawn_rate"))
        return cls(stages, data["arrivals"], journeys, data["locustfile"], data["source"], writes, people, secrets, *closed)


def _step(data: dict[str, Any]) -> Step:
    return Step(**{**data, "statuses": tuple(data["statuses"])})


def read_load_profile(path: Path | str) -> LoadProfile:
    """The load profile of a file. Raises InvalidFile with all problems at once."""
    from chaoslib_ext.formats.file_problems import checked
    from chaoslib_ext.formats.loadprofile_models import LoadProfileModel
    from chaoslib_ext.formats.yamlfile import read_document

    path = Path(path)
    document = read_document(path)
    model = checked(LoadProfileModel, document)
    profile = model.profile(path)
    if model.data is not None:
        profile = _with_people(profile, path.parent / model.data, document)
    problems: list[Problem] = [document.problem(where, text) for where, text in _complaints(profile)]
    if problems:
        raise InvalidFile(sorted(problems, key=lambda problem: problem.line))
    return profile


def _with_people(profile: LoadProfile, source: Path, document: Document) -> LoadProfile:
    """The profile with the people of its data file. Raises InvalidFile at once: without columns, every variable would be complained of too."""
    try:
        return replace(profile, people=read_people(source)[0])
    except OSError as error:
        text = f"{source}: cannot be read ({error.strerror}); the path is relative to the load profile"
        raise InvalidFile([document.problem(("data",), text)]) from error


def _complaints(profile: LoadProfile) -> list[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a profile beyond the shape of its fields: where, and what."""
    found: list[tuple[tuple[str | int, ...], str]] = _stage_complaints(profile) + _people_complaints(profile)
    if bool(profile.journeys) == (profile.locustfile is not None):
        found.append((("journeys",), "expected either `journeys` or a `locustfile`, and not both"))
    if profile.locustfile is not None and not Path(profile.locustfile).is_file():
        found.append((("locustfile",), f"no such file: {profile.locustfile}; the path is relative to the load profile"))
    seen: set[str] = set()
    for at, journey in enumerate(profile.journeys):
        if journey.name in seen:
            found.append((("journeys", at, "name"), f"a second journey is called {journey.name!r}; rename one"))
        seen.add(journey.name)
        found += [(("journeys", at, *where), text) for where, text in _variable_complaints(journey, given_variables(profile))]
    return found + _write_complaints(profile)


def given_variables(profile: LoadProfile) -> tuple[str, ...]:
    """The variables that every journey has from its start: the built-in ones, the columns of its people, its secrets."""
    return (*BUILT_IN_VARIABLES, *(profile.people.columns if profile.people else ()), *profile.secrets)


def _people_complaints(profile: LoadProfile) -> list[tuple[tuple[str | int, ...], str]]:
    """Names that would mean two things, and fields that belong to the other model of load."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    taken = {*BUILT_IN_VARIABLES, WRITE_ID}
    columns = profile.people.columns if profile.people else ()
    found += [(("data",), f"a column is called {name!r}, which is built in; rename it") for name in columns if name in taken]
    for at, name in enumerate(profile.secrets):
        if name in taken or name in columns or name in profile.secrets[:at]:
            found.append((("secrets", at), f"{name!r} means something else already; rename one"))
    for key, value in (("users", profile.users), ("spawn_rate", profile.spawn_rate)):
        if value is not None and profile.locustfile is None:
            found.append(((key,), "belongs to a `locustfile`; journeys arrive as `stages` say"))
    if profile.people is not None and profile.locustfile is not None:
        found.append((("data",), "belongs to `journeys`; a locustfile reads its own files"))
    return found


def _write_complaints(profile: LoadProfile) -> list[tuple[tuple[str | int, ...], str]]:
    """Ledgers that nothing writes to, and steps whose writes could not be found again."""
    from chaoslib_ext.formats.variables import names_in

    found: list[tuple[tuple[str | int, ...], str]] = []
    there = ", ".join(sorted(profile.writes)) or "none"
    named = {step.write for journey in profile.journeys for step in journey.steps}
    for at, journey in enumerate(profile.journeys):
        for number, step in enumerate(journey.steps):
            where = ("journeys", at, "steps", number, "write")
            if step.write is not None and step.write not in profile.writes:
                found.append((where, f"no ledger under `writes` is called {step.write!r}; there are: {there}"))
            if step.write is not None and WRITE_ID not in names_in([step.path, step.headers, step.json]):
                found.append((where, "the request does not send ${write_id}, so its record could not be found again; put it into `json`"))
    for name in sorted(set(profile.writes) - named):
        why = "a locustfile's writes cannot be noted" if profile.locustfile else f"add `write: {name}` to the step that does it"
        found.append((("writes", name), f"no step writes to this ledger; {why}"))
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


def _variable_complaints(journey: Journey, given: tuple[str, ...]) -> list[tuple[tuple[str | int, ...], str]]:
    """Variables that are not given, and that no earlier step of the journey captures."""
    from chaoslib_ext.formats.variables import names_in

    found: list[tuple[tuple[str | int, ...], str]] = []
    known = set(given)
    for at, step in enumerate(journey.steps):
        known |= {WRITE_ID} if step.write is not None else set()
        here = ", ".join(sorted(known))
        for key, value in (("request", step.path), ("headers", step.headers), ("json", step.json)):
            text = f"is not captured by an earlier step of this journey, no column of `data` and none of `secrets` (known here: {here})"
            found += [(("steps", at, key), f"${{{name}}} {text}") for name in sorted(names_in(value) - known)]
        known |= set(step.capture)
    return found
