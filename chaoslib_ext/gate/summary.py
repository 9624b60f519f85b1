"""A run as Markdown for a pipeline's summary page, and as OpenMetrics text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from chaoslib_ext.reasons import OUTRANKING, REASONS
from chaoslib_ext.report.facts import Facts, Json
from chaoslib_ext.report.findings import PROOFS, Row, rows
from chaoslib_ext.report.moments import utc
from chaoslib_ext.report.reading import read
from chaoslib_ext.report.sentences import sentence
from chaoslib_ext.report.signs import MARKS
from chaoslib_ext.report.words import at, clean, whole
from chaoslib_ext.seal import write_whole

SUMMARY, METRICS = "summary.md", "metrics.txt"
_MOST_BYTES = 60_000  # GitHub drops a summary over 1 MiB whole, and a comment over 64 KiB
_MOST_ROWS = 100
_SIGNS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ABORTED": "■", "ERROR": "!", "DIRTY": "‼"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#!|~&]|:(?=//)|(?<=www)\.)", re.IGNORECASE)


def write(run_dir: Path) -> list[Path]:
    """Writes `summary.md` and `metrics.txt` into a judged run directory. Raises UsageError when it holds no result."""
    facts = read(run_dir)
    made = {SUMMARY: summary_markdown(facts), METRICS: metrics_text(facts)}
    for name, text in made.items():
        write_whole(run_dir / name, text.encode())
    return [run_dir / name for name in made]


def summary_markdown(facts: Facts) -> str:
    """A heading with the verdict, the sentence, the reasons, and a table: all that was promised, and of the proofs those that lack."""
    found = [row for row in rows(facts.result.get("findings") or []) if row.kind not in PROOFS or row.outcome != "met"]
    control = f" (control: {_plain(facts.control)})" if facts.control else ""
    head = [f"### {_SIGNS.get(facts.verdict, '?')} {_plain(facts.verdict)} · {_plain(facts.title)}{control}", "", _plain(sentence(facts)), "", *_reasons(facts)]
    table = (
        ["| | objective | window | target | measured | margin | samples |", "|---|---|---|--:|--:|--:|--:|", *map(_row, found[:_MOST_ROWS])]
        if found
        else ["No finding: nothing was compared with a promise."]
    )
    left_out = [f"… and {len(found) - _MOST_ROWS} more in report.html."] if len(found) > _MOST_ROWS else []
    text = "\n".join([*head, *table, *left_out, "", *_foot(facts)]) + "\n"
    data = text.encode()
    return text if len(data) <= _MOST_BYTES else data[:_MOST_BYTES].decode(errors="ignore").rpartition("\n")[0] + "\n\n… cut; see report.html.\n"


def _reasons(facts: Facts) -> list[str]:
    codes = [str(code) for code in facts.result.get("reasons") or []]
    told = [
        f"- `{code}` {_plain(REASONS[code].sentence)} **Next:** {_plain(REASONS[code].next_step)}" if code in REASONS else f"- {_plain(code)}" for code in codes
    ]
    return [*told, ""] if told else []


def _row(row: Row) -> str:
    cells = [f"{MARKS.get(row.outcome, '?')} {row.outcome}", row.title, row.window, row.target, row.measured, row.margin, row.samples]
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _foot(facts: Facts) -> list[str]:
    clean_ = facts.result.get("clean") or {}
    proven = clean_.get("proven_at_ns")
    when = f", proven at {utc(facts.header, proven)} ({at(proven)})" if proven is not None else ""
    state = {"clean": "Environment clean", "nothing-injected": "Nothing was injected"}.get(
        str(clean_.get("state")), "**Environment not proven clean: run `chaosx recover`**"
    )
    return [f"{state}{when}. Run `{_code(facts.result.get('run', ''))}`, seal `{_code(facts.result.get('seal') or 'none')}`."]


def _plain(text: object) -> str:
    """Text that Markdown shows as it is: no markup, no mention, no link."""
    return _SPECIAL.sub(r"\\\1", clean(text, 2000)).replace("@", "@\u2060")  # the joiner keeps a name from being notified


def _code(text: object) -> str:
    return re.sub(r"[^\w.:-]", "", clean(text, 120)) or "none"  # an empty code span would swallow what follows


def metrics_text(facts: Facts) -> str:
    """The numbers of the result as OpenMetrics text; what was not measured is left out, never 0."""
    title, rto, after = facts.title, facts.result.get("rto") or {}, facts.result.get("recovery_after_removal") or {}
    load, budget = facts.result.get("load") or {}, facts.result.get("budget") or {}
    families = [
        _family("chaosx_verdict", "1 for the verdict of the run, 0 for the others.", [({"verdict": word}, int(word == facts.verdict)) for word in OUTRANKING]),
        _family("chaosx_exit_code", "The exit code of the run.", [({}, facts.result.get("exit_code"))]),
        _family("chaosx_rto_seconds", "Recovery time, both ends of the bracket.", _ends(rto)),
        _family("chaosx_rto_objective_seconds", "The recovery time objective.", [({}, rto.get("objective_s"))]),
        _family("chaosx_recovery_after_removal_seconds", "Recovery after removal, both ends of the bracket.", _ends(after)),
        _family("chaosx_journeys", "Journeys by outcome.", [({"outcome": "good"}, _good(load)), ({"outcome": "bad"}, load.get("bad_journeys"))]),
        _family("chaosx_samples", "Samples of a finding, by outcome.", list(_samples(facts))),
        _family("chaosx_budget_spent_ratio", "Share of the error budget that the run spent.", [({}, budget.get("spent"))]),
    ]
    return "".join(_print(family, title) for family in families) + "# EOF\n"


_Family = tuple[str, str, list[tuple[dict[str, str], float]]]


def _family(name: str, help_: str, values: Iterable[tuple[dict[str, str], object]]) -> _Family:
    return name, help_, [(labels, value) for labels, value in values if isinstance(value, int | float)]


def _ends(measured: Json) -> list[tuple[dict[str, str], object]]:
    return [({"bound": "lo"}, measured.get("lo_s")), ({"bound": "hi"}, measured.get("hi_s"))]


def _good(load: Json) -> int | None:
    return whole(load.get("journeys")) - whole(load.get("bad_journeys")) if load.get("journeys") is not None else None


def _samples(facts: Facts) -> Iterable[tuple[dict[str, str], object]]:
    for finding in facts.result.get("findings") or []:
        if finding.get("kind") == "slo" and isinstance(finding.get("n"), int) and isinstance(finding.get("bad"), int):
            labels = {"slo": clean(finding.get("slo", "")), "window": clean(finding.get("window", ""))}
            yield {**labels, "outcome": "good"}, finding["n"] - finding["bad"]
            yield {**labels, "outcome": "bad"}, finding["bad"]


def _print(family: _Family, title: str) -> str:
    name, help_, values = family
    if not values:
        return ""
    lines = [f"# HELP {name} {help_}", f"# TYPE {name} gauge"]
    for labels, value in values:
        inside = ",".join(f'{key}="{_label(text)}"' for key, text in {"experiment": title, **labels}.items())
        lines.append(f"{name}{{{inside}}} {value:g}" if isinstance(value, int) and abs(value) < 1_000_000 else f"{name}{{{inside}}} {value!r}")
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
