"""What a fault does to a replicated store, part by part: to a node's processes, to a replication link, to the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process import disk, tracer
from chaoslib_ext.process.client import control, uid_alive
from chaoslib_ext.process.parts import CALL_S, Part, ask, changed, fence, record, roster_of, told
from chaoslib_ext.process.store import freeze_node, frozen, kill_node


def store_part(target: dict[str, Any], how: str, owner: str, marker: str) -> Part:
    """The part for one target of a store, as `parts` makes them."""
    if target["kind"] == "store-link":
        return _take_link(target, owner, marker)
    if how in ("full", "sluggish"):
        return (_fill if how == "full" else _slow_down)(target, owner, marker)
    make = {"silent": _freeze, "freeze": _freeze, "switchover": _switch_over}.get(how, _kill)
    return make(target, marker)


def _check_link(target: dict[str, Any]) -> None:
    link = (roster_of(target).get("store") or {}).get("links", {}).get(target["zone"])
    if link is None or link["uid"] != target["uid"]:
        raise changed(target, "the link was restarted")


def _check_node(target: dict[str, Any]) -> None:
    nodes = (roster_of(target).get("store") or {}).get("nodes", [])
    found = next((one for one in nodes if one["name"] == target["name"]), None)
    if found is None or found["uid"] != target["uid"] or not uid_alive(target["uid"]):
        raise changed(target, "it is not there any more" if found is None else f"it is {found['uid']}, {found['role']} now")
    if target["data"].get("primary") and found["role"] != "primary":
        raise changed(target, f"it is a {found['role']} now")


def _take_link(target: dict[str, Any], owner: str, marker: str) -> Part:
    delay_ms = target["data"].get("delay_ms")
    wanted = {"mode": "swallow"} if delay_ms is None else {"mode": "delay", "delay_ms": delay_ms}

    def take() -> None:
        status = ask(target, {"op": "status"})
        if status.get("owner") is not None or status.get("mode") != "pass":
            raise FaultFailed(f"{target['name']}: it is set to {status.get('mode')} by {status.get('owner') or 'nobody'} already; it was left as it is")
        ask(target, {"op": "set", **wanted, "owner": owner, **fence(target)})

    ours = {"owner": owner, "zone": target["zone"], "control": target["data"]["control"], "keeper": target["data"]["keeper"], "marker": marker}
    prior = {"mode": "pass", "owner": None}
    return Part("process.open_link", record(target), ours, prior, "held", lambda: _check_link(target), take)


def _freeze(target: dict[str, Any], marker: str) -> Part:
    folder = target["data"]["folder"]

    def freeze() -> None:
        if frozen(folder):
            raise FaultFailed(f"{target['name']}: somebody else has stopped processes of this node already; it was left as it is")
        if not uid_alive(target["uid"]):
            raise changed(target, "it has ended")
        if not freeze_node(target["uid"], folder):
            raise OSError("not every process of the node was stopped")

    ours = {"marker": marker, "folder": folder, "node": target["name"], "controller": target["data"]["controller"], "keeper": target["data"]["keeper"]}
    return Part("process.thaw_store", record(target), ours, {"stopped": False}, "held", lambda: _check_node(target), freeze)


def _fill(target: dict[str, Any], owner: str, marker: str) -> Part:
    name, data = f"ballast-{Path(marker).stem}", target["data"]
    ours = {"owner": owner, "marker": marker, "disk": data["disk"], "file": name, "folder": data["folder"], "health": data["health"]}
    ours |= {"node": target["name"], "controller": data["controller"], "keeper": data["keeper"]}
    return Part("process.empty_disk", record(target), ours, {"file": None}, "held", lambda: _check_node(target), lambda: disk.fill(data["disk"], name, owner))


def _slow_down(target: dict[str, Any], owner: str, marker: str) -> Part:
    folder, data = target["data"]["folder"], target["data"]

    def slow_down() -> None:
        if theirs := tracer.followed(folder):
            who = ", ".join(map(str, sorted(set(theirs.values()))))
            raise FaultFailed(f"{target['name']}: somebody else follows processes of this node already (process {who}); it was left as it is")
        until_ns = boot_ns() + round(data["limit_s"] * NS)
        tracer.start({"owner": owner, "folder": folder, "delay_us": data["delay_us"], "until_ns": until_ns})

    ours = {"owner": owner, "marker": marker, "folder": folder}
    return Part("process.end_tracer", record(target), ours, {"traced": False}, "held", lambda: _check_node(target), slow_down)


def _kill(target: dict[str, Any], _marker: str) -> Part:
    def take_along() -> None:
        """A machine that dies takes along what it had put on the wire."""
        control(target["data"]["control"], {"op": "drop"}, CALL_S)

    def kill() -> None:
        if not uid_alive(target["uid"]):
            raise changed(target, "it has ended")
        primary = bool(target["data"].get("primary"))
        if primary:
            take_along()  # also before it dies: on a busy machine what is on the wire would arrive while its processes are ended one by one
        if not kill_node(target["data"]["folder"], take_along if primary else None):
            raise OSError("not every process of the node has ended")

    return Part("process.kill", record(target), {}, {}, "instant", lambda: _check_node(target), kill)


def _switch_over(target: dict[str, Any], _marker: str) -> Part:
    def switch_over() -> None:
        until_ns = boot_ns() + round(CALL_S * NS)  # nothing to undo, so nobody fences it: it must not land later
        told(target, target["data"]["controller"], {"op": "switchover", "until_ns": until_ns})

    return Part("process.switchover", record(target), {}, {}, "instant", lambda: _check_node(target), switch_over)
