"""What must fit together between our block, the activities of the experiment, the SLOs and the load profile."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from chaoslib_ext.block import Block
from chaoslib_ext.clock import format_duration, parse_duration
from chaoslib_ext.errors import Problem
from chaoslib_ext.formats.activities_table import managed_kind, standing
from chaoslib_ext.formats.file_problems import nearest
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.watch_checks import detection_warnings, watch_problems
from chaoslib_ext.formats.yamlfile import Document, KeyPath
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.slo import Slo

if TYPE_CHECKING:
    from chaoslib_ext.formats.experiment_models import BlockModel


def our_block(document: Document, problems: list[Problem]) -> Document | None:
    """The part of the document that is our block; None when there is none. Near misses of its name are problems."""
    extensions = document.data.get("extensions")
    ours: list[int] = []
    for at, extension in enumerate(extensions if isinstance(extensions, list) else []):
        name = extension.get("name") if isinstance(extension, dict) else None
        if name == "chaoslib_ext":
            ours.append(at)
        elif isinstance(name, str) and (name.lower() == "chaosx" or nearest(name.lower(), ["chaoslib_ext"])):
            text = f"got {shown(name)}; did you mean `chaoslib_ext`? Chaos Toolkit would ignore this block"
            problems.append(document.problem(("extensions", at, "name"), text))
    problems += [document.problem(("extensions", at), "a second block called `chaoslib_ext`; keep one") for at in ours[1:]]
    return document.part(("extensions", ours[0])) if ours else None


def method_names(document: Document) -> list[str]:
    """The names of the method's activities, as far as they have one."""
    method = document.data.get("method")
    found = [one.get("name") for one in method if isinstance(one, dict)] if isinstance(method, list) else []
    return [name for name in found if isinstance(name, str)]


def block_problems(model: BlockModel, part: Document, document: Document, slos: list[Slo] | None, load: LoadProfile | None) -> list[Problem]:
    """Names in the block that name nothing. `slos` None: they could not be read, so names of SLOs are not checked."""
    names = method_names(document)
    found = [_unknown(part, ("faults", name), name, names, "activity of the method") for name in model.faults]
    if model.rto and model.rto.from_ is not None:
        found.append(_unknown(part, ("rto", "from"), model.rto.from_, names, "activity of the method"))
    found += watch_problems(model, part, slos)
    found += _rpo_problems(model, part, load)
    if slos is not None:
        known = [slo.name for slo in slos]
        found += [_unknown(part, where, name, known, "SLO") for where, name in _slo_names(model)]
        used = {name for _, name in _slo_names(model)} if not model.rto or model.rto.slos else set(known)  # an RTO without `slos` means all
        found += _selection_problems([slo for slo in slos if slo.name in used], load, part)
        found += _step_problems(slos, load)
    return [problem for problem in found if problem is not None]


def _rpo_problems(model: BlockModel, part: Document, load: LoadProfile | None) -> list[Problem | None]:
    """An RPO whose ledger is not there, or cannot be read back. A load profile that could not be read is told elsewhere."""
    if model.rpo is None or (load is None and model.load is not None):
        return []
    if load is None:
        return [part.problem(("rpo",), "there is no `load`, so nothing writes; add a load profile with a step `write: NAME`")]
    ledger = load.writes.get(model.rpo.ledger)
    if ledger is None:
        return [_unknown(part, ("rpo", "ledger"), model.rpo.ledger, load.writes, "ledger of the load profile")]
    return [] if ledger.nodes else [part.problem(("rpo", "ledger"), f"{load.source}: writes.{model.rpo.ledger} has no `readback`; lost writes cannot be found")]


def _slo_names(model: BlockModel) -> list[tuple[KeyPath, str]]:
    named: list[tuple[KeyPath, str]] = [(("objectives", at, "slo"), one.slo) for at, one in enumerate(model.objectives)]
    if model.rto:
        named += [(("rto", "slos", at), name) for at, name in enumerate(model.rto.slos or [])]
    if model.budget:
        named.append((("budget", "slo"), model.budget.slo))
    return named + [(("stop", at, "slo"), rule.slo) for at, rule in enumerate(model.stop) if rule.slo is not None]


def _unknown(part: Document, path: KeyPath, name: str, known: Collection[str], what: str) -> Problem | None:
    """The problem that nothing is called `name`, or None."""
    if name in known:
        return None
    near = nearest(name, known)
    hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
    return part.problem(path, f"no {what} is called {shown(name)}; {hint}")


def _selection_problems(slos: list[Slo], load: LoadProfile | None, part: Document) -> list[Problem | None]:
    """Promised SLOs that select nothing of the load profile; a locustfile's names are not known beforehand."""
    if load is None or not load.journeys:
        return []
    journeys = {journey.name for journey in load.journeys}
    steps = {step.name for journey in load.journeys for step in journey.steps}
    found: list[Problem | None] = []
    for slo, sli in ((slo, sli) for slo in slos if (sli := slo.indicator("locust")) is not None):
        known = journeys if sli.select_class == "journey" else steps
        if sli.select_name is not None and sli.select_name not in known:
            near = nearest(sli.select_name, journeys | steps)
            hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(journeys | steps))}"
            text = f"SLO {slo.name} ({slo.source}) selects the {sli.select_class} {sli.select_name!r}, which the load profile has not; {hint}"
            found.append(part.problem(("slos",), text))
    return found


def _step_problems(slos: list[Slo], load: LoadProfile | None) -> list[Problem | None]:
    """Steps whose `slo` names none, or one that looks at something else."""
    by_name = {slo.name: slo for slo in slos}
    found: list[Problem | None] = []
    for at, journey in enumerate(load.journeys if load else ()):
        for number, step in enumerate(journey.steps):
            where = f"journeys[{at}].steps[{number}].slo"
            slo = by_name.get(step.slo or "")
            if load and step.slo is not None and slo is None:
                found.append(Problem(load.source, 0, where, f"no SLO is called {shown(step.slo)}; there are: {', '.join(sorted(by_name)) or 'none'}"))
            elif load and slo is not None and (slo.sli.select_class, slo.sli.select_name) not in (("step", step.name), ("step", None)):
                text = f"SLO {slo.name} selects {slo.sli.select_name!r}, not this step {step.name!r}; select the step in {slo.source}"
                found.append(Problem(load.source, 0, where, text))
    return found


def stranger_warnings(document: Document) -> list[str]:
    """What will keep the run of a file without our block from a clear verdict; such a file promises its hypothesis and nothing else."""
    method = _method(document)
    found = _unmanaged(method, frozenset())
    if not any(one.get("type") == "action" for one in method):
        found.append("NO_FAULT: the method holds no action, so nothing is injected that could be judged")
    if not document.data.get("steady-state-hypothesis"):
        found.append("NO_OBJECTIVE: nothing is promised, so nothing can be judged; add a steady-state hypothesis, or a block of chaoslib_ext with objectives")
    return found


def _method(document: Document) -> list[dict[str, Any]]:
    method = document.data.get("method")
    return [one for one in method if isinstance(one, dict)] if isinstance(method, list) else []


def _unmanaged(method: list[dict[str, Any]], neutral: Collection[str]) -> list[str]:
    """The actions that nobody vouches for; one that is only referred to is told where it is written."""
    names = [str(one.get("name")) for one in method if "ref" not in one and standing(one) == "unmanaged"]
    told = "has no undo, effect and removal that chaosx can vouch for; it can never lead to PASS"
    return [f"UNMANAGED_ACTION: {name!r} {told}" for name in names if name not in neutral]


def block_warnings(block: Block, document: Document) -> list[str]:
    """What will keep the run from a clear verdict, known before it begins."""
    method = _method(document)
    found: list[str] = []
    for activity in method:
        name = str(activity.get("name"))
        duration_s = _held_s(activity)
        wanted_s = block.rto.objective_s + block.windows.stable_s if block.rto else 0.0
        if block.rto and duration_s is not None and duration_s < wanted_s:
            found.append(
                f"HELD_SHORTER_THAN_RTO: {name!r} is held for {format_duration(duration_s)}, shorter than rto.objective + windows.stable"
                f" = {format_duration(wanted_s)}; recovery after its removal would decide nothing"
            )
    found += _unmanaged(method, [name for name, fault in block.faults.items() if fault.neutral])
    if not block.objectives and block.rto is None and block.rpo is None and block.detection is None and not document.data.get("steady-state-hypothesis"):
        found.append("NO_OBJECTIVE: nothing is promised, so nothing can be judged; add `objectives`, `rto`, `rpo` or a steady-state hypothesis")
    found += detection_warnings(block, [(str(one.get("name")), held_s) for one in method if (held_s := _held_s(one)) is not None])
    if _needs_load(block) and block.load is None:
        found.append("NO_DATA: objectives are promised, but there is no `load`, so nothing measures them")
    return found


def _needs_load(block: Block) -> bool:
    """Whether something is promised that only requests of ours can measure."""
    return block.rto is not None or any(block.slo(one.slo).sli.source == "locust" for one in block.objectives)


def _held_s(activity: dict[str, object]) -> float | None:
    """The duration of a held fault of ours in seconds, where the file says it in plain text."""
    provider = activity.get("provider")
    arguments = provider.get("arguments") if isinstance(provider, dict) else None
    duration = arguments.get("duration") if isinstance(arguments, dict) else None
    if managed_kind(activity) != "held" or not isinstance(duration, str):
        return None
    try:
        return parse_duration(duration)
    except (ValueError, OverflowError):
        return None
