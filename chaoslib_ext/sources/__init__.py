"""
Sources beside the load: what else says how the system does. Prometheus is the one that is built.

A *source* is a function of time. It raises NoData when it could not be asked; None means that it was asked and has nothing
to say. Neither is ever read as zero.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

Value_co = TypeVar("Value_co", covariant=True)


class Source(Protocol[Value_co]):
    """Something that can be asked for its value at a Unix time."""

    def query(self, at_s: float) -> Value_co | None:
        """The value as of `at_s`, or None when there is none. Raises NoData when the source could not be asked."""
        ...
