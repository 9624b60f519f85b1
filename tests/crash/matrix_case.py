"""What one run of the kill matrix is to do, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

IN_FORCE = "in force"
Json = dict[str, Any]
Point = tuple[str, int]


@dataclass(frozen=True)
class Case:
    """
    What one run does.

    `faults` are injected one after the other; the last one's injector is killed at `point` (`way` kill), or only stopped there while the
    supervisor dies (`way` stop). `by` heals: healer (alone), order (told by the supervisor), recover, cli, or markers (the state directory is
    lost). `again` are the points at which whoever heals is killed too, one attempt after the other.
    """

    number: int
    faults: tuple[str, ...]
    point: Point
    way: str = "kill"
    by: str = "recover"
    again: tuple[Point, ...] = ()

    @classmethod
    def of(cls, data: Json) -> Case:
        """A case from its JSON."""
        points = {"point": tuple(data["point"]), "again": tuple(tuple(one) for one in data["again"])}
        return cls(**{**data, **points, "faults": tuple(data["faults"])})


@dataclass
class Told:
    """What became of a run; `differences` is empty when all is as before. `points` and `healing` are those that were come to;
    `tries` counts the sandboxes it took."""

    case: Case
    point: Point = ("", 0)
    live: bool = False
    again: list[Point] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    healing: list[Point] = field(default_factory=list)
    seconds: float = 0.0
    tries: int = 1
