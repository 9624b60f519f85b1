"""
Two real runs, one with load and one with a fault, looked at from all sides: who knows their secrets, what they leave and how,
where they listen and connect, what they print.

They are two, since a busy machine ends a run with load before its fault. They are traced by strace, so that every connection
and every file that was opened for writing is known, not only those of a lucky moment.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from chaoslib_ext import sandbox

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FAULT = "lose \\e[31mzone\\e]0;owned\\a b"
SECRETS = {
    "SHOP_PASSWORD": f'pass "w0rd" /+&=%é {secrets.token_hex(12)}',
    "SHOP_KEY": f"key/+={secrets.token_hex(12)}",
    "SHOP_TOKEN": f't0ken/+&="{secrets.token_hex(12)}',
}
PROFILE = """
apiVersion: chaosx/v1
kind: LoadProfile
stages: [{rate: 30/s}]
arrivals: uniform
secrets: [SHOP_PASSWORD, SHOP_KEY]
journeys:
- name: buy
  steps:
  - {request: POST /login, json: {user: ada, password: "${SHOP_PASSWORD}"}, headers: {X-Key: "${SHOP_KEY}"}, capture: {token: $.token}, timeout: 2s}
  - {request: POST /checkout, headers: {Authorization: "Bearer ${token}"}, json: {item: 1}, timeout: 2s, check: {status: 201}}
- name: refused
  steps:
  - {request: "GET /nothing/${SHOP_KEY}", headers: {X-Key: "${SHOP_KEY}"}, timeout: 2s, check: {status: 200}}
"""
EXPERIMENT = f"""
title: "../../secrets \\e[31m"
secrets: {{shop: {{token: {{type: env, key: SHOP_TOKEN}}}}}}
method:
- {{type: action, name: "{FAULT}", provider: {{type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {{zone: b, duration: 4s, how: silent}}}}}}
- type: probe
  name: a probe that fails with its address
  provider: {{type: http, url: "http://127.0.0.1:1/${{token}}", headers: {{X-Token: "${{token}}"}}, timeout: 2, secrets: [shop]}}
- type: probe
  name: a probe that is answered
  provider: {{type: http, url: "URL/catalog/1", headers: {{X-Token: "${{token}}"}}, timeout: 2, secrets: [shop]}}
"""
LOADED = f"""
title: "../../secrets \\e[31m"
method:
- {{type: action, name: kill one, provider: {{type: python, module: chaoslib_ext.faults, func: kill_replicas, arguments: {{service: shop, count: 1}}}}}}
extensions:
- name: chaoslib_ext
  version: 1
  slos: [{ROOT / "experiments/sandbox/slos/shop.yaml"}]
  load: profile.yaml
  windows: {{warmup: 1s, baseline: 3s, recovery: 6s, stable: 2s}}
  objectives: [{{slo: buy-availability, window: fault, target: 50%}}]
"""
MINE = ("fault.yaml", "load.yaml", "profile.yaml")
ANSI = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@dataclass
class Looked:
    """What was seen of the runs; `holders` names the processes whose environment held a secret, by file and secret."""

    folder: Path
    codes: list[int] = field(default_factory=list)
    holders: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    listeners: list[str] = field(default_factory=list)
    room: Path = Path()

    @property
    def trace(self) -> list[str]:
        return [line for path in self.folder.glob("trace*") for line in path.read_text(errors="replace").splitlines()]

    @property
    def printed(self) -> str:
        return (self.folder / "out").read_text() + (self.folder / "err").read_text()


def bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def link_of(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed meanwhile
        return ""


def family(pid: int) -> list[int]:
    """A process and all that come from it, in whatever session."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += [int(child) for task in Path(f"/proc/{one}/task").glob("*/children") for child in bytes_of(task).split()]
    return found


def look(seen: Looked, file: str, pid: int) -> None:
    """Who holds which secret, in environment or arguments, and which ports are listened on, right now."""
    pids = [one for one in family(pid) if one != pid]
    sockets = {link_of(fd) for one in pids for fd in Path(f"/proc/{one}/fd").glob("*")}
    for one in pids:
        argv, environ = bytes_of(Path(f"/proc/{one}/cmdline")).decode(errors="replace"), bytes_of(Path(f"/proc/{one}/environ"))
        seen.argv.append(argv)
        module = re.search(r"chaoslib_ext\.[a-z_.]+", argv)
        for name, value in SECRETS.items():
            if value.encode() in environ:
                seen.holders.setdefault((file, name), set()).add(module[0] if module else argv.replace("\0", " ")[:60])
    for table in ("tcp", "tcp6"):
        for line in bytes_of(Path(f"/proc/net/{table}")).decode().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                seen.listeners.append(words[1].rpartition(":")[0])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder, name = tmp_path_factory.mktemp("live"), f"live-{os.getpid()}"
    info = sandbox.up(name, (), owner_pid=os.getpid(), timeout_s=90.0)
    try:
        (folder / "profile.yaml").write_text(PROFILE, encoding="utf-8")
        (folder / "fault.yaml").write_text(EXPERIMENT.replace("URL", info.url), encoding="utf-8")
        (folder / "load.yaml").write_text(LOADED, encoding="utf-8")
        seen = Looked(folder, room=Path(info.dir))
        for file in ("load.yaml", "fault.yaml"):
            watch(seen, file, info)
        yield seen
    finally:
        sandbox.down(name)


def watch(seen: Looked, file: str, info: sandbox.SandboxInfo) -> None:
    folder = seen.folder
    words = [sys.executable, "-m", "chaoslib_ext.cli", "run", file, "--env", f"sandbox@{info.name}"]
    argv = ["strace", "-f", "-ff", "--seccomp-bpf", "-qq", "-s", "300", "-e", "trace=connect,sendto,openat,execve", "-o", str(folder / f"trace-{file}"), *words]
    environment = {**os.environ, **SECRETS, "CHAOSX_STATE": str(folder / "state"), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    with (folder / "out").open("ab") as out, (folder / "err").open("ab") as err:
        open_ = ["sh", "-c", 'umask 000; exec "$@"', "sh", *argv]
        process = subprocess.Popen(open_, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            deadline = time.monotonic() + 180
            while process.poll() is None:
                assert time.monotonic() < deadline, (folder / "err").read_text()
                look(seen, file, process.pid)
                threading.Event().wait(0.2)  # between two looks
        finally:
            process.kill()  # nothing, once it has ended
            process.wait()
    seen.codes.append(process.returncode)


def events(run: Looked) -> list[dict[str, Any]]:
    return [json.loads(line) for path in (run.folder / "reports").glob("*/events.jsonl") for line in path.read_text().splitlines()]


def test_the_runs_came_to_their_ends(run: Looked) -> None:
    assert set(run.codes) <= {0, 1, 3}, run.printed
    assert len(list((run.folder / "reports").glob("*/report.html"))) == 2
    assert any(event["kind"] == "effect" for event in events(run)), run.printed
    failed = [event for event in events(run) if event.get("name") == "a probe that fails with its address" and event.get("state") == "ended"]
    assert "127.0.0.1" in failed[0]["error"], "the probe whose error quotes a secret was run"
    rows = sum(path.stat().st_size for path in (run.folder / "reports").glob("*/load/w0/rows-*.bin"))
    assert rows > 1000, "requests with secrets were sent"


def forms(value: str) -> set[bytes]:
    """A secret as it might be written: plain, quoted, encoded; in base64 whatever came before it."""
    data = value.encode()
    texts = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        quote(value, safe="!#$%&'()*+,/:;=?@[]~"),
        data.hex(),
    }
    found = {text.encode() for text in texts} | {value.encode("latin-1"), value[-24:].encode()}
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + data)
        found |= {whole[4 if shift else 0 : -4], base64.urlsafe_b64encode(b"x" * shift + data)[4 if shift else 0 : -4]}
    return found


def left(run: Looked) -> list[Path]:
    """Every file that the run left, its output, and what lies beside its targets; not what the test itself put there."""
    mine = {run.folder / name for name in MINE}
    return [path for top in (run.folder, run.room) for path in top.rglob("*") if path.is_file() and path not in mine and not path.name.startswith("trace")]


@pytest.mark.parametrize("name", SECRETS)
def test_s14_and_s16_a_secret_is_in_no_byte_that_a_run_leaves_in_no_spelling(run: Looked, name: str) -> None:
    files = left(run)
    assert len(files) > 20
    wanted = forms(SECRETS[name])
    # the system under test logs the paths it is asked for: a secret in a path is known to it, and to nobody of ours
    found = [str(path) for path in files if path.name != "access.log" for form in wanted if form in path.read_bytes()]
    assert found == []


def test_s14_the_search_would_find_it(run: Looked, tmp_path: Path) -> None:
    value = SECRETS["SHOP_PASSWORD"]
    for text in (value, json.dumps({"a": value}), quote(value), base64.b64encode(f"a:{value}".encode()).decode()):
        assert any(form in text.encode() for form in forms(value)), text


def holders(run: Looked, file: str, name: str) -> set[str]:
    return {one for one in run.holders[file, name] if one.startswith("chaoslib_ext")}


def test_s14_only_who_sends_requests_holds_the_secrets_of_the_load(run: Looked) -> None:
    for name in ("SHOP_PASSWORD", "SHOP_KEY"):
        assert holders(run, "load.yaml", name) == {"chaoslib_ext.cli", "chaoslib_ext.load.child"}


def test_s14_only_who_runs_activities_holds_the_secrets_of_the_experiment(run: Looked) -> None:
    assert holders(run, "fault.yaml", "SHOP_TOKEN") == {"chaoslib_ext.cli", "chaoslib_ext.runner.method_child"}


def test_s14_no_secret_is_an_argument_of_any_process(run: Looked) -> None:
    assert len(run.argv) > 5
    assert [argv for argv in run.argv for value in SECRETS.values() if value in argv or value[-24:] in argv] == []


def test_s15_state_is_private_and_evidence_is_nobody_elses_to_write_under_any_umask(run: Looked) -> None:
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (run.folder / "state").rglob("*")} | {
        run.folder / "state": stat.S_IMODE((run.folder / "state").stat().st_mode)
    }
    assert {path: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    evidence = {path: stat.S_IMODE(path.lstat().st_mode) for path in [run.folder / "reports", *(run.folder / "reports").rglob("*")]}
    assert {path: oct(mode) for path, mode in evidence.items() if mode & 0o022} == {}


def test_s26_only_loopback_is_listened_on(run: Looked) -> None:
    loopback = {"0100007F", "00000000000000000000000001000000"}
    assert set(run.listeners) <= loopback


def addresses(run: Looked) -> set[str]:
    return {found for line in run.trace for found in re.findall(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', line) for found in found if found}


def test_s32_nothing_is_sent_anywhere_but_to_the_targets(run: Looked) -> None:
    assert {one for one in addresses(run) if not one.startswith("127.") and one != "::1"} == set()
    assert addresses(run), "the trace holds the connections of the load"


def test_s10_nothing_is_written_outside_of_the_run_and_the_state_directory(run: Looked) -> None:
    opened = {found for line in run.trace for found in re.findall(r'openat\(AT_FDCWD, "([^"]+)", [A-Z_|]*(?:O_WRONLY|O_RDWR|O_CREAT)[^)]*\) = [0-9]', line)}
    allowed = (str(run.folder / "state"), str(run.folder / "reports"), str(run.room), "/dev/", "/proc/self/")
    assert any(path.startswith(str(run.folder / "state")) for path in opened), "the trace holds what was opened"
    assert {path for path in opened if path.startswith("/") and not path.startswith(allowed)} == set()


def test_s29_no_name_reaches_the_console_or_a_page_with_its_control_codes(run: Looked) -> None:
    assert "owned" in run.printed
    assert not ANSI.search(run.printed)
    for path in (run.folder / "reports").glob("*/*"):
        if path.suffix in (".html", ".md", ".xml", ".txt"):
            assert not ANSI.search(path.read_text(encoding="utf-8")), path


def test_s10_the_title_names_no_folder_outside(run: Looked) -> None:
    names = sorted(path.name for path in (run.folder / "reports").iterdir())
    assert names == sorted(path.name for path in (run.folder / "state/runs").iterdir()) and len(names) == 2
    there = sorted(path.name for path in run.folder.iterdir() if not path.name.startswith("trace"))
    assert there == sorted([*MINE, "err", "out", "reports", "state"])
