"""Production runs on a person's word only: a plan's token, or a stored approval that reaches exactly as far as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import sandbox
from chaoslib_ext.cli.approve_command import approve_file
from chaoslib_ext.cli.plan_command import plan_file
from chaoslib_ext.environment import read_environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.process.client import control, read_roster
from chaoslib_ext.runner.approval import approve, confirmed, permission, read_approval
from chaoslib_ext.runner.plan import make_plan, same_or_refuse

ROOT = Path(__file__).parents[2]
KILL = "{type: action, name: kill, provider: {type: python, module: chaoslib_ext.faults, func: kill_replicas, arguments: {service: shop, %s}}}"
ENV = """apiVersion: chaosx/v1
kind: Environment
name: shop
class: {class_}
identity: {{sandbox: {identity}}}
services: {{shop: {{processes: {{roster: {roster}}}, url: 'http://127.0.0.1:1'}}}}
hosts: [127.0.0.1]
caps: {caps}
{more}"""


def roster(folder: Path, count: int = 6, first: int = 100, identity: str = "it", ready: bool = True) -> None:
    rows = []
    for at in range(count):
        row = {"name": f"shop-{at}", "service": "shop", "zone": "abc"[at % 3], "pid": first + at, "start_ticks": 7, "uid": f"00000000-{first + at}-7"}
        rows.append({**row, "ready": ready, "link": ["127.0.0.1", first + at], "health": "/healthz"})
    links = {zone: {"control": f"/links-{zone}.sock"} for zone in "abc"}
    whole = {"identity": identity, "zones": list("abc"), "keeper": {"control": "/keeper.sock"}, "links": links, "replicas": rows}
    (folder / "roster.json").write_text(json.dumps(whole))


def environment(folder: Path, caps: str = "{per_owner: 50%}", class_: str = "production", identity: str = "it", more: str = "") -> None:
    (folder / "shop.yaml").write_text(ENV.format(class_=class_, identity=identity, roster=folder / "roster.json", caps=caps, more=more))


def experiment(folder: Path, how_many: str = "count: 2") -> None:
    (folder / "x.yaml").write_text("title: t\nmethod:\n- " + KILL % how_many + "\nextensions:\n- {name: chaoslib_ext, version: 1}\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment and a production environment whose processes are in a roster file only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    roster(tmp_path)
    environment(tmp_path)
    experiment(tmp_path)
    return tmp_path


def stored(seed: int = 1) -> dict[str, Any]:
    return plan_file(Path("x.yaml"), "./shop.yaml", Path("plan.json"), seed, False).plan


def approved(for_: str = "2h", by: str = "Ada", seed: int = 1) -> dict[str, Any]:
    """The approval of the plan as it is now, as a run reads it."""
    stored(seed)
    approve_file(Path("plan.json"), by, "", for_, Path("approval.json"))
    return read_approval(Path("approval.json"))


def asked(approval: dict[str, Any] | None = None, confirm: str = "", seed: int = 1) -> dict[str, Any] | None:
    """On whose word a run would begin now."""
    where = read_environment("shop.yaml")
    return permission(where, make_plan(read_experiment(Path("x.yaml"), variables=where.values), where, seed), confirm, approval)


def chaosx(*words: str, timeout: float = 170) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "chaoslib_ext.cli", *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)


def test_production_is_refused_without_a_word_and_nothing_is_asked_back(folder: Path) -> None:
    token = stored()["token"]
    done = chaosx("run", "x.yaml", "--env", "./shop.yaml")
    assert done.returncode == 3
    assert f"not begun: NOT_APPROVED: environment shop is production: confirm this plan with --confirm {token}" in done.stderr
    assert not (folder / "reports").exists()


@pytest.mark.parametrize(
    ("class_", "word", "holds"),
    [
        pytest.param("production", "TOKEN", True, id="the token"),
        pytest.param("production", "shop TOKEN", True, id="the environment's name beside it"),
        pytest.param("local", "TOKEN", True, id="also where nobody asked"),
        pytest.param("local", "", False, id="nobody asked"),
        pytest.param("staging", "", False, id="staging does not ask"),
    ],
)
def test_a_word_holds_when_it_is_the_token_of_this_very_plan(folder: Path, class_: str, word: str, holds: bool) -> None:
    environment(folder, class_=class_)
    found = asked(confirm=word.replace("TOKEN", stored()["token"]))
    assert (found is not None and found["how"] == "confirmed") == holds


@pytest.mark.parametrize("class_", ["local", "production"])
@pytest.mark.parametrize("word", ["00000000", "yes", "staging", "shop 00000000"])
def test_a_word_that_was_meant_for_something_else_is_refused_everywhere(folder: Path, class_: str, word: str) -> None:
    environment(folder, class_=class_)
    with pytest.raises(Refused, match=r"--confirm: got '.*', expected [0-9a-f]{8}, the token of this plan in environment shop") as error:
        asked(confirm=word)
    assert error.value.reason == "NOT_APPROVED"


def test_the_name_alone_confirms_no_production_run(folder: Path) -> None:
    with pytest.raises(Refused, match="is production: confirm this plan with --confirm"):
        asked(confirm="shop")


def test_the_token_changes_with_what_is_meant_and_not_with_who_is_drawn(folder: Path) -> None:
    where, token = read_environment("shop.yaml"), stored()["token"]
    assert confirmed(token, where, stored(seed=2))
    roster(folder, first=500)
    assert confirmed(token, where, stored())
    for change in (lambda: experiment(folder, "count: 1"), lambda: environment(folder, caps="{per_owner: 40%}"), lambda: environment(folder, identity="other")):
        experiment(folder)
        environment(folder)
        roster(folder)
        change()
        roster(folder, identity=read_environment("shop.yaml").identity["sandbox"])
        with pytest.raises(Refused):
            asked(confirm=token)


def test_an_approval_names_who_until_when_and_what_drifted(folder: Path) -> None:
    found = asked(approved(), seed=1)
    assert found is not None
    assert (found["how"], found["by"], found["drift"]) == ("approval", "Ada", [])
    assert found["until_utc"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    roster(folder, first=500)
    again = asked(read_approval(Path("approval.json")), seed=1)
    assert again is not None
    assert len(again["drift"]) == 4, "two planned and not there, two there and not planned"


OUTSIDE = [
    pytest.param(lambda folder: roster(folder, count=3), "CAPS_EXCEEDED", r"2 of 3 replicas of shop \(67%\)", id="more of the owner than its cap"),
    pytest.param(lambda folder: experiment(folder, "count: 3"), "NOT_APPROVED", r"arguments.count: planned 2, now 3", id="another count"),
    pytest.param(
        lambda folder: environment(folder, caps="{per_owner: 60%}"), "NOT_APPROVED", "environment.caps.per_owner: planned 0.5, now 0.6", id="looser caps"
    ),
    pytest.param(lambda folder: environment(folder, caps="{per_owner: 50%, writes: 9}"), "NOT_APPROVED", "environment.caps.writes", id="other caps"),
    pytest.param(lambda folder: environment(folder, class_="staging"), "NOT_APPROVED", "environment.class: planned 'production', now 'staging'", id="class"),
    pytest.param(lambda folder: environment(folder, more="never: {names: [x]}"), "NOT_APPROVED", "environment.never", id="other protection"),
    pytest.param(
        lambda folder: (roster(folder, identity="two"), environment(folder, identity="two")), "NOT_APPROVED", "planned 'it', now 'two'", id="another target"
    ),
]


@pytest.mark.parametrize(("change", "reason", "said"), OUTSIDE)
def test_what_is_outside_of_an_approval_is_refused(folder: Path, change: Any, reason: str, said: str) -> None:
    approval = approved()
    change(folder)
    with pytest.raises(Refused, match=said) as error:
        asked(approval)
    assert error.value.reason == reason


def test_without_a_cap_no_more_is_approved_than_was_seen(folder: Path) -> None:
    environment(folder, caps="{}")
    experiment(folder, "share: '34%'")
    approval = approved()
    assert asked(approval)
    roster(folder, count=9)
    with pytest.raises(Refused, match="3 of 9 of shop would be hit, approved are 2") as error:
        asked(approval)
    assert error.value.reason == "TARGETS_CHANGED"


def test_variables_of_the_environment_are_bound_too(folder: Path) -> None:
    experiment(folder, "count: '${many}'")
    environment(folder, more="values: {many: 1}")
    approval = approved()
    environment(folder, more="values: {many: 2}")
    with pytest.raises(Refused, match=r"kill\.count: planned 1, now 2"):
        asked(approval)


def test_an_approval_ends(folder: Path) -> None:
    approval = {**approved(), "until_s": time.time() - 0.001}
    with pytest.raises(Refused, match="the approval of Ada ended at") as error:
        asked(approval)
    assert error.value.reason == "NOT_APPROVED"


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda one: one.update(until_s=one["until_s"] + 1e6), id="a later end"),
        pytest.param(lambda one: one.update(by="Somebody else"), id="another person"),
        pytest.param(lambda one: one["plan"]["limits"]["caps"].update(per_owner=1.0), id="looser caps"),
        pytest.param(lambda one: one["plan"]["resolved"][0]["caps"].update(per_owner=1.0), id="looser caps of a fault"),
        pytest.param(lambda one: one.pop("sha256"), id="no hash"),
    ],
)
def test_an_edited_approval_is_refused(folder: Path, edit: Any) -> None:
    approved()
    found = json.loads(Path("approval.json").read_text())
    edit(found)
    Path("approval.json").write_text(json.dumps(found))
    with pytest.raises(UsageError, match=r"approval\.json: was changed after it was given"):
        read_approval(Path("approval.json"))


def test_a_run_with_an_edited_approval_touches_nothing(folder: Path) -> None:
    approved()
    Path("approval.json").write_text(Path("approval.json").read_text().replace("Ada", "Eve"))
    done = chaosx("run", "x.yaml", "--env", "./shop.yaml", "--approval", "approval.json")
    assert (done.returncode, (folder / "reports").exists()) == (2, False)
    assert "approval.json: was changed after it was given" in done.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "plan": 3}', '{"schema": 2, "plan": {}}'])
def test_a_file_that_is_no_approval_is_refused(folder: Path, text: str) -> None:
    Path("approval.json").write_text(text)
    with pytest.raises(UsageError, match=r"approval.json: (cannot be read as an|got no) approval"):
        read_approval(Path("approval.json"))


@pytest.mark.parametrize(
    ("by", "until", "for_", "said"),
    [
        pytest.param("Ada", "", "", "neither --until nor --for", id="no end"),
        pytest.param("Ada", "2030-01-01T00:00Z", "2h", "both --until and --for", id="two ends"),
        pytest.param("Ada", "2001-01-01T00:00Z", "", "expected a time from now on", id="in the past"),
        pytest.param("Ada", "", "91d", "within 90 days", id="for a quarter and more"),
        pytest.param("Ada", "2030-01-01T00:00", "", "without a time zone", id="no zone"),
        pytest.param("Ada", "tomorrow", "", "--until: ", id="no time"),
        pytest.param("Ada", "", "2", "--for: ", id="no unit"),
        pytest.param(" ", "", "2h", "--by: got nothing", id="nobody"),
    ],
)
def test_an_approval_that_says_too_little_is_refused(folder: Path, by: str, until: str, for_: str, said: str) -> None:
    stored()
    with pytest.raises(UsageError, match=said):
        approve_file(Path("plan.json"), by, until, for_, Path("approval.json"))
    assert not Path("approval.json").exists()


def test_an_edited_plan_and_one_that_is_refused_cannot_be_approved(folder: Path) -> None:
    plan = stored()
    with pytest.raises(UsageError, match="was changed after it was made"):
        approve({**plan, "intent": {**plan["intent"], "caps": {}}}, "Ada", time.time() + 60)
    with pytest.raises(UsageError, match="a run would be refused"):
        approve({**plan, "refused": [{"text": "no"}]}, "Ada", time.time() + 60)


SWAPPED = [
    pytest.param(lambda folder: environment(folder, more="never: {names: [x]}"), "environment.never.names: planned None", id="protection"),
    pytest.param(lambda folder: environment(folder, class_="local"), "environment.class: planned 'production', now 'local'", id="class"),
    pytest.param(
        lambda folder: (roster(folder, identity="two"), environment(folder, identity="two")), "identity.sandbox: planned 'it', now 'two'", id="target"
    ),
    pytest.param(lambda folder: roster(folder, identity="two"), "belongs to two, not to environment shop", id="only the roster behind it"),
]


@pytest.mark.parametrize(("change", "said"), SWAPPED)
def test_an_environment_that_was_swapped_between_plan_and_run_is_refused(folder: Path, change: Any, said: str) -> None:
    plan = stored()
    change(folder)
    with pytest.raises(Refused, match=said) as error:
        same_or_refuse(plan, make_plan(read_experiment(Path("x.yaml")), read_environment("shop.yaml"), 1))
    assert error.value.reason == "PREFLIGHT_FAILED"


def test_a_plan_for_production_says_how_it_is_confirmed(folder: Path) -> None:
    plan = plan_file(Path("x.yaml"), "./shop.yaml", None, 1, False)
    assert plan.text.endswith(f"run it: chaosx run x.yaml --env ./shop.yaml --confirm {plan.plan['token']}")


LIVE = """title: t
method:
- {type: action, name: lose zone b, provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: 3s}}}
extensions:
- {name: chaoslib_ext, version: 1, windows: {warmup: 1s, baseline: 2s, recovery: 8s, stable: 1s}, faults: {lose zone b: {caps: {per_owner: 34%, zones: 1}}}}
"""


@pytest.mark.slow
def test_a_whole_run_in_production_shows_who_approved_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSX_SANDBOX", str(folder / "rooms"))
    room = sandbox.up(f"approved-{os.getpid()}", (), owner_pid=os.getpid())
    try:
        (folder / "shop.yaml").write_text(ENV.format(class_="production", identity=room.identity, roster=room.roster, caps="{per_owner: 34%}", more=""))
        (folder / "x.yaml").write_text(LIVE)
        assert chaosx("plan", "x.yaml", "--env", "./shop.yaml", "-o", "plan.json").returncode == 0
        assert chaosx("approve", "plan.json", "--by", "Ada", "--for", "1h", "-o", "approval.json").returncode == 0
        done = chaosx("run", "x.yaml", "--env", "./shop.yaml", "--approval", "approval.json", "--json")
        assert done.returncode in (0, 3), done.stderr
        assert "approved by Ada until " in done.stderr
        told = Path(json.loads(done.stdout)["directory"])
        header, result = (json.loads((told / name).read_text()) for name in ("run.json", "result.json"))
        assert (header["approval"]["by"], header["approval"]["how"]) == ("Ada", "approval")
        assert any(notice.startswith("approved by Ada until ") for notice in result["notices"])
        assert "approved by Ada until " in (told / "report.html").read_text()
        assert control(read_roster(room.roster)["links"]["b"]["control"], {"op": "status"}, 5.0)["owner"] is None
    finally:
        sandbox.down(room.name)


def test_plain_chaos_run_has_no_word_for_production(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chaoslib_ext.faults.plain import chosen_environment

    monkeypatch.setenv("CHAOSX_ENV", "./shop.yaml")
    with pytest.raises(UsageError, match="is production, where a plan is confirmed or approved first"):
        chosen_environment()
