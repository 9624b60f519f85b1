"""The life of a sandbox from outside: bring it up, find it, look at it, take it down without a trace."""

from __future__ import annotations

import errno
import importlib.util
import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import FaultFailed, Refused, UsageError
from chaoslib_ext.process.client import control, signal_exact, start_ticks
from chaoslib_ext.sandbox import folder as place
from chaoslib_ext.sandbox.envoy import CLUSTER, counters
from chaoslib_ext.sandbox.folder import SandboxInfo
from chaoslib_ext.sandbox.launch import module_command, spawn
from chaoslib_ext.sandbox.weaknesses import Weaknesses, parse_weaknesses

REPLICAS = 6
_POLL_S = 0.03
_DOWN_S = 4.0  # the keeper asks, waits 1 s, then kills


def up(name: str, switches: Sequence[str] = (), owner_pid: int | None = None, timeout_s: float = 60.0) -> SandboxInfo:
    """
    A new sandbox whose six replicas are healthy and whose proxy answers.

    With `owner_pid` it ends when that process does; without, it lives until `down`. Raises UsageError when the
    name or a switch is wrong or the name is taken, Refused (PREFLIGHT_FAILED) when it does not come up in time;
    then nothing is left of it.
    """
    weak = parse_weaknesses(switches)
    if importlib.util.find_spec("envoy") is None:
        raise Refused("PREFLIGHT_FAILED", "the sandbox needs Envoy: pip install 'chaoslib_ext[sandbox]'")
    if weak.no_timeout and weak.short_timeout:
        raise UsageError("sandbox switches: got no_timeout and short_timeout; a try has a limit or none")
    _refuse_store(weak)
    folder = place.folder_of(name)
    owner = None if owner_pid is None else _process(owner_pid)
    place.remove_stale()
    _create(folder, {"name": name, "switches": list(weak.names()), "owner": owner})
    try:
        _start_keeper(folder)
        return _await_health(folder, time.monotonic() + timeout_s, timeout_s)
    except BaseException:  # an interrupt too must leave nothing behind
        down(name)
        raise


def _refuse_store(weak: Weaknesses) -> None:
    """Raises UsageError for switches that contradict each other, Refused where the store cannot run on this machine."""
    if not weak.stored:
        return
    if weak.one_zone:
        raise UsageError("sandbox switches: got one_zone with a store, which has a node in each of three zones; leave one of them out")
    if weak.store_sync and weak.store_async_50ms:
        raise UsageError("sandbox switches: got store_sync and store_async_50ms; a store is one or the other")
    from chaoslib_ext.sandbox.store_launch import refusal  # a program too, which must not be loaded already when it is run

    why = refusal()
    if not why and weak.store_small_disk:
        from chaoslib_ext.sandbox.store_disk import refusal as disk_refusal  # a program likewise

        why = disk_refusal()
    if why:
        raise Refused("PREFLIGHT_FAILED", why)


def _process(pid: int) -> dict[str, int]:
    ticks = start_ticks(pid)
    if ticks is None:
        raise UsageError(f"owner: there is no process {pid}")
    return {"pid": pid, "start_ticks": ticks}


def _create(folder: Path, record: dict[str, Any]) -> None:
    """Makes the folder with what the keeper starts from; a folder of ours is never without its sandbox.json."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = folder.with_name(f".new-{secrets.token_hex(4)}")
    fresh.mkdir(mode=0o700)
    own = {"identity": secrets.token_hex(16), "starter": _process(os.getpid()), "keeper": None}
    place.write_json(fresh / "sandbox.json", {**record, **own, "sockets": str(place.sockets_folder(folder))})
    for name in ("markers", "fuses", "logs"):
        (fresh / name).mkdir(mode=0o700)
    try:
        fresh.rename(folder)
    except OSError as error:
        place.erase(fresh)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise UsageError(f"sandbox {folder.name}: already up; use it, or end it with `chaosx sandbox down {folder.name}`") from None


def _start_keeper(folder: Path) -> None:
    starter = spawn(module_command("chaoslib_ext.sandbox.keeper", str(folder)), folder / "logs" / "keeper.err", own_session=True)
    if starter.wait() != 0:
        raise Refused("PREFLIGHT_FAILED", f"the sandbox's keeper did not start: {_last_words(folder)}")


def _await_health(folder: Path, deadline_s: float, timeout_s: float) -> SandboxInfo:
    while time.monotonic() < deadline_s:
        found = place.info(folder)
        if found is not None and _healthy(found):
            return found
        keeper = place.read_json(folder / "sandbox.json").get("keeper")
        if keeper and not place.runs(keeper):
            break
        time.sleep(_POLL_S)
    raise Refused("PREFLIGHT_FAILED", f"sandbox {folder.name}: not healthy within {timeout_s:g} s: {_last_words(folder)}")


def _healthy(found: SandboxInfo) -> bool:
    """Whether the proxy counts all replicas as healthy and a request through it is answered by one."""
    try:
        roster = place.read_json(Path(found.roster))
        if "store" in roster and not (roster["store"]["ready"] and all(map(_reaches_store, roster["replicas"]))):
            return False
        if counters(found).get(f"cluster.{CLUSTER}.membership_healthy") != REPLICAS:
            return False
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{found.url}/catalog/1", timeout=2.0) as answer:
            return answer.headers.get("X-Replica") is not None
    except urllib.error.HTTPError as error:
        error.close()
        return error.headers.get("X-Replica") is not None  # a planted `broken` answers too
    except (OSError, ValueError):
        return False


def _reaches_store(replica: dict[str, Any]) -> bool:
    """Whether a replica can read from the store; it loads its client library only once the store is there."""
    host, port = replica["address"]
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{host}:{port}/orders?prefix=-&node=store-a", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):  # an HTTPError is an OSError
        return False


def _last_words(folder: Path) -> str:
    """The last line that a process of the sandbox wrote, newest file last; empty when all were silent."""
    logs = sorted((folder / "logs").glob("*.err"), key=lambda path: path.stat().st_mtime)
    lines = [line for log in logs for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "its processes wrote nothing"


def down(name: str) -> bool:
    """
    Ends a sandbox and removes its processes, sockets and folder; False when there was none.

    A keeper that does not end within 4 s is killed, and the kernel kills its children.
    """
    folder = place.folder_of(name)
    record = place.record_of(folder)
    if not record:
        place.remove_stale()
        return False
    keeper = record.get("keeper")
    if keeper and place.runs(keeper):
        _ask_to_end(record)
        if not _until(lambda: not place.runs(keeper), _DOWN_S):
            signal_exact(keeper["pid"], keeper["start_ticks"], signal.SIGKILL)
            _until(lambda: not place.runs(keeper), _DOWN_S)
    if place.record_of(folder).get("identity") == record["identity"]:  # else a new one has its name already
        place.remove(folder)
    place.remove_stale()
    return True


def _ask_to_end(record: dict[str, Any]) -> None:
    try:
        control(Path(record["sockets"]) / "keeper.sock", {"op": "down"}, timeout_s=1.0)
    except (OSError, FaultFailed):
        keeper = record["keeper"]  # its socket is gone or deaf; the signal means the same
        signal_exact(keeper["pid"], keeper["start_ticks"], signal.SIGTERM)


def _until(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True


def find(name: str) -> SandboxInfo | None:
    """The running sandbox with this name, or None."""
    return place.info(place.folder_of(name))


def status() -> list[dict[str, Any]]:
    """
    Every running sandbox as a dict: name, url, identity, switches, zones, owner, ready, of, held, links, dir.

    `held` and `links` say which fault holds a zone and how its link is set. Stale sandboxes are removed first.
    """
    place.remove_stale()
    return [_look(found) for found in map(place.info, place.sandbox_folders()) if found is not None]


def _look(found: SandboxInfo) -> dict[str, Any]:
    folder = Path(found.dir)
    roster = place.read_json(folder / "roster.json")
    replicas = roster.get("replicas", [])
    links = {zone: _asked(link["control"]) for zone, link in roster.get("links", {}).items()}
    zones = _asked(roster["keeper"]["control"]).get("zones", {}) if roster else {}
    return {
        "name": found.name,
        "url": found.url,
        "identity": found.identity,
        "switches": list(found.switches),
        "zones": list(found.zones),
        "owner": place.read_json(folder / "sandbox.json").get("owner"),
        "ready": sum(bool(replica["ready"]) for replica in replicas),
        "of": len(replicas),
        "held": {zone: state["held_by"] for zone, state in zones.items() if state["held_by"]},
        "links": {zone: {"mode": link.get("mode"), "owner": link.get("owner")} for zone, link in links.items()},
        "dir": found.dir,
    }


def _asked(socket_path: str) -> dict[str, Any]:
    try:
        return control(socket_path, {"op": "status"}, timeout_s=1.0)
    except (OSError, FaultFailed):
        return {}


def environment_json(info: SandboxInfo) -> dict[str, Any]:
    """The built-in environment `sandbox` for this very sandbox, as `Environment.to_json` gives it."""
    from chaoslib_ext.environment import Environment, Service

    return Environment(
        name="sandbox",
        identity={"sandbox": info.identity},
        services={"shop": Service("shop", processes={"roster": info.roster}, url=info.url)},
        zones={zone: zone for zone in info.zones},
        hosts=["127.0.0.1"],
        source=f"sandbox@{info.name}",
    ).to_json()
