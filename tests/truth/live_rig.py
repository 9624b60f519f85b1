"""
Runs a live situation of the catalogue: `chaosx run` as a user starts it, on a real sandbox, with what the file plants beside it.

What is planted happens when a text stands on the run's timeline: a signal to one of the run's own processes, a stranger's hand on a link,
a full report disk. The truth of an outage is read from Envoy's own access log, which nothing of ours wrote.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from situations import Situation

from chaoslib_ext import sandbox
from chaoslib_ext.process.client import control, process_state, read_roster, signal_exact
from chaoslib_ext.sandbox.store_launch import binaries

ROOT = Path(__file__).parents[2]
RUN_S = 240.0
MOODS = {"GENERATOR_SATURATED", "LOAD_NOT_DELIVERED", "RTO_STRADDLES", "TOO_FEW_SAMPLES", "CLOCK_UNSOUND", "BASELINE_UNHEALTHY", "PREFLIGHT_FAILED"}


BLOCK = {
    "name": "chaoslib_ext",
    "version": 1,
    "slos": [str(ROOT / "experiments/sandbox/slos/shop.yaml")],
    "load": str(ROOT / "loadprofiles/shop.yaml"),
    "windows": {"warmup": "4s", "baseline": "5s", "recovery": "12s", "stable": "2s"},
    "objectives": [{"slo": "browse-availability", "window": "fault", "target": "80%"}],
}


def document(situation: Situation) -> dict[str, Any]:
    """
    The experiment of a live situation: `method` holds faults of ours in short (`{name, func, …arguments}`) or whole activities, `block` what
    differs from the usual block (None: no block), `document` whatever else stands in the file.
    """
    told = situation.live
    method = [one if "type" in one else _ours(dict(one)) for one in told.get("method", [])]
    block = [{**BLOCK, **told.get("block", {})}] if told.get("block", {}) is not None else []
    return {"title": situation.name, "method": method, **({"extensions": block} if block else {}), **told.get("document", {})}


def _ours(told: dict[str, Any]) -> dict[str, Any]:
    name, func = told.pop("name"), told.pop("func")
    return {"type": "action", "name": name, "provider": {"type": "python", "module": "chaoslib_ext.faults", "func": func, "arguments": told}}


def until(condition: Any, seconds: float, what: str) -> None:
    """Waits for a condition, or fails saying which."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        threading.Event().wait(0.02)


@dataclass
class LiveRun:
    """One `chaosx run` in a folder and with a state directory of its own."""

    situation: Situation
    room: sandbox.SandboxInfo
    folder: Path
    process: subprocess.Popen[str] = field(init=False)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        told = self.situation.live
        self.folder.mkdir(parents=True)
        (self.folder / "x.yaml").write_text(
            yaml.safe_dump(document(self.situation)).replace("URL", self.room.url).replace("ROOT/", f"{ROOT}/"), encoding="utf-8"
        )
        for name, content in told.get("files", {}).items():
            (self.folder / name).write_text(content, encoding="utf-8")
        argv = [sys.executable, "-m", "chaoslib_ext.cli", "run", "x.yaml", "--env", f"sandbox@{self.room.name}", "--json", "--seed", "7", *told.get("args", [])]
        self.environment = {**os.environ, "CHAOSX_STATE": str(self.folder / "state"), "NO_COLOR": "1"}
        talk = (self.folder / "talk").open("w")
        self.process = subprocess.Popen(argv, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=talk, text=True)
        talk.close()

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Plants what the situation says, waits for the end, and gives the exit code and the result."""
        try:
            for disturbance in self.situation.live.get("disturb", []):
                self._await(disturbance["when"])
                getattr(self, f"_{disturbance['do']}")(**{key: value for key, value in disturbance.items() if key not in ("when", "do")})
            out, _ = self.process.communicate(timeout=RUN_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate(timeout=30)
        return self.process.returncode, json.loads(out) if out.strip() else {}

    def recover(self) -> None:
        """What a person does after DIRTY; raises unless that cleans up."""
        done = self._chaosx("recover", "--all", "--json")
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)

    def left(self) -> list[dict[str, Any]]:
        """What `recover --env` would find in the target: markers, fuses, locks; of a run that was cleaned up, nothing."""
        done = self._chaosx("recover", "--env", f"sandbox@{self.room.name}", "--dry-run", "--json")
        assert done.returncode in (0, 6), (done.returncode, done.stdout, done.stderr)
        return list(json.loads(done.stdout))

    def _chaosx(self, *argv: str) -> subprocess.CompletedProcess[str]:
        argv = (sys.executable, "-m", "chaoslib_ext.cli", *argv)
        return subprocess.run(argv, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_S, check=False)

    def talk(self) -> str:
        """What the run said on standard error."""
        return (self.folder / "talk").read_text(encoding="utf-8")

    def _await(self, text: str) -> None:
        def there() -> bool:
            assert self.process.poll() is None, f"the run ended before {text!r}: {self.talk()}"
            return any(text in path.read_text(encoding="utf-8") for path in (self.folder / "reports").glob("*/events.jsonl"))

        until(there, 90, f"{text!r} on the timeline")

    def _identity(self, who: str) -> tuple[int, int]:
        [folder] = [path for path in (self.folder / "state/runs").iterdir() if not path.name.startswith(".")]
        if who == "supervisor":
            owner = json.loads((folder / "run.json").read_text())["supervisor"]
            return owner["pid"], owner["start_ticks"]
        child = json.loads((folder / "children.json").read_text())[who]
        return child["pid"], child["start_ticks"]

    # what can be planted ------------------------------------------------------------------------------------------

    def _signal(self, to: str, name: str, for_s: float = 0.0) -> None:
        """A signal to a process of the run; with `for_s` it is continued after that time."""
        pid, ticks = self._identity(to)
        assert signal_exact(pid, ticks, signal.Signals[f"SIG{name}"]), f"the {to} process had ended before it could be sent {name}"
        if for_s:
            threading.Event().wait(for_s)
            signal_exact(pid, ticks, signal.SIGCONT)

    def _clear_link(self, zone: str) -> None:
        """A stranger takes the fault off a link."""
        link = self._link(zone)
        control(link, {"op": "clear", "owner": control(link, {"op": "status"}, 5.0)["owner"]}, 5.0)

    def _seize_link(self, zone: str) -> None:
        """A stranger puts a fault of its own on the link in place of ours."""
        self._clear_link(zone)
        control(self._link(zone), {"op": "set", "owner": "a stranger", "mode": "swallow"}, 5.0)

    def _link(self, zone: str) -> str:
        return str(read_roster(self.room.roster)["links"][zone]["control"])


def release(room: sandbox.SandboxInfo) -> None:
    """Takes what a stranger put on the links off again."""
    for link in read_roster(room.roster)["links"].values():
        if control(link["control"], {"op": "status"}, 5.0)["owner"] == "a stranger":
            control(link["control"], {"op": "clear", "owner": "a stranger"}, 5.0)


def marks(room: sandbox.SandboxInfo) -> list[str]:
    """What in the sandbox still carries a mark of a fault of ours."""
    roster = read_roster(room.roster)
    owners = {zone: control(link["control"], {"op": "status"}, 5.0)["owner"] for zone, link in roster["links"].items()}
    found = [f"link {zone}: {owner}" for zone, owner in owners.items() if owner not in (None, "a stranger")]
    return found + [f"{one['name']} is stopped" for one in roster["replicas"] if one["pid"] and process_state(one["pid"]) == "T"]


def settle(room: sandbox.SandboxInfo) -> None:
    """Makes the keeper forget earlier crashes, whose doubling back-off would hold up the next run, and waits for all replicas."""
    keeper = read_roster(room.roster)["keeper"]["control"]
    for zone in room.zones:
        control(keeper, {"op": "hold", "zone": zone, "owner": "rig"}, 5.0)
        control(keeper, {"op": "release", "zone": zone, "owner": "rig"}, 5.0)
    until(lambda: all(replica["ready"] for replica in read_roster(room.roster)["replicas"]), 60, "replicas that are all ready")


def seen_by_envoy(room: sandbox.SandboxInfo, folder: Path, path: str) -> list[tuple[float, float, bool]]:
    """Each request to `path` of a run as Envoy logged it: begin and end in seconds from the run's zero, and whether it was answered well."""
    zero_s = json.loads((folder / "run.json").read_text())["clock"]["wall_s"]
    found = []
    for line in (Path(room.dir) / "access.log").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["path"] == path and float(entry["start_s"]) >= zero_s:
            begin_s = float(entry["start_s"]) - zero_s
            found.append((begin_s, begin_s + float(entry["duration_ms"]) / 1000, int(entry["code"] or 0) == 200))
    return sorted(found)


def recovered_between(requests: list[tuple[float, float, bool]], after_s: float, stable_s: float) -> tuple[float, float] | None:
    """
    When a complete outage that began after `after_s` was over, from the requests alone: between the begin of the last bad one and the end of the
    first good one that is followed by nothing bad for `stable_s`. None without such an outage.
    """
    since = [one for one in requests if one[0] >= after_s]
    bad = [begin for begin, _, good in since if not good]
    last = next((begin for begin in bad if not any(begin < later <= begin + stable_s for later in bad)), None)
    ends = [end for begin, end, good in since if good and last is not None and begin > last]
    return (last, min(ends)) if last is not None and ends else None


def orders_in_the_primary(room: sandbox.SandboxInfo, run: str) -> set[str]:
    """The ids of a run that the table of the node that takes writes holds, asked with psql."""
    folder = binaries()
    assert folder is not None
    [node] = [node for node in read_roster(room.roster)["store"]["nodes"] if node["role"] == "primary"]
    argv = [str(folder / "psql"), node["dsn"], "-XAtc", f"select id from orders where id like '{run}:%'"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return {line for line in done.stdout.splitlines() if ":barrier:" not in line}
