"""
Taking faults back: one readable table from the handler's name in the ledger to the function that undoes it.

A handler makes one attempt; what goes around it (tries, backoff, deadline, records) is `Healing`.
"""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from chaoslib_ext import fuses, state
from chaoslib_ext.attempts import ANSWER_S, PASS_S, Attempt
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.ledger import FINAL, Entry, Frame, Ledger, Step, Target, entries
from chaoslib_ext.memory import Memory, tell
from chaoslib_ext.mesh import undo as mesh
from chaoslib_ext.process import undo
from chaoslib_ext.traces import drop_markers
from chaoslib_ext.urgency import most_urgent_first

SETTLE_S = 0.5  # where a target sets no fence: a request of a process that was killed lies in a socket's buffer for less than this
FIRST_S = 0.5  # how long the last heal waits for nobody to inject before it begins all the same: CI runners give 7.5 s; chosen by feel
LOCK_S = 10.0  # and how long it goes on trying, beside the heal, until nobody can
SILENT_S = 10.0  # beyond the deadline, for an attempt that is under way: longer than any handler's own time limits

HANDLERS: dict[str, Callable[[Entry], Step]] = {
    "process.thaw": undo.thaw,
    "process.thaw_store": undo.thaw_store,
    "process.empty_disk": undo.empty_disk,
    "process.end_tracer": undo.end_tracer,
    "process.open_link": undo.open_link,
    "process.release_zone": undo.release_zone,
    "mesh.strip_fault": mesh.strip_fault,
}
REMOTE = frozenset({"process.open_link", "process.release_zone"})  # a request in flight can land after its sender died


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often: the first pause and the deadline, both in seconds."""

    base_s: float = 0.2
    deadline_s: float = 120.0
    ceiling_s: float = 5.0

    @classmethod
    def of_run(cls, folder: Path) -> Patience:
        """What the environment of the run says under `retry`, from its spec.json; our defaults where it says nothing."""
        try:
            retry = state.read_json(folder / state.SPEC).get("environment", {}).get("retry") or {}
            return cls(float(retry.get("base_s", cls().base_s)), float(retry.get("deadline_s", cls().deadline_s)))
        except (OSError, AttributeError, TypeError, ValueError):
            return cls()


@dataclass(frozen=True, slots=True)
class Left:
    """What is not proven healed. `command` is what a person types next."""

    run: str
    fault: str
    target: str
    handler: str
    rec: str
    error: str
    command: str


@dataclass(slots=True)
class _Work:
    entry: Entry
    begun_s: float
    tries: int = 0
    due_s: float = 0.0
    error: str = ""
    attempt: Attempt | None = None
    final: bool = False  # whether nothing could inject any more when that attempt began


@dataclass(slots=True)
class Healing:
    """
    The heal of any number of entries, in passes that never wait: the most urgent first, going on past failures.

    `add` takes entries on, `step` makes one attempt for each that is due. `left` is what was given up, until
    it is taken on again. `final` says that nothing can inject any more. A ledger that cannot be written does
    not keep anything from being healed, but nothing counts as healed that it does not say.
    """

    ledger: Ledger
    patience: Patience = Patience()
    final: bool = False
    left: dict[tuple[str, str, str], Left] = field(default_factory=dict)
    work: list[_Work] = field(default_factory=list)

    def add(self, found: Iterable[Entry]) -> None:
        """Takes on entries that are not under way yet."""
        known = {item.entry.key for item in self.work}
        now_s = time.monotonic()
        self.work += [_Work(entry, now_s) for entry in found if entry.key not in known]
        order = {entry.key: at for at, entry in enumerate(most_urgent_first(item.entry for item in self.work))}
        self.work.sort(key=lambda item: order[item.entry.key])

    def busy(self, fault: str | None = None) -> bool:
        """Whether anything (of one fault) is still under way."""
        return any(fault in (None, item.entry.fault) for item in self.work)

    def step(self) -> None:
        """
        One attempt for each entry that is due, one after the other while they answer.

        One that does not answer at once goes on beside the others, and is asked for its answer in later passes.
        """
        until_s = time.monotonic() + PASS_S
        for item in list(self.work):
            now_s = time.monotonic()
            begins = item.attempt is None and now_s >= item.due_s and not self._hit_already(item)
            if begins:
                self._begin(item)
            if item.attempt is not None:
                self._look(item, max(0.0, min(ANSWER_S, until_s - now_s)) if begins else 0.0)

    def _hit_already(self, item: _Work) -> bool:
        """Whether an attempt on the same target is under way: the order matters there."""
        return any(other.attempt is not None and other.entry.target.uid == item.entry.target.uid for other in self.work)

    def _begin(self, item: _Work) -> None:
        if not (item.tries and item.error == "settling"):
            self._say(item.entry, "UNDO_TRY", item.error)
        item.tries += 1
        item.final = self.final
        item.attempt = Attempt(_one_try, item.entry)

    def _look(self, item: _Work, wait_s: float) -> None:
        step = item.attempt.step(wait_s) if item.attempt is not None else None
        if step is None and time.monotonic() - item.begun_s >= self.patience.deadline_s + SILENT_S:
            step = Step("RETRY", "its target has not answered at all")
        if step is not None:
            item.attempt = None
            self._judge(item, step)

    def _judge(self, item: _Work, step: Step) -> None:
        if step.rec == "UNDONE" and not step.fenced and self._may_still_land(item):
            step = Step("RETRY", "settling")
        if step.rec == "RETRY" and (step.why == "settling" or time.monotonic() - item.begun_s < self.patience.deadline_s):
            self._later(item, step.why)
        else:
            self._finish(item, Step("STUCK", step.why) if step.rec == "RETRY" else step)

    def _may_still_land(self, item: _Work) -> bool:
        return not item.entry.settled and item.entry.handler in REMOTE and time.monotonic() - item.begun_s < SETTLE_S

    def _later(self, item: _Work, why: str) -> None:
        pause_s = min(self.patience.base_s * 2 ** min(item.tries - 1, 16), self.patience.ceiling_s)
        item.error = why
        item.due_s = time.monotonic() + (0.05 if why == "settling" else pause_s * random.uniform(0.5, 1.0))

    def _finish(self, item: _Work, step: Step) -> None:
        note = FINAL if item.final and step.rec == "UNDONE" else step.why
        problem = self._say(item.entry, step.rec, note)
        out_of_time = isinstance(problem, LedgerCorrupt) or time.monotonic() - item.begun_s >= self.patience.deadline_s
        if problem is not None and not out_of_time:
            return self._later(item, f"{step.rec} could not be recorded: {problem}")
        self.work.remove(item)
        self.left.pop(item.entry.key, None)
        if problem is not None:
            self.left[item.entry.key] = left(self.ledger, item.entry, step.rec, f"{step.rec} could not be recorded: {problem}")
        elif step.rec in ("STUCK", "CONFLICT"):
            self.left[item.entry.key] = left(self.ledger, item.entry, step.rec, step.why)

    def _say(self, entry: Entry, rec: str, note: str) -> Exception | None:
        frame = Frame(entry.fault, rec, entry.handler, entry.target, entry.ours, entry.prior, entry.kind, entry.expires_ns, None, note)
        try:
            self.ledger.append(frame)
            return None
        except (OSError, LedgerCorrupt) as error:
            tell(f"heal: {rec} of {entry.fault}: {error}")
            return error


def _one_try(entry: Entry) -> Step:
    handler = HANDLERS.get(entry.handler)
    if handler is None:
        return Step("STUCK", f"no handler is called {entry.handler!r} in this release")
    try:
        return handler(entry)
    except PermissionError as error:
        return Step("STUCK", f"not allowed, and trying again does not help: {error}")
    except Exception as error:  # whatever went wrong with one target, the others must still be healed
        return Step("RETRY", f"{type(error).__name__}: {error}")


def left(ledger: Ledger, entry: Entry, rec: str, error: str) -> Left:
    """What to say about an entry that is not proven healed, with the command that goes on from here."""
    run = ledger.path.parent.name
    command = f"chaosx recover --run {shlex.quote(run)}"
    if rec == "CONFLICT":
        command += f" --accept {shlex.quote(entry.fault)}"
    return Left(run, entry.fault, f"{entry.target.kind} {entry.target.name} ({entry.target.uid})", entry.handler, rec, error, command)


def heal_entry(entry: Entry, ledger: Ledger, patience: Patience = Patience()) -> Left | None:
    """Heals one entry, waiting at most until the deadline; None when it is proven undone or gone."""
    healing = Healing(ledger, patience)
    healing.add([entry])
    finish(healing)
    return healing.left.get(entry.key)


def finish(healing: Healing) -> None:
    """Goes on until nothing is under way."""
    while healing.busy():
        healing.step()
        time.sleep(0.01 if healing.busy() else 0)  # the pause between attempts


def heal_run(folder: Path, names: Collection[str] | None, patience: Patience, memory: Memory | None = None) -> list[Left]:
    """
    The last heal of a run; what is left is returned, nothing when the run is clean.

    The recorded children `names` (None: all), and whoever else of the run holds heal.lock, are killed, and the lock is taken
    exclusively, so nothing can inject any more. Then everything pending is healed, and what had never been settled is looked at
    once more. A ledger that is damaged or gone is healed as far as it can be read or `memory` holds it, and stays dirty.
    """
    known = memory or Memory(folder)
    healing = Healing(known.ledger, patience)
    try:
        known.look()
        still = _quiet(known, names, healing)
        found = _heal_all(known, healing, final=not still)
    finally:
        known.let_inject() if known is memory else known.close()
    return found + ([left(known.ledger, _nobody(Target(kind="lock", name=state.HEAL_LOCK)), "STUCK", still)] if still else [])


def _quiet(known: Memory, names: Collection[str] | None, healing: Healing) -> str:
    """Sees to it that nobody can inject any more, and says who still could; if that takes time, what is there is taken back meanwhile."""
    begun_s = time.monotonic()
    while still := known.silence(names):
        waited_s = time.monotonic() - begun_s
        if waited_s >= LOCK_S or still == known.no_lock:
            break
        if waited_s >= FIRST_S:
            healing.add(entry for entry in entries(known.look()) if entry.pending and entry.key not in healing.left)
            healing.step()
        time.sleep(0.01)  # neither the end of a process nor a free lock is told to anybody else
    return still


def _heal_all(known: Memory, healing: Healing, final: bool) -> list[Left]:
    """`final` says that nothing can inject any more; what is under way already began before that, and is looked at again."""
    ledger, early, healing.final, frames = known.ledger, healing.busy(), final, known.look(whole=True)
    healing.add(entry for entry in entries(frames) if entry.pending or _unsettled(entry))
    finish(healing)
    if early:
        healing.add(entry for entry in entries(known.look()) if _unsettled(entry))
        finish(healing)
    found = list(healing.left.values())
    if known.problem:
        return [*found, _lost(known)]
    seen = {item.fault for item in found}
    burning = _put_out(frames, seen, healing.patience)
    lit = [one for one in frames if one.rec == "FUSE" and one.fault in burning]
    found += [left(ledger, _nobody(one.target, one.fault), "STUCK", burning[one.fault]) for one in lit]
    drop_markers(entry for entry in entries(frames) if entry.fault not in seen)
    return found


def _lost(known: Memory) -> Left:
    """What to say of a ledger that is damaged or gone: what it said is taken back as far as it is known, and no more can be proven."""
    entry = _nobody(Target(kind="ledger", name=known.ledger.path.name), state.LEDGER)
    one = left(known.ledger, entry, "STUCK", known.problem)
    if not known.folder.is_dir():
        return replace(one, command="look at the targets, then: chaosx recover --env NAME")
    return replace(one, command=f"look at the targets that {known.ledger.path} names, then: {one.command} --accept {state.LEDGER} --reason TEXT")


def _put_out(frames: list[Frame], but: Collection[str], patience: Patience) -> dict[str, str]:
    """Takes out the fuses of what is healed: nothing of a run stays in the target. Those that cannot be, and why, after all patience."""
    begun_s, tries = time.monotonic(), 0
    while failed := fuses.put_out(frames, but):
        if time.monotonic() - begun_s >= patience.deadline_s:
            break
        time.sleep(min(patience.base_s * 2 ** min(tries, 16), patience.ceiling_s))  # the pause between attempts
        tries += 1
    return failed


def _nobody(target: Target, fault: str = "") -> Entry:
    return Entry(fault, "", target, {}, {}, "held", 0, "", 0)


def _unsettled(entry: Entry) -> bool:
    return entry.kind == "held" and not entry.settled and entry.rec in ("UNDONE", "GONE") and entry.handler in HANDLERS
