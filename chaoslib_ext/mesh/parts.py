"""What a fault does to Envoys, part by part: each with its undo record, its last check and its one write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import Target
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import Document, Traffic, faults_there, stanza, table_of, with_fault, without_fault
from chaoslib_ext.process.client import read_roster, uid, uid_alive
from chaoslib_ext.process.parts import Part

HANDLER = "mesh.strip_fault"


def parts(row: dict[str, Any], owner: str, marker: Callable[[Path], Path]) -> list[Part]:
    """
    The parts of a plan row, one for each Envoy.

    `owner` is the mark on the routes; `marker` gives the path of the marker file for the folder of a roster. The first
    part checks all Envoys, so that nothing is touched where one of them has somebody else's fault.
    """
    targets, traffic = list(row["targets"]), Traffic(**row["traffic"])
    made = []
    for at, target in enumerate(targets):
        what = stanza(traffic, target["data"]["spared"])
        checked = targets if at == 0 else [target]
        made.append(_part(target, owner, str(marker(Path(target["data"]["roster"]).parent)), what, partial(_check, checked, owner)))
    return made


def _part(target: dict[str, Any], owner: str, marker: str, what: dict[str, Any], check: Callable[[], None]) -> Part:
    data = target["data"]
    record = Target(target["platform"], target["identity"], target["kind"], target["ns"], target["name"], target["uid"])
    ours = {"owner": owner, "marker": marker, "keeper": data["keeper"], "admin": data["admin"], "config": data["config"], "routes": data["routes"]}
    mutate = partial(inject, Envoy(data["admin"], data["config"]), data["routes"], owner, what)
    return Part(HANDLER, record, ours, {"faults": []}, "held", check, mutate)


def _check(targets: Sequence[dict[str, Any]], owner: str) -> None:
    for target in targets:
        _check_incarnation(target)
        data = target["data"]
        try:
            document = client.read(Envoy(data["admin"], data["config"]))
        except OSError as error:
            raise _changed(target, f"its routes cannot be read ({error})") from error
        others = [one for one in faults_there(document, data["routes"]) if one != owner]
        if others:
            raise FaultFailed(f"{target['name']}: a fault of {', '.join(others)} is on {', '.join(data['routes'])} already; it was left as it is")


def _check_incarnation(target: dict[str, Any]) -> None:
    try:
        roster = read_roster(target["data"]["roster"])
    except OSError as error:
        raise _changed(target, f"its roster is gone ({error})") from error
    if roster["identity"] != target["identity"]:
        raise _changed(target, f"the target is {roster['identity']} now, not {target['identity']}")
    there = [one["sidecar"] for one in roster["replicas"] if one.get("sidecar")] + [roster.get("ingress") or {}]
    found = next((one for one in there if one.get("admin") == target["data"]["admin"]), None)
    if found is None or uid(found["pid"], found["start_ticks"]) != target["uid"] or not uid_alive(target["uid"]):
        raise _changed(target, "this Envoy was restarted" if found else "it is not there any more")


def _changed(target: dict[str, Any], what: str) -> FaultFailed:
    return FaultFailed(f"TARGETS_CHANGED: {target['name']}: {what}; planned was {target['uid']}; plan again")


def inject(envoy: Envoy, routes: Sequence[str], owner: str, what: dict[str, Any]) -> None:
    """
    Puts a fault into routes of one Envoy, and returns when the Envoy uses it.

    Raises FaultFailed when it was definitely not done (the Envoy does not answer, somebody else's fault is there, the
    Envoy rejects what the file then holds: our part is taken out of it again), and OSError when nobody knows.
    """
    try:
        table = str(table_of(client.read(envoy))["name"])
        rejected = client.running(envoy, table).rejected
        document, _ = client.edit(envoy, lambda found: with_fault(found, routes, owner, what))
    except OSError as error:
        raise FaultFailed(f"{envoy.config}: {error}; nothing was injected") from error
    try:
        taken = client.acknowledged(envoy, document, rejected)
        if not taken:
            _put_back(envoy, owner)
    except FaultFailed as error:  # the fault is in the file: nothing that is said now is a refusal
        raise OSError(str(error)) from error
    if not taken:
        raise FaultFailed(f"{envoy.admin}: this Envoy rejected the routes with the fault and keeps the old ones; the fault was taken out of the file again")


def _put_back(envoy: Envoy, owner: str) -> None:
    """After a rejection. Raises OSError while the Envoy has the fault all the same: then it is for the healer."""

    def strip(found: Document) -> Document | None:
        return without_fault(found, owner)

    client.edit(envoy, strip)
    if owner in client.owners_in_force(envoy):
        raise OSError(f"{envoy.admin}: rejected the routes with the fault, and has it all the same")
