"""The HTTP stand-in keeps the promises that an undo builds on, and fails as planned and no other way."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from api_standin import Api
from wire import KINDS, SAID

APPLIED = ("500 after", "reset after", "silent after", "slow", "truncated", "nonsense")
LIMIT_S = 1.0  # longer than the slow answer takes


@pytest.fixture
def api() -> Iterator[Api]:
    one = Api()
    yield one
    one.close()


def call(api: Api, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=LIMIT_S)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def test_a_replacement_is_a_compare_and_swap(api: Api) -> None:
    _, made = call(api, "POST", "/objects", {"name": "a", "body": 1})
    assert call(api, "PUT", "/objects/a", {"version": made["version"], "body": 2, "marker": "m"})[0] == 200
    assert call(api, "PUT", "/objects/a", {"version": made["version"], "body": 3})[0] == 409
    now = call(api, "GET", "/objects/a")[1]
    assert (now["body"], now["marker"], now["uid"]) == (2, "m", made["uid"])
    assert call(api, "PUT", "/objects/a", {"version": now["version"], "uid": "another", "body": 3})[0] == 409
    assert [one["name"] for one in call(api, "GET", "/objects?marker=m")[1]] == ["a"]
    assert call(api, "GET", "/objects?marker=n")[1] == []


def test_a_repeated_create_is_one_create_and_a_deletion_hits_one_incarnation(api: Api) -> None:
    first = call(api, "POST", "/objects", {"name": "a"}, **{"Idempotency-Key": "k"})[1]
    assert call(api, "POST", "/objects", {"name": "a"}, **{"Idempotency-Key": "k"}) == (200, first)
    assert call(api, "POST", "/objects", {"name": "a"})[0] == 409
    assert call(api, "DELETE", "/objects/a?uid=another")[0] == 409
    assert call(api, "DELETE", f"/objects/a?uid={first['uid']}")[0] == 200
    assert call(api, "GET", "/objects/a")[0] == 404
    assert call(api, "POST", "/objects", {"name": "a"})[1]["uid"] != first["uid"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_fails_as_planned_and_is_done_or_not_as_planned(kind: str, api: Api) -> None:
    api.plan.begin(kind, 1, 1)
    assert call(api, "POST", "/objects", {"name": "before"})[0] == 201
    try:
        status, body = call(api, "POST", "/objects", {"name": "a"})
    except (OSError, http.client.HTTPException):
        status, body = 0, None
    said = {**{name: code for name, (code, _) in SAID.items()}, "500 after": 500, "slow": 201, "nonsense": 200}
    assert status == said.get(kind, 0)
    assert (body is not None) is (kind == "slow")
    assert ("a" in api.objects.all) is (kind in APPLIED)
    assert [answer.splitlines()[0] for answer in api.deliver()] == (["HTTP/1.0 201 Created"] if kind == "late" else [])
    assert ("a" in api.objects.all) is (kind in (*APPLIED, "late"))
    assert call(api, "POST", "/objects", {"name": "after"})[0] == 201
