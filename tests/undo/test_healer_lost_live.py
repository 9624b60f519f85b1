"""Whole runs whose healer is killed where another one is hard to have: a state directory that takes nothing any more, a healer that does not start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from undo_rig import until

import chaoslib_ext
from chaoslib_ext import sandbox, state
from chaoslib_ext.process.client import control, process_state, read_roster, signal_exact

pytestmark = pytest.mark.slow
LIMIT_S = 240.0  # a whole run on a busy machine; nothing is asserted about how long it really takes
EXPERIMENT = """
title: no healer
method:
- type: action
  name: silence zone b
  provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: 600s, timeout_s: 60.0}}
rollbacks:
- {type: probe, name: something to do after the heal, provider: {type: http, url: "URL/healthz"}}
extensions:
- {name: chaoslib_ext, version: 1}
"""


SANDBOX = "healers"  # the name of the box


def left_in(box: sandbox.SandboxInfo) -> list[str]:
    """What still carries a mark of a fault."""
    roster = read_roster(box.roster)
    found = [f"link {zone}" for zone, link in roster["links"].items() if control(link["control"], {"op": "status"}, 10.0)["owner"] is not None]
    found += [replica["name"] for replica in roster["replicas"] if replica["pid"] and process_state(replica["pid"]) == "T"]
    return found + [path.name for folder in ("markers", "fuses") for path in (Path(box.dir) / folder).glob("*")]


class Run:
    """A `chaosx run` whose heal gives up after two seconds, with its fault in force."""

    def __init__(self, box: sandbox.SandboxInfo, folder: Path, **variables: str) -> None:
        told = sandbox.environment_json(box)
        shop = {"processes": told["services"]["shop"]["processes"], "url": told["services"]["shop"]["url"]}
        file = {"apiVersion": "chaosx/v1", "kind": "Environment", "name": "room", "class": "local", "identity": told["identity"], "hosts": told["hosts"]}
        file |= {"services": {"shop": shop}, "zones": told["zones"], "retry": {"base": "0.1s", "deadline": "2s"}}
        (folder / "room.yaml").write_text(yaml.safe_dump(file))
        (folder / "x.yaml").write_text(EXPERIMENT.replace("URL", shop["url"]))
        self.folder, self.environment = folder, {**os.environ, "NO_COLOR": "1", **variables}
        with (folder / "err").open("wb") as err:
            argv = [*CHAOSX, "run", "x.yaml", "--env", "./room.yaml", "--json"]
            self.process = subprocess.Popen(argv, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
        until(lambda: self._seen() or self.process.poll() is not None, "the effect", LIMIT_S)
        assert self.process.poll() is None, self.err()

    def _seen(self) -> bool:
        return any('"kind":"effect"' in path.read_text() for path in (self.folder / "reports").glob("*/events.jsonl"))

    def err(self) -> str:
        return (self.folder / "err").read_text()

    def kill_healer(self) -> None:
        healer = state.read_json(self.state() / state.CHILDREN)["healer"]
        assert signal_exact(healer["pid"], healer["start_ticks"], signal.SIGKILL)

    def state(self) -> Path:
        (folder,) = state.all_runs()
        return folder

    def told(self) -> tuple[int, dict[str, Any]]:
        out, _ = self.process.communicate(timeout=LIMIT_S)
        assert out.strip(), self.err()
        return self.process.returncode, json.loads(out)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=LIMIT_S)


CHAOSX = [sys.executable, "-P", "-m", "chaoslib_ext.cli"]


@pytest.fixture
def start(box: sandbox.SandboxInfo, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    made: list[Run] = []

    def one(**variables: str) -> Run:
        made.append(Run(box, tmp_path, **variables))
        return made[-1]

    yield one
    for run in made:
        run.close()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory on a file system of its own, of 3 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3072k,nr_inodes=300", "chaosx-test", str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs the right to mount a file system")
    monkeypatch.setenv("CHAOSX_STATE", str(place / "state"))
    yield place
    while place.is_mount():
        subprocess.run(["umount", "-l", str(place)], check=True)


def read_only(disk: Path) -> None:
    """Root does not ask for permissions: only a mount can be read by it and not written to."""
    subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)


def full(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (4096, 512, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def test_on_a_read_only_state_directory_another_healer_takes_everything_back_and_the_run_ends_dirty(
    box: sandbox.SandboxInfo, disk: Path, start: Callable[..., Run]
) -> None:
    """Nothing of it can be written down, so it does not count as proven; the command that is told proves it."""
    run = start()
    name = run.state().name
    read_only(disk)
    run.kill_healer()
    code, result = run.told()
    assert (code, result["verdict"]) == (6, "DIRTY"), run.err()
    assert not [one for one in left_in(box) if one.startswith(("link", "shop"))], "taken back all the same"
    told = json.loads((Path(result["directory"]) / "result.json").read_text())
    assert {item["command"] for item in told["clean"]["pending"]} == {f"chaosx recover --run {name}"}
    subprocess.run(["umount", "-l", str(disk)], check=True)
    recovered = subprocess.run([*CHAOSX, "recover", "--run", name], env=run.environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert left_in(box) == [] and (run.state() / state.CLOSED).exists()


def test_on_a_full_disk_another_healer_takes_everything_back_and_the_run_is_clean(box: sandbox.SandboxInfo, disk: Path, start: Callable[..., Run]) -> None:
    """The space of the ledger was reserved with the run; that of the new healer's own record was not."""
    run = start()
    full(disk)
    run.kill_healer()
    code, result = run.told()
    assert (code, result["reasons"]) == (4, ["HEALER_LOST"]), run.err()
    assert left_in(box) == [] and (run.state() / state.CLOSED).exists()


def test_where_no_healer_can_be_had_any_more_the_supervisor_takes_everything_back(box: sandbox.SandboxInfo, start: Callable[..., Run], tmp_path: Path) -> None:
    """From a copy of the package whose healer ends at once, from the moment on when the first one is killed."""
    home = tmp_path / "installed"
    shutil.copytree(Path(chaoslib_ext.__file__).parent, home / "chaoslib_ext", ignore=shutil.ignore_patterns("__pycache__"))
    run = start(PYTHONPATH=str(home), PYTHONDONTWRITEBYTECODE="1")
    (home / "chaoslib_ext" / "healer.py").write_text("raise SystemExit(1)\n")
    run.kill_healer()
    code, result = run.told()
    assert (code, result["reasons"]) == (4, ["HEALER_LOST"]), run.err()
    assert "there is no healer any more: 4 have died" in (Path(result["directory"]) / "events.jsonl").read_text()
    assert left_in(box) == [] and (run.state() / state.CLOSED).exists()
