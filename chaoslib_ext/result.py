"""
What a run is judged to be: one verdict, the findings it adds up from, and the figures that a report draws.

The shape of `result.json`. Times are seconds, except `windows`, `effect` and `removed`: nanoseconds from the run's zero.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MET, MISSED, INCONCLUSIVE = "met", "missed", "inconclusive"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One comparison with its evidence. `outcome` is met, missed or inconclusive; `reasons` are codes, empty when met.

    `source` names what judged an SLO when it was not the load (prometheus).
    For an SLO `target` is a ratio, `lo` and `hi` are confidence bounds (printed only), `n` the known samples. For
    a recovery, or a detection, `target` is the objective and `lo`, `hi` the bracket, in seconds; `hi` None means never.
    """

    id: str
    kind: str
    outcome: str
    reasons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    slo: str | None = None
    window: str | None = None
    target: float | None = None
    lo: float | None = None
    hi: float | None = None
    n: int | None = None
    bad: int | None = None
    source: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, rounded: the same bytes for the same finding."""
        figures = {key: rounded(getattr(self, key)) for key in ("target", "lo", "hi")}
        return {**asdict(self), **figures, "reasons": list(self.reasons), "evidence": list(self.evidence)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finding:
        """The finding of `to_json`."""
        return cls(**{**data, "reasons": tuple(data["reasons"]), "evidence": tuple(data["evidence"])})


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict of one run, and all that a report shows of it. A pure function of the run directory."""

    run: str
    title: str
    verdict: str
    exit_code: int
    reasons: list[str]
    findings: list[Finding]
    rto: dict[str, Any] | None
    recovery_after_removal: dict[str, Any] | None
    faults: list[dict[str, Any]]
    load: dict[str, Any] | None
    budget: dict[str, Any] | None
    control: str
    attempt: dict[str, Any]
    notices: list[str]
    windows: dict[str, list[int] | None]
    clean: dict[str, Any]
    seal: str
    rpo: dict[str, Any] | None = None
    detection: dict[str, Any] | None = None
    schema: int = field(default=1)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `result.json`."""
        return {**asdict(self), "findings": [finding.to_json() for finding in self.findings]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """The result of `to_json`."""
        return cls(**{**data, "findings": [Finding.from_json(finding) for finding in data["findings"]]})


def rounded(value: float | None, digits: int = 9) -> float | None:
    """A float as it goes to disk: ratios to 9 digits, seconds to 6; never -0.0."""
    return None if value is None else round(float(value), digits) + 0.0
