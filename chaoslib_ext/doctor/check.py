"""One thing that the doctor looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `next` is what to do, empty when nothing is. `owner` and `age_s` are those of a mark of ours."""

    name: str
    state: str
    text: str
    next: str = ""
    owner: str = ""
    age_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        line = f"{self.state:8} {self.name:24} {self.text}"
        return f"{line}\n{'':33} -> {self.next}" if self.next else line
