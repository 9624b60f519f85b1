"""
A run as OpenTelemetry spans in the JSON of OTLP 1.x: one trace, the run as its root, phases and faults below it.

Ids are made from the run's id, so the same run is the same trace wherever it is sent from. 64-bit numbers are texts and
enumerations are numbers, as the protocol's JSON mapping wants it.
Source: opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding", and opentelemetry-proto trace.proto.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from chaoslib_ext import __version__
from chaoslib_ext.errors import NotDelivered
from chaoslib_ext.exports.posting import address, post
from chaoslib_ext.exports.spans import Moment, Span, moments, spans, wall_ns
from chaoslib_ext.report.facts import Facts
from chaoslib_ext.report.words import clean

Json = dict[str, Any]
_INTERNAL, _OK, _ERROR = 1, 1, 2


def document(facts: Facts) -> str:
    """The export request of a run as one JSON document; the same bytes for the same run."""
    return json.dumps(request(facts), sort_keys=True, ensure_ascii=False) + "\n"


def send(facts: Facts, endpoint: str, token: str) -> tuple[int, str]:
    """Posts the spans to an OTLP/HTTP endpoint; how many, and where to. Raises NotDelivered when it does not take all of them."""
    url = address(endpoint, "/v1/traces")
    made = request(facts)
    answer = post(url, json.dumps(made).encode(), token)
    rejected = (answer.get("partialSuccess") or {}) if isinstance(answer, dict) else {}
    if rejected.get("rejectedSpans") not in (None, 0, "0", ""):
        raise NotDelivered(f"{url}: rejected {clean(rejected['rejectedSpans'], 20)} spans: {clean(rejected.get('errorMessage', ''))}")
    return len(made["resourceSpans"][0]["scopeSpans"][0]["spans"]), url


def request(facts: Facts) -> Json:
    """An ExportTraceServiceRequest."""
    zero_ns, found = wall_ns(facts), spans(facts)
    run = clean(facts.result.get("run", ""), 200)
    trace, root = _hex(run, 32), _hex(f"{run}/run", 16)
    made = [_span(span, trace, "" if at == 0 else root, root if at == 0 else _hex(f"{run}/{at}", 16), zero_ns) for at, span in enumerate(found)]
    made[0]["events"] = [_event(moment, zero_ns) for moment in moments(facts)]
    made[0]["status"] = {"code": _OK} if facts.verdict == "PASS" else {"code": _ERROR, "message": clean(facts.verdict, 20)}
    services = sorted({str(row.get("service")) for row in facts.plan.get("resolved") or [] if row.get("service")})
    resource = _attributes({"service.name": "chaosx", "service.version": __version__, "chaosx.services": clean(", ".join(services))})
    scope = {"name": "chaoslib_ext", "version": __version__}
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"scope": scope, "spans": made}]}]}


def _span(span: Span, trace: str, parent: str, own: str, zero_ns: int) -> Json:
    return {
        "traceId": trace,
        "spanId": own,
        "parentSpanId": parent,
        "name": f"{span.kind}: {span.name}",
        "kind": _INTERNAL,
        "startTimeUnixNano": str(zero_ns + span.start_ns),
        "endTimeUnixNano": str(zero_ns + span.end_ns),
        "attributes": _attributes({"chaosx.span": span.kind, **span.about}),
        "status": {},
    }


def _event(moment: Moment, zero_ns: int) -> Json:
    return {"timeUnixNano": str(zero_ns + moment.t_ns), "name": moment.kind, "attributes": _attributes({"chaosx.text": moment.text})}


def _attributes(about: dict[str, Any]) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in about.items() if value not in ("", None)]


def _value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}


def _hex(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
