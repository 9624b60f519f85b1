"""What a receiver of OTLP/JSON insists on, by hand from opentelemetry-proto's trace.proto and the specification's JSON rules."""

from __future__ import annotations

import re
from typing import Any


def check(request: Any) -> int:
    """How many spans an ExportTraceServiceRequest holds. Raises AssertionError for what a receiver would refuse."""
    assert set(request) == {"resourceSpans"}
    spans = []
    for resource in request["resourceSpans"]:
        assert set(resource) <= {"resource", "scopeSpans", "schemaUrl"}
        _attributes(resource["resource"]["attributes"])
        for scope in resource["scopeSpans"]:
            assert isinstance(scope["scope"]["name"], str)
            spans += scope["spans"]
    ids = {span["spanId"] for span in spans}
    assert len(ids) == len(spans)
    for span in spans:
        _span(span, ids)
    assert sum(not span["parentSpanId"] for span in spans) == 1
    assert len({span["traceId"] for span in spans}) == 1
    return len(spans)


def _span(span: Any, ids: set[str]) -> None:
    assert re.fullmatch("[0-9a-f]{32}", span["traceId"]) and int(span["traceId"], 16)
    assert re.fullmatch("[0-9a-f]{16}", span["spanId"]) and int(span["spanId"], 16)
    assert span["parentSpanId"] == "" or span["parentSpanId"] in ids
    assert isinstance(span["name"], str) and span["name"]
    assert span["kind"] in range(6) and span["status"].get("code", 0) in (0, 1, 2)
    start, end = (_fixed64(span[key]) for key in ("startTimeUnixNano", "endTimeUnixNano"))
    assert 0 < start <= end
    _attributes(span["attributes"])
    for event in span.get("events", []):
        assert _fixed64(event["timeUnixNano"]) > 0 and isinstance(event["name"], str)
        _attributes(event["attributes"])


def _fixed64(value: Any) -> int:
    assert isinstance(value, str) and re.fullmatch("[0-9]{1,20}", value), value  # 64-bit numbers are texts in JSON
    return int(value)


def _attributes(found: Any) -> None:
    assert len({each["key"] for each in found}) == len(found)
    for each in found:
        assert set(each) == {"key", "value"} and isinstance(each["key"], str)
        [(kind, value)] = each["value"].items()
        assert isinstance(value, {"stringValue": str, "boolValue": bool, "intValue": str, "doubleValue": float}[kind]), each
