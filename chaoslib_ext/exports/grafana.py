"""
A run as Grafana annotations: the run, its faults as regions, stops, notes, decisions and alerts as points.

Each element of the document is the body of one `POST /api/annotations`. Grafana shows the text as HTML, so it is escaped here;
the tag `chaosx:run:ID` finds all of a run again.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from chaoslib_ext.errors import NotDelivered
from chaoslib_ext.exports.posting import address, post
from chaoslib_ext.exports.spans import Span, moments, spans, wall_ns
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.words import clean

Json = dict[str, Any]
_MS = 1_000_000


def document(facts: Facts) -> str:
    """A JSON array of annotations; the same bytes for the same run."""
    return json.dumps(bodies(facts), sort_keys=True, ensure_ascii=False, indent=1) + "\n"


def send(facts: Facts, endpoint: str, token: str) -> tuple[int, str]:
    """Posts the annotations one by one; how many, and where to. Raises NotDelivered with how many were taken before one was not."""
    url = address(endpoint, "/api/annotations")
    made = bodies(facts)
    for at, annotation in enumerate(made):
        try:
            post(url, json.dumps(annotation).encode(), token)
        except NotDelivered as error:
            raise NotDelivered(f"{error} ({at} of {len(made)} annotations were taken before; their tag is {annotation['tags'][-1]})") from error
    return len(made), url


def bodies(facts: Facts) -> list[Json]:
    """The run and its faults as regions, then the moments as points, in milliseconds of Unix time."""
    zero_ns, run = wall_ns(facts), f"chaosx:run:{clean(facts.result.get('run', ''), 120)}"
    regions = [_region(facts, span, zero_ns, run) for span in spans(facts) if span.kind in ("run", "fault")]
    points = [
        {"time": (zero_ns + moment.t_ns) // _MS, "tags": ["chaosx", f"chaosx:{moment.kind}", run], "text": escape(f"{moment.kind}: {moment.text}")}
        for moment in moments(facts)
    ]
    return regions + points


def _region(facts: Facts, span: Span, zero_ns: int, run: str) -> Json:
    text = f"{clean(facts.verdict, 20)}: {span.name}" if span.kind == "run" else f"fault: {span.name}"
    tags = ["chaosx", f"chaosx:{span.kind}", *([f"chaosx:{clean(facts.verdict, 20)}"] if span.kind == "run" else []), run]
    return {"time": (zero_ns + span.start_ns) // _MS, "timeEnd": (zero_ns + span.end_ns) // _MS, "tags": tags, "text": escape(text)}
