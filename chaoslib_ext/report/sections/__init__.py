"""The sections of the page: each a function of `Facts` that gives a `Section`, or None where it has nothing to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. `id` is its anchor and never changes; `template` draws `data`."""

    id: str
    title: str
    template: str
    data: dict[str, Any] = field(default_factory=dict)
