"""An experiment with its load profile and an environment whose processes are in a roster file only: enough to plan, nothing to run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaoslib_ext.cli.plan_command import Planned, plan_file

ROOT = Path(__file__).parents[2]
SHOP = ("shop-a-1", "shop-a-2", "shop-b-1", "shop-b-2", "shop-c-1", "shop-c-2")
LOSE = "{type: action, name: lose zone b, provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: %s}}}"
KILL = "{type: action, name: kill, provider: {type: python, module: chaoslib_ext.faults, func: kill_replicas, arguments: {service: shop, count: 2}}}"
BUY = "{name: buy, steps: [{request: POST /login}, {request: POST /checkout}]}"
PROFILE = f"apiVersion: chaosx/v1\nkind: LoadProfile\nstages: [{{rate: %s}}]\njourneys: [{{name: browse, steps: [{{request: GET /catalog/1}}]}}, {BUY}]\n"


def roster(folder: Path, *names: str, first: int = 100, **more: dict[str, Any]) -> None:
    """A roster file; a name is service-zone-number, `more` changes single replicas (with _ for -)."""
    replicas = []
    for number, name in enumerate(names, start=first):
        service, zone, _ = name.split("-")
        row = {"name": name, "service": service, "zone": zone, "pid": number, "start_ticks": 7, "uid": f"00000000-{number}-7", "ready": True}
        replicas.append({**row, "link": ["127.0.0.1", number], "health": "/healthz", **more.get(name.replace("-", "_"), {})})
    links = {zone: {"control": f"/links-{zone}.sock"} for zone in "abc"}
    whole = {"identity": "it", "zones": list("abc"), "keeper": {"control": "/keeper.sock"}, "links": links, "replicas": replicas}
    (folder / "roster.json").write_text(json.dumps(whole))


def write(
    folder: Path, *activities: str, rate: str = "200/s", block: str = "", windows: str = "{warmup: 5s, baseline: 10s, recovery: 40s, stable: 6s}"
) -> None:
    method = "".join(f"- {one}\n" for one in activities or (LOSE % "20s",))
    objectives = block or "  objectives: [{slo: browse-availability, window: fault, target: 95%}]\n  rto: {objective: 10s, slos: [browse-availability]}\n"
    head = f"extensions:\n- name: chaoslib_ext\n  version: 1\n  slos: [{ROOT}/experiments/sandbox/slos/shop.yaml]\n  load: load.yaml\n  windows: {windows}\n"
    (folder / "x.yaml").write_text(f"title: t\nmethod:\n{method}{head}{objectives}")
    (folder / "load.yaml").write_text(PROFILE % rate)


def plan(folder: Path, **more: Any) -> Planned:
    return plan_file(folder / "x.yaml", str(folder / "e.yaml"), **{"output": None, "seed": 7, "allow_code": False, **more})
