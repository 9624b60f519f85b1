"""A fault goes into a route and out of it again, whatever else is in the table; nothing here needs an Envoy."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoslib_ext.mesh.routes import FAULT, MARK, Traffic, faults_there, look_path, names, next_version, owner_of, stanza, with_fault, without_fault
from chaoslib_ext.sandbox.sidecar import routes

ME, WHAT = "run--fault", stanza(Traffic(0.5, status=503), ["/healthz"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6
)


def table(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["resources"][0]["virtual_hosts"][0]["routes"]
    return found


def but_for_the_version(document: dict[str, Any] | None) -> str:
    assert document is not None
    return json.dumps({**document, "version_info": ""})


def test_a_stanza_counts_in_millionths_and_spares_health_checks() -> None:
    assert stanza(Traffic(0.015, delay_s=0.25), ["/healthz"]) == {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "delay": {"fixed_delay": "0.250000s", "percentage": {"numerator": 15000, "denominator": "MILLION"}},
        "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}, "invert_match": True}],
    }
    assert stanza(Traffic(1.0, status=429), [])["abort"] == {"http_status": 429, "percentage": {"numerator": 1_000_000, "denominator": "MILLION"}}


@pytest.mark.parametrize(
    ("traffic", "what"),
    [
        pytest.param(Traffic(0.0, status=503), "share: got 0.0", id="nobody"),
        pytest.param(Traffic(1.5, status=503), "share: got 1.5", id="more than all: some control planes take it for all"),
        pytest.param(Traffic(float("nan"), status=503), "share: got nan", id="no number"),
        pytest.param(Traffic(1e-7, status=503), "share: got 1e-07", id="less than Envoy counts: it would be nobody"),
        pytest.param(Traffic(1.0), "either a delay", id="nothing"),
        pytest.param(Traffic(1.0, 0.1, 503), "either a delay", id="both"),
        pytest.param(Traffic(1.0, delay_s=-1.0), "delay: got -1.0", id="a negative delay"),
        pytest.param(Traffic(1.0, delay_s=1e-9), "delay: got 1e-09", id="a delay that rounds to none"),
        pytest.param(Traffic(1.0, status=600), "status: got 600", id="a status that Envoy rejects"),
        pytest.param(Traffic(1.0, status=199), "status: got 199", id="an informational status"),
        pytest.param(Traffic(1.0, status="503"), "status: got '503'", id="a text"),  # type: ignore[arg-type]
    ],
)
def test_values_that_envoy_would_misread_never_leave_our_hands(traffic: Traffic, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        stanza(traffic, [])


def test_a_fault_and_its_mark_are_in_the_named_route_only_and_the_document_given_stays_as_it_was() -> None:
    before = routes()
    made = with_fault(before, ["catalog"], ME, WHAT)
    assert before == routes()
    catalog, shop = table(made)
    assert catalog["typed_per_filter_config"] == {FAULT: WHAT}
    assert catalog["metadata"]["filter_metadata"][MARK]["owner"] == owner_of(catalog) == ME
    assert shop == table(before)[1]
    assert made["version_info"].startswith("2-")
    assert faults_there(made, ["catalog"]) == [ME]
    assert faults_there(made, ["shop"]) == []


def test_done_twice_a_fault_is_there_once_and_taken_out_once_it_is_gone() -> None:
    once = with_fault(routes(), ["catalog", "shop"], ME, WHAT)
    assert but_for_the_version(with_fault(once, ["catalog", "shop"], ME, WHAT)) == but_for_the_version(once)
    gone = without_fault(once, ME)
    assert but_for_the_version(gone) == but_for_the_version(routes())
    assert gone is not None
    assert without_fault(gone, ME) is None


@settings(deadline=None)
@given(
    route=st.dictionaries(st.sampled_from(["decorator", "x", "response_headers_to_add"]), JSON),
    own=JSON,
    meta=JSON,
    extra=JSON,
    made=st.sets(st.sampled_from("tm")),
)
def test_whatever_else_is_in_a_route_is_kept_to_the_letter(route: dict[str, Any], own: Any, meta: Any, extra: Any, made: set[str]) -> None:
    """What was there before stays, and what somebody adds while the fault is in force stays too."""
    before = routes()
    table(before)[0].update(route)
    if "t" in made:
        table(before)[0]["typed_per_filter_config"] = {"envoy.filters.http.cors": own}
    if "m" in made:
        table(before)[0]["metadata"] = {"filter_metadata": {"somebody": meta}}
    faulty = with_fault(before, ["catalog"], ME, WHAT)
    assert but_for_the_version(without_fault(faulty, ME)) == but_for_the_version(before)
    for document in (before, faulty):
        one = table(document)[0]
        one["added"] = extra
        one.setdefault("typed_per_filter_config", {})["added"] = {"value": extra}
        one.setdefault("metadata", {}).setdefault("filter_metadata", {})["added"] = extra
        table(document).append({"name": "new", "match": {"prefix": "/new"}, "route": {"cluster": "shop"}})
    healed = without_fault(faulty, ME)
    assert healed is not None
    assert {**healed, "version_info": ""} == {**before, "version_info": ""}


def place(where: str) -> dict[str, Any]:
    """The table with a fault of somebody else."""
    document = routes()
    if where == "marked":
        return with_fault(document, ["catalog"], "somebody", WHAT)
    host = document["resources"][0]["virtual_hosts"][0]
    clusters = [{"name": "a", "weight": 1}]
    if where == "weighted cluster":
        host["routes"][0]["route"]["weighted_clusters"] = {"clusters": clusters}
    at = {
        "route": host["routes"][0],
        "virtual host": host,
        "table": document["resources"][0],
        "weighted cluster": clusters[0],
        "other name": host["routes"][0],
    }[where]
    at["typed_per_filter_config"] = {"my.fault" if where == "other name" else FAULT: WHAT}
    return document


@pytest.mark.parametrize("where", ["marked", "route", "virtual host", "table", "weighted cluster", "other name"])
def test_a_fault_that_is_not_ours_is_seen_wherever_it_applies_and_refused(where: str) -> None:
    document = place(where)
    untouched = copy.deepcopy(document)
    with pytest.raises(ValueError, match=r"a fault of (somebody|nobody) is on catalog already"):
        with_fault(document, ["catalog"], ME, WHAT)
    assert document == untouched
    assert without_fault(document, ME) is None


def test_a_route_that_is_not_there_once_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"'nowhere' is there 0 times, expected once \(there are: catalog, shop\)"):
        with_fault(routes(), ["nowhere"], ME, WHAT)


def test_only_named_routes_to_a_cluster_can_have_a_fault() -> None:
    document = routes()
    table(document)[:0] = [{"match": {"prefix": "/x"}, "route": {}}, {"name": "away", "match": {"prefix": "/y"}, "redirect": {}}]
    assert names(document) == ["catalog", "shop"]


@pytest.mark.parametrize("document", [{}, [], {"resources": []}, {"resources": [{}]}, {"resources": [{"name": "a"}, {"name": "b"}]}, 3, None])
def test_what_is_no_file_of_one_route_table_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="got no file of route discovery"):
        names(document)


@pytest.mark.parametrize(("before", "after"), [("1", "2-"), ("7-0123abcd", "8-"), ("of somebody", "1-"), ("", "1-"), (None, "1-")])
def test_a_version_is_higher_than_the_one_before_and_never_the_same_twice(before: str | None, after: str) -> None:
    document = {"version_info": before}
    assert next_version(document).startswith(after)
    assert next_version(document) != next_version(document)


def test_a_look_goes_where_the_route_is_taken() -> None:
    assert (look_path(routes(), "catalog"), look_path(routes(), "shop")) == ("/catalog/0", "/0")
    document = routes()
    table(document)[0]["match"] = {"path": "/one"}
    assert look_path(document, "catalog") == "/one"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        pytest.param(lambda document: table(document)[0]["match"].update(headers=[{"name": "x"}]), "wants more than a path", id="a header"),
        pytest.param(lambda document: table(document)[0].update(match={"safe_regex": {"regex": ".*"}}), "wants more than a path", id="a pattern"),
        pytest.param(lambda document: document["resources"][0]["virtual_hosts"][0].update(domains=["shop"]), "wants more than a path", id="a host"),
        pytest.param(lambda document: table(document).reverse(), "may be hidden by a route before it", id="a catch-all before it"),
    ],
)
def test_a_route_that_no_look_can_be_sure_to_take_is_refused(change: Any, what: str) -> None:
    document = routes()
    change(document)
    with pytest.raises(ValueError, match=what):
        look_path(document, "catalog")
