"""On a real sandbox, with everything of a run gone at once: the target takes the faults back by itself when the fuse is over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from undo_rig import Supervisor, activity, until

from chaoslib_ext import fuses, locks, sandbox
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import faults_there
from chaoslib_ext.process.client import control, process_state, read_roster
from chaoslib_ext.process.store import frozen

pytestmark = pytest.mark.slow
SHORT = {"duration": "1s", "timeout_s": 3.0}
FAULTS = {
    "lose": ("lose_zone", {"zone": "b", **SHORT, "service": "shop"}),
    "slow": ("delay_traffic", {"service": "shop", "delay": "200ms", **SHORT, "zone": "c"}),
    "cut": ("cut_replication", {"zone": "c", **SHORT}),
    "freeze": ("lose_primary", {"how": "freeze", **SHORT}),
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.SandboxInfo]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSX_SANDBOX", str(tmp_path_factory.mktemp("b")))
        yield sandbox.up("fuses", ("store", "mesh"), os.getpid(), timeout_s=120.0)
        sandbox.down("fuses")


def environment_of(box: sandbox.SandboxInfo) -> Environment:
    return Environment.from_json(sandbox.environment_json(box))


def locked_by_the_dead(environment: Environment, run: str) -> list[dict[str, object]]:
    """The locks of an environment, taken by a process that has ended since."""
    code = (
        "import json, sys; from chaoslib_ext import locks; from chaoslib_ext.environment import Environment\n"
        "print(json.dumps(locks.to_json(locks.take(Environment.from_json(json.loads(sys.argv[1])), sys.argv[2]))))"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(environment.to_json()), run], capture_output=True, text=True, timeout=120, check=True)
    return list(json.loads(done.stdout))


def left(box: sandbox.SandboxInfo) -> list[str]:
    """Everything in the sandbox that still carries a mark of a fault, or is stopped."""
    roster = read_roster(box.roster)
    store = roster["store"]
    found = []
    for link in (*roster["links"].values(), *store["links"].values()):
        status = control(link["control"], {"op": "status"}, 5.0)
        found += [f"link {status['zone']}: {status}"] if status["owner"] or status["mode"] != "pass" else []
    zones = control(roster["keeper"]["control"], {"op": "status"}, 5.0)["zones"]
    found += [f"zone {zone}: {held['held_by']}" for zone, held in zones.items() if held["held_by"]]
    for door in (*(one["sidecar"] for one in roster["replicas"]), roster["ingress"]):
        envoy = Envoy(door["admin"], door["config"])
        found += [f"{door['config']}: {owner}" for owner in {*faults_there(client.read(envoy), ["catalog", "shop"]), *client.owners_in_force(envoy)}]
    found += [f"{one['name']} is stopped" for one in roster["replicas"] if process_state(one["pid"]) == "T"]
    found += [f"{node['name']} is frozen" for node in store["nodes"] if frozen(node["folder"])]
    return found + [str(path) for name in ("markers", "fuses") for path in (Path(box.dir) / name).iterdir()]


def test_with_supervisor_healer_and_state_directory_gone_the_sandbox_heals_itself(
    box: sandbox.SandboxInfo, supervise: Callable[..., Supervisor], state_folder: Path
) -> None:
    environment = environment_of(box)
    until(lambda: not left(box), "an untouched sandbox")
    held = locked_by_the_dead(environment, "run-one")
    run = Supervisor(environment, *(activity(name, func, **arguments) for name, (func, arguments) in FAULTS.items()), run="run-one", locks=held)
    try:
        healer = run.healer("plain")
        until(healer.alive, "a healer")
        healer.process.kill()  # before it could help: what follows has nobody but the target
        healer.process.wait()
        for name, (func, arguments) in FAULTS.items():
            child = run.inject(func, name, **arguments)
            until(lambda name=name: any(rec in run.recs(name) for rec in ("APPLIED", "REJECTED")), f"{name} injected")
            child.kill()
            child.wait()
        frames = run.ledger.read().frames
        fired_ns = {frame.fault: frame.expires_ns for frame in frames if frame.rec == "FUSE"}
        assert fired_ns.keys() == FAULTS.keys(), "every held fault has a fuse"
        assert all(next(f.rec for f in frames if f.fault == name) == "FUSE" for name in FAULTS), "and it comes first"
        assert all(boot_ns() < at_ns <= boot_ns() + round((4 + 5 + fuses.GRACE_S) * NS) for at_ns in fired_ns.values())
        assert len(list((Path(box.dir) / "fuses").iterdir())) == len(FAULTS)
        run.die()
        shutil.rmtree(state_folder)
        assert left(box)
        until(lambda: boot_ns() > max(fired_ns.values()), "the expiry of the last fuse", 120.0)
        until(lambda: not left(box), f"a sandbox that healed itself; left: {left(box)}", 120.0)
    finally:
        run.close()
    until(lambda: all(one["ready"] for one in read_roster(box.roster)["replicas"]), "all replicas in service")


def test_the_lock_of_a_dead_run_is_freed_by_the_sandboxes_name_and_the_next_run_begins(box: sandbox.SandboxInfo, tmp_path: Path) -> None:
    (_, _, holder), *_ = locks.look(environment_of(box))
    if holder.run is None:
        locked_by_the_dead(environment_of(box), "run-one")  # else the one of the test before is still there
    with pytest.raises(Refused, match=r"run run-one .*, dead\) is neither sealed nor recovered; run: chaosx recover --env sandbox@fuses"):
        locks.take(environment_of(box), "run-two")
    argv = [sys.executable, "-P", "-m", "chaoslib_ext.cli", "recover", "--env", "sandbox@fuses", "--json"]
    done = subprocess.run(argv, env={**os.environ, "CHAOSX_STATE": str(tmp_path / "elsewhere")}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)[-1]["notes"] == ["freed: the lock that run run-one had"]
    locks.give_back(locks.take(environment_of(box), "run-two"))
