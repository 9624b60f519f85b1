"""What Prometheus may answer wrongly, and counters that do not behave: never a number that nobody measured."""

from __future__ import annotations

import pytest
from source_rig import StandIn, free_port, ok, vector

from chaoslib_ext.errors import NoData
from chaoslib_ext.promql import counter_query, is_selector
from chaoslib_ext.sources.counting import Counting
from chaoslib_ext.sources.prometheus import Prometheus, Series
from chaoslib_ext.sources.watcher import state_of

QUERY = "/api/v1/query"
BAD = [
    pytest.param(500, b"oops", "HTTP 500", id="a server error"),
    pytest.param(503, b'{"status":"error","errorType":"unavailable","error":"starting"}', "unavailable: starting", id="its own words"),
    pytest.param(400, b'{"status":"error","errorType":"bad_data","error":"parse error"}', "bad_data: parse error", id="a wrong query"),
    pytest.param(302, b"", "HTTP 302", id="a redirect is not followed"),
    pytest.param(200, b'{"status":"success","data":{"resultType":"vec', "is no JSON", id="truncated JSON"),
    pytest.param(200, b"[]", "got []", id="JSON of another shape"),
    pytest.param(200, b'{"status":"error","data":{}}', "got {", id="no success"),
    pytest.param(200, ok({"resultType": "matrix", "result": []}), "expected a vector", id="another type"),
    pytest.param(200, ok(vector(({}, "NaN"))), "'NaN', which is no number", id="not a number"),
    pytest.param(200, ok(vector(({}, "+Inf"))), "which is no number", id="infinity"),
    pytest.param(200, ok({"resultType": "vector", "result": [{"metric": {}}]}), "has no 'value'", id="no value"),
    pytest.param(200, ok({"resultType": "vector", "result": [{"metric": {}, "value": [1]}]}), "expected a time and a number", id="half a value"),
    pytest.param(200, ok({"resultType": "vector", "result": [{"metric": [], "value": [1, "1"]}]}), "is no mapping", id="no labels"),
]


@pytest.mark.parametrize(("status", "body", "said"), BAD)
def test_what_is_no_answer_is_no_data(standin: StandIn, status: int, body: bytes, said: str) -> None:
    standin.reply[QUERY] = (status, body, 0.0)
    with pytest.raises(NoData) as refused:
        Prometheus(standin.url).instant("up", 1.0)
    assert said in str(refused.value)


def test_an_answer_that_drips_for_ever_ends_with_the_time(standin: StandIn) -> None:
    standin.reply[QUERY] = (200, ok(vector(({}, "1"))) + b" " * 10000, 0.05)
    with pytest.raises(NoData, match=r"within 0\.3 s"):
        Prometheus(standin.url, 0.3).instant("up", 1.0)


def test_an_answer_that_breaks_off_is_no_data(standin: StandIn) -> None:
    standin.reply[QUERY] = (200, ok(vector(({}, "1"))), 0.0)
    standin.short_by = 5
    with pytest.raises(NoData, match="broke off"):
        Prometheus(standin.url).instant("up", 1.0)


def test_nobody_there_is_no_data() -> None:
    with pytest.raises(NoData, match="ConnectionRefusedError"):
        Prometheus(f"http://127.0.0.1:{free_port()}").alerts()


def test_nothing_that_matches_is_an_empty_vector_and_a_scalar_is_one_series(standin: StandIn) -> None:
    source = Prometheus(standin.url)
    assert source.instant("up", 1.0) == []
    standin.reply[QUERY] = (200, ok({"resultType": "scalar", "result": [1.0, "5"]}), 0.0)
    assert source.instant("5", 1.0) == [Series((), 5.0)]
    assert standin.asked[-1] == "/api/v1/query query=5&time=1.000"


def test_points_that_are_no_numbers_are_left_out_of_a_range(standin: StandIn) -> None:
    data = {"resultType": "matrix", "result": [{"metric": {"a": "b"}, "values": [[1, "1"], [2, "NaN"], [3, "3"]]}]}
    standin.reply["/api/v1/query_range"] = (200, ok(data), 0.0)
    assert Prometheus(standin.url).range("x", 1, 3, 1) == {(("a", "b"),): [(1.0, 1.0), (3.0, 3.0)]}


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        pytest.param("requests_total", "requests_total", id="a counter"),
        pytest.param('sum(rate(x_total{code!~"5..",p="/{a}"}[{{.window}}]))', 'x_total{code!~"5..",p="/{a}"}', id="a rate in a sum, a brace in a label"),
        pytest.param("increase( x[ {{ .window }} ] )", "x", id="an increase"),
        pytest.param("sum(x{a='b'})", "x{a='b'}", id="a sum"),
        pytest.param("sum(a) + sum(b)", "sum(a) + sum(b)", id="an expression of counters is asked as it is"),
    ],
)
def test_a_counter_query_is_asked_without_its_rate(text: str, asked: str) -> None:
    assert counter_query(text) == asked


@pytest.mark.parametrize("text", ["sum by (a) (rate(x[{{.window}}]))", "rate(x[5m])", "max_over_time(x[1m])", "histogram_quantile(0.9, rate(x[{{.window}}]))"])
def test_a_rate_that_cannot_be_undone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="leave the rate out"):
        counter_query(text)


def test_only_a_bare_selector_is_one_counter_of_one_process() -> None:
    assert is_selector('x{a="b"}')
    assert not is_selector("sum(x)")
    assert not is_selector("a - b")


def series(part: str, value: float, instance: str = "i1", **labels: str) -> tuple[dict[str, str], str]:
    return {"__name__": "x", "job": "shop", "instance": instance, "chaosx_part": part, **labels}, str(value)


def counts(standin: StandIn, *rounds: list[tuple[dict[str, str], str]], good: str = "x", total: str = "y") -> list[tuple[float, float, int, int] | None]:
    counting = Counting(Prometheus(standin.url), good, total)
    found = []
    for one in rounds:
        standin.says(*one)
        counted = counting.query(1.0)
        found.append(None if counted is None else (counted.good, counted.total, counted.gone, counted.broken))
    return found


def test_counts_begin_with_the_watch_and_come_from_one_question(standin: StandIn) -> None:
    rounds = [[series("good", 90), series("total", 100)], [series("good", 95), series("total", 110)]]
    assert counts(standin, *rounds) == [(0, 0, 0, 0), (5, 10, 0, 0)]
    assert len(standin.asked) == 2


def test_a_counter_that_begins_anew_counts_from_nothing(standin: StandIn) -> None:
    rounds = [[series("good", 90), series("total", 100)], [series("good", 3), series("total", 4)], [series("good", 5), series("total", 7)]]
    assert counts(standin, *rounds)[1:] == [(3, 4, 0, 0), (5, 7, 0, 0)]


def test_a_counter_that_falls_inside_a_sum_is_not_guessed_at(standin: StandIn) -> None:
    rounds = [[series("good", 90), series("total", 100)], [series("good", 91), series("total", 60)]]
    assert counts(standin, *rounds, total="sum by (job) (y)")[1] == (1, 0, 0, 1)


def test_no_data_is_none_and_never_zero(standin: StandIn) -> None:
    whole = [series("good", 90), series("total", 100)]
    assert counts(standin, [], whole, [], [series("good", 99), series("total", 120)]) == [None, (0, 0, 0, 0), None, (9, 20, 2, 0)]
    assert counts(standin, [series("good", 5)]) == [None]


def test_a_first_error_counts_though_its_series_is_new(standin: StandIn) -> None:
    """Prometheus' own rate() would lose it."""
    rounds = [[series("good", 90), series("total", 100)], [series("good", 90), series("total", 100), series("total", 7, code="503")]]
    assert counts(standin, *rounds)[1] == (0, 7, 0, 0)


def test_a_process_seen_for_the_first_time_counts_from_what_it_shows_then(standin: StandIn) -> None:
    old = [series("good", 90), series("total", 100)]
    more = [series("good", 10**6, "i2"), series("total", 10**6, "i2")]
    assert counts(standin, old, old + more, [*old, series("good", 10**6 + 1, "i2"), series("total", 10**6 + 2, "i2")])[1:] == [(0, 0, 0, 0), (1, 2, 0, 0)]


def test_what_vanishes_is_counted_as_gone_and_goes_on_when_it_returns(standin: StandIn) -> None:
    both = [series("total", 10), series("total", 10, "i2")]
    assert counts(standin, both, both[:1], [series("total", 12), series("total", 15, "i2")])[1:] == [(0, 0, 1, 0), (0, 7, 1, 0)]


def test_the_strongest_of_several_alerts_of_a_name_counts(standin: StandIn) -> None:
    alerts = [
        {"labels": {"alertname": name}, "state": state, "activeAt": at}
        for name, state, at in (("A", "pending", "1"), ("A", "firing", "2"), ("B", "pending", "3"))
    ]
    standin.reply["/api/v1/alerts"] = (200, ok({"alerts": alerts}), 0.0)
    found = Prometheus(standin.url).alerts()
    assert [state_of(name, found) for name in "ABC"] == [("firing", "2"), ("pending", "3"), ("inactive", "")]


def test_alerts_of_another_shape_are_no_data(standin: StandIn) -> None:
    standin.reply["/api/v1/alerts"] = (200, ok({"alerts": {}}), 0.0)
    with pytest.raises(NoData, match="no list of alerts"):
        Prometheus(standin.url).alerts()


def test_a_source_that_does_not_tell_its_targets_has_no_interval(standin: StandIn) -> None:
    standin.reply["/api/v1/targets"] = (404, b"no", 0.0)
    assert Prometheus(standin.url).scrape_interval_s() is None
    standin.reply["/api/v1/targets"] = (200, ok({"activeTargets": [{"scrapeInterval": "15s"}, {"scrapeInterval": "1m"}, {}]}), 0.0)
    assert Prometheus(standin.url).scrape_interval_s() == 60.0
