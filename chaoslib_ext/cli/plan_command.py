"""`chaosx plan`: what a run would hit, cost, take and decide, for a person and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext import rundir
from chaoslib_ext.cli.plan_power import decisions
from chaoslib_ext.cli.run_command import choose, environment_of, read_for
from chaoslib_ext.clock import format_duration
from chaoslib_ext.environment import EnvChoice
from chaoslib_ext.errors import UsageError
from chaoslib_ext.runner.plan import draw_plan
from chaoslib_ext.runner.prepare import new_seed, refusals

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and how it is printed."""

    plan: Json
    text: str


def plan_file(path: Path, env: str, output: Path | None, seed: int | None, allow_code: bool) -> Planned:
    """Plans one experiment and touches nothing. Raises UsageError for a wrong file, a wrong `--env` or an empty selection."""
    choice = choose(env)
    experiment = read_for(path, choice, allow_code)
    if output is not None and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise UsageError(f"-o {output}: {'is a folder' if output.is_dir() else 'its folder does not exist'}; name a file in a folder that does")
    with environment_of(choice) as environment:
        plan = draw_plan(experiment, environment, new_seed() if seed is None else seed, refusals(experiment, environment))
    if output is not None:
        rundir.write_json(output, plan)
    return Planned(plan, "\n".join([*_head(plan, experiment.title, choice), *_body(plan), *_foot(path, env, choice, output, plan)]))


def _head(plan: Json, title: str, choice: EnvChoice) -> list[str]:
    private = choice.kind == "sandbox" and not choice.name
    where = "a private sandbox, started for this plan and ended again" if private else f"environment {plan['intent']['environment']['name']}"
    return [f"plan {plan['token']}  {title}", f"in {where}; seed {plan['seed']}; nothing was touched", ""]


def _body(plan: Json) -> Iterator[str]:
    yield "would hit"
    for row in plan["resolved"]:
        yield from _row(row, plan["intent"]["caps"].get(row["activity"], {}))
    if not plan["resolved"]:
        yield "  nothing that chaosx can vouch for"
    seen = plan["outlook"]
    yield from _cost(plan["cost"])
    yield f"would take {_length(seen['takes_s'])}, and a few seconds to start, heal and seal"
    yield "  " + "  ".join(f"{name} {_length(length)}" for name, length in seen["phases"].items())
    yield from decisions(seen)
    if seen["load"]:
        yield _load(seen["load"])
    for warning in plan["warnings"]:
        yield f"warning: {warning}"
    for one in plan["refused"]:
        yield f"REFUSED {one['reason']}: {one['text']}"


def _row(row: Json, caps: Json) -> Iterator[str]:
    hold = f"held for {format_duration(row['duration_s'])}, then taken back" if row["duration_s"] else "instant: owes a replacement, nothing to undo"
    undone = "" if row["reversible"] else "; what it ends is not brought back as it was"
    yield f"  {row['activity']}: {row['func']} {row['how']}, {hold}{undone}"
    if row["kind"] == "held":
        fuse = row.get("fuse")
        fires = f"{fuse['kind']}, armed first; fires by itself {format_duration(fuse['after_s'])} after the injection" if fuse else "none in this target"
        yield f"    fuse: {fires}"
    for target in row["targets"]:
        yield f"    {target['kind']:8} {target['name']:12} zone {target['zone']:4} uid {target['uid']}"
    for service, of in row["of"].items():
        cap = f", cap {caps['per_owner']:.0%}" if "per_owner" in caps else ", no cap"
        left = ", ".join(f"{zone} {number}" for zone, number in row["survivors"].items()) or "nothing"
        yield f"    of {service}: {of['hit']} of {of['total']} ({of['hit'] / of['total']:.0%}{cap}); left, ready, by zone: {left}"


def _cost(cost: Json) -> Iterator[str]:
    if cost:
        yield "would cost, at worst (all that the lost share would have served fails, for the whole hold)"
        for name, price in cost["each"].items():
            yield f"  {name:24} {price:.4%} of its error budget"


def _length(length: list[float | None]) -> str:
    least, most = length[0] or 0.0, length[1]
    if most is None:
        return f"{format_duration(least)} or more"
    return format_duration(least) if least == most else f"{format_duration(least)} to {format_duration(most)}"


def _load(load: Json) -> str:
    estimate = f"one load process of this machine sends roughly {load['estimate_per_s']:,.0f}/s (estimate from a benchmark, not measured here)"
    if load["model"] == "closed":
        return f"load: a locustfile (closed model); {estimate}"
    return f"load: {load['arrivals_per_s']:g} arrivals/s at most, {load['requests_per_s']:g} requests/s; {estimate}"


def _foot(path: Path, env: str, choice: EnvChoice, output: Path | None, plan: Json) -> list[str]:
    if plan["refused"]:
        return ["", "a run would be refused; nothing was touched"]
    word = f" --confirm {plan['token']}" if plan["limits"]["class"] == "production" else ""
    if output is None:
        return ["", f"run it: chaosx run {path} --env {env}{word}"]
    if choice.kind == "sandbox" and not choice.name:
        return ["", f"written to {output}; a private sandbox is another one each time, so it cannot be run from this plan: use --env sandbox@NAME"]
    return ["", f"written to {output}; run exactly this: chaosx run {path} --env {env} --plan {output}{word}"]
