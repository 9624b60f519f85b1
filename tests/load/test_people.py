"""People's load: a CSV of users, secrets that no file of a run holds, and the shapes in which people come."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from load_rig import DEADLINE_S, Finished, LoadChild, Server, profile, step

from chaoslib_ext.errors import InvalidFile, UsageError
from chaoslib_ext.load.given import Given, Hushed, given, secret_values
from chaoslib_ext.loadprofile import LoadProfile, read_load_profile
from chaoslib_ext.people import read_people, seeded_order
from chaoslib_ext.schedule import Schedule, Stage
from chaoslib_ext.timeline import Outcome

Start = Callable[..., LoadChild]
SECRET = "pl4nted-s3cret/ü~not-to-be-found"
PROFILE = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 50/s}]
data: users.csv
secrets: [SHOP_PASSWORD]
journeys:
- name: visit
  steps:
  - {request: "POST /login?u=${user}&n=${arrival}", json: {user: "${user}", password: "${SHOP_PASSWORD}"}, headers: {X-City: "${city}"}}
"""


def read(folder: Path, text: str = PROFILE, users: str | bytes = "user,city\nada,Bonn\nbob,Köln\n") -> LoadProfile:
    (folder / "users.csv").write_bytes(users.encode() if isinstance(users, str) else users)
    (folder / "load.yaml").write_text(text, encoding="utf-8")
    return read_load_profile(folder / "load.yaml")


def test_columns_and_secrets_are_variables_from_the_first_step_on(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found.people is not None
    assert (found.people.columns, found.people.rows, found.secrets) == (("user", "city"), 2, ("SHOP_PASSWORD",))
    assert LoadProfile.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert "Bonn" not in json.dumps(found.to_json())  # a profile names people's columns, never people


@pytest.mark.parametrize(
    ("change", "users", "said"),
    [
        pytest.param(("${city}", "${town}"), "user,city\na,b\n", "load.yaml:10: journeys[0].steps[0].headers: ${town} is not captured", id="a missing column"),
        pytest.param(("", ""), "user,city\na,b\na\n", "users.csv:3: has 1 cells, expected 2: user, city", id="a short row"),
        pytest.param(("", ""), "user,city\na,b,c\n", "users.csv:2: has 3 cells", id="a long row"),
        pytest.param(("", ""), "user,user\na,b\n", "users.csv:1: names the column 'user' twice", id="a column twice"),
        pytest.param(("", ""), "user,the city\na,b\n", "names the column 'the city', expected letters, digits and _", id="a column that is no variable"),
        pytest.param(("", ""), "arrival,user,city\na,b,c\n", "load.yaml:5: data: a column is called 'arrival', which is built in", id="a built-in name"),
        pytest.param(("", ""), "SHOP_PASSWORD,user,city\na,b,c\n", "secrets[0]: 'SHOP_PASSWORD' means something else already", id="a secret's name"),
        pytest.param(("", ""), "user,city\n", "users.csv: holds no row", id="no rows"),
        pytest.param(("", ""), "", "users.csv: holds no row", id="nothing"),
        pytest.param(("", ""), 'user,city\n"a,b\n', "users.csv:2: is no CSV", id="an open quote"),
        pytest.param(("", ""), 'user,city\n"a\nb",c\n', "holds a line break or a control character", id="a line break in a cell"),
        pytest.param(("", ""), b"user,city\n\xff,b\n", "users.csv:2: is not UTF-8", id="not UTF-8"),
        pytest.param(("journeys:", "locustfile: l.py\nstages: []\nx:"), "user,city\na,b\n", "", id="people for a locustfile"),
    ],
)
def test_a_file_of_people_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, change: tuple[str, str], users: str | bytes, said: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read(tmp_path, PROFILE.replace(*change) if change[0] else PROFILE, users)
    assert said in str(refused.value)


def test_a_byte_order_mark_and_empty_lines_are_no_people(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_bytes("\ufeffuser\n\nada\n\nbob\n".encode())
    people, rows = read_people(tmp_path / "u.csv")
    assert (people.columns, rows) == (("user",), [("ada",), ("bob",)])


def test_every_row_is_given_once_before_any_is_given_twice() -> None:
    everyone = Given({}, ("user",), tuple((f"u{n}",) for n in range(7)), tuple(seeded_order(7, 3)))
    seen = [everyone.values(number, "0")["user"] for number in range(23)]
    assert Counter(seen[:7]) == Counter(seen[7:14]) == {f"u{n}": 1 for n in range(7)}
    assert seen[:7] == seen[7:14]
    assert max(Counter(seen).values()) - min(Counter(seen).values()) == 1


def test_a_seed_is_an_order_and_another_seed_another_one() -> None:
    assert seeded_order(50, 1) == seeded_order(50, 1)
    assert seeded_order(50, 1) != seeded_order(50, 2)
    assert seeded_order(5, 7) == [2, 4, 0, 1, 3]  # for ever: a run must be repeatable with another Python


def test_a_file_that_changed_after_it_was_checked_is_refused(tmp_path: Path) -> None:
    found = read(tmp_path)
    (tmp_path / "users.csv").write_text("user,city\nmallory,Bonn\n")
    with pytest.raises(UsageError, match="has changed since the run was prepared"):
        given(found, 1, {"SHOP_PASSWORD": "x"})


def test_a_cell_that_no_header_can_carry_is_our_fault_not_the_systems(tmp_path: Path) -> None:
    found = read(tmp_path, users="user,city\na,Łódź\n")
    with pytest.raises(UsageError, match="row 1, column 'city'"):
        given(found, 1, {"SHOP_PASSWORD": "x"})
    assert given(read(tmp_path, users="user,city\nŁ,b\n"), 1, {"SHOP_PASSWORD": "x"}).rows == (("Ł", "b"),)  # in JSON it can


@pytest.mark.parametrize("environ", [{}, {"SHOP_PASSWORD": ""}])
def test_a_missing_secret_is_refused_by_name(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="not in the process environment, or empty: SHOP_PASSWORD"):
        secret_values(read(tmp_path), environ)


def test_people_come_to_the_server_in_their_seeded_order(server: Server, child: Start, tmp_path: Path) -> None:
    people = "user\n" + "".join(f"u{n}\n" for n in range(8))
    told = read(
        tmp_path,
        PROFILE.partition("secrets")[0] + 'journeys: [{name: a, steps: [{request: "GET /${arrival}/${user}"}]}]',
        people,
    )
    found = child(server.url, profile=told.to_json()).run(30)
    came = dict(path.strip("/").split("/") for _, path, _ in server.requests())
    order = seeded_order(8, 7)  # the rig's seed
    assert came == {str(number): f"u{order[number % 8]}" for number in range(found.meta["released"])}
    assert found.outcomes("journey") == {Outcome.OK: found.meta["released"]}


def bytes_below(*folders: Path) -> bytes:
    return b"\n".join(path.read_bytes() + str(path).encode() for folder in folders for path in folder.rglob("*") if path.is_file())


def forms(secret: str) -> list[bytes]:
    """How a secret might stand in a file: plain, in JSON, in a URL, in base64."""
    from base64 import b64encode
    from urllib.parse import quote

    return [secret.encode(), json.dumps(secret)[1:-1].encode(), quote(secret, safe="").encode(), b64encode(secret.encode())]


def test_a_planted_secret_reaches_the_server_and_no_file(server: Server, child: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    folder = tmp_path / "run"
    folder.mkdir()
    steps = [step("GET /ok/${SHOP_PASSWORD}"), step("GET /latin", headers={"X-P": "${SHOP_PASSWORD}"}, json={"p": "${SHOP_PASSWORD}"})]
    found = child(server.url, folder, profile=profile(steps, secrets=["SHOP_PASSWORD"])).run()
    assert found.outcomes("journey") == {Outcome.STATUS: found.meta["released"]}
    assert any(form in server.log.read_bytes() for form in forms(SECRET))  # near miss: the test can find it where it was sent
    left = bytes_below(folder)
    assert not [form for form in forms(SECRET) if form in left]


def test_the_load_child_sends_nothing_without_its_secret(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /")], secrets=["NOT_SET_ANYWHERE"]))
    assert one.process.wait(DEADLINE_S) == 2
    assert "NOT_SET_ANYWHERE" in one.errors.read_text()
    assert server.requests() == []


def test_a_traceback_does_not_tell_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "err"
    with path.open("w") as out:
        print(f"ValueError: bad header {SECRET!r} in {SECRET}", file=Hushed(out, {"A": SECRET, "B": "zz'z"}))  # type: ignore[arg-type]
    assert path.read_text() == "ValueError: bad header '***' in ***\n"


LOCUSTFILE = """
import os
from locust import HttpUser, task
print("password:", os.environ["SHOP_PASSWORD"])

class One(HttpUser):
    @task
    def go(self):
        self.client.get("/x")
        self.environment.runner
"""


def test_users_and_spawn_rate_of_a_locustfile_are_those_of_its_profile(server: Server, child: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    text = "apiVersion: chaosx/v1\nkind: LoadProfile\nlocustfile: locustfile.py\nusers: 3\nspawn_rate: 100/s\nsecrets: [SHOP_PASSWORD]\n"
    (tmp_path / "load.yaml").write_text(text)
    told = read_load_profile(tmp_path / "load.yaml")
    assert (told.users, told.spawn_rate) == (3, 100.0)
    folder = tmp_path / "run"
    folder.mkdir()
    one = child(server.url, folder, profile=told.to_json())
    one.start()
    one.run_until(lambda second: second["in_flight"] == 3 and second["good"] > 0)
    assert one.stop().meta["users"] == 3
    assert "password: ***" in one.errors.read_text()
    assert SECRET.encode() not in bytes_below(folder)


# the shapes in which people come -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "spans"),
    [
        pytest.param([(10, None, 2), (100, None, None)], {(0, 2): 20, (2, 3): 100}, id="an instantaneous step"),
        pytest.param([(10, None, 2), (1000, None, 0.1), (10, None, None)], {(0, 2): 20, (2, 2.1): 100, (2.1, 4.1): 20}, id="a spike of 100 ms"),
        pytest.param([(0, 100, 4), (100, None, 1), (100, 0, 4), (5, None, None)], {(0, 4): 200, (4, 5): 100, (5, 9): 200, (9, 10): 5}, id="up and down a ramp"),
        pytest.param([(5, None, 1), (0, None, 3), (5, None, None)], {(0, 1): 5, (1, 4): 0, (4, 5): 5}, id="a pause"),
        pytest.param([(3, None, 0.5), (7, None, 0.5), (1, None, None)], {(0, 1): 5}, id="halves of arrivals add up over a step"),
    ],
)
def test_every_shape_has_its_exact_number_of_arrivals(stages: list[Any], spans: dict[tuple[float, float], int]) -> None:
    schedule = Schedule(tuple(Stage(*(None if x is None else float(x) for x in stage)) for stage in stages))
    assert {span: schedule.count_between(*span) for span in spans} == spans


def arrived(found: Finished, start_ns: int, a_s: float, b_s: float) -> int:
    start_us = found.meta["start_ns"] // 1000
    return sum(a_s * 1e6 <= row[0] - start_us + 1 < b_s * 1e6 + 1 for row in found.of("journey"))


def test_a_spike_is_sent_as_it_is_written(server: Server, child: Start) -> None:
    stages = [Stage(20.0, None, 0.5), Stage(400.0, None, 0.25), Stage(0.0, None, 0.5), Stage(20.0)]
    one = child(server.url, profile={**profile([step("GET /")]), "stages": [asdict(stage) for stage in stages]})
    one.start()
    one.run_until(lambda _: sum(second["released"] for second in one.seconds) >= 125)
    found = one.stop()
    schedule = Schedule(tuple(stages))
    for a_s, b_s, wanted in ((0, 0.5, 10), (0.5, 0.75, 100), (0.75, 1.25, 0)):
        assert arrived(found, one.start_ns, a_s, b_s) == schedule.count_between(a_s, b_s) == wanted
    length_s = (found.meta["stop_ns"] - found.meta["start_ns"]) / 1e9
    assert found.meta["scheduled"] == schedule.count_between(0, math.nextafter(length_s, math.inf))
