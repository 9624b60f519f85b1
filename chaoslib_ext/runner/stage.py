"""
The stage of a run: its children, what they said, and the one loop that waits.

`pump` is the only place where the supervisor waits. It passes on what children say, keeps the healer's heartbeat
going, asks the guard, and turns a signal or a dead child into `Stop`, except while healing, which nothing cancels.
"""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext import guard
from chaoslib_ext.clock import NS, Clock
from chaoslib_ext.rundir import Writer
from chaoslib_ext.runner.child import Child
from chaoslib_ext.runner.live import Live
from chaoslib_ext.runner.signals import interruptible, on_signals
from chaoslib_ext.runner.unhealed import what_is_left

BEAT_NS, RENEW_NS = NS // 2, 5 * NS
EVENT_KINDS = frozenset({"activity", "reading", "effect", "removed", "target", "note", "alert"})


class Stop(Exception):
    """The run ends before its time: `how` is aborted, undecided or error, `reason` a code of the closed list."""

    def __init__(self, how: str, reason: str, detail: str) -> None:
        self.how, self.reason, self.detail = how, reason, detail
        super().__init__(detail)


@dataclass(slots=True)
class Seen:
    """What the children have said so far, as far as the phases must know it."""

    ready: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    seconds: list[dict[str, Any]] = field(default_factory=list)
    effects: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    healed: dict[str, bool] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    injected: set[str] = field(default_factory=set)
    method: str = ""  # "", start, end, skipped
    hypothesis: dict[str, dict[str, Any]] = field(default_factory=dict)
    journal: dict[str, Any] | None = None
    heal_answer: dict[str, Any] | None = None
    healers_lost: int = 0
    alerts: dict[str, guard.Alert] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)  # alerts seen firing since the first effect
    effect_ns: int | None = None  # the end of the first effect's bracket


class Stage:
    """A run that is under way."""

    def __init__(self, clock: Clock, state_dir: Path, writer: Writer, rules: guard.Rules, live: Live) -> None:
        self.clock, self.state_dir, self.writer, self.rules, self.live = clock, state_dir, writer, rules, live
        self.children: dict[str, Child] = {}
        self.seen = Seen()
        self.managed: dict[str, bool] = {}
        self.held: set[str] = set()  # the planned faults that have something to undo
        self.proven_at_ns = 0
        self.watch: guard.Watch | None = None  # the guard sleeps until the load is on
        self.signals: list[int] = []
        self.asked = 0  # how often a signal asked for the end, all told
        self.withheld: Callable[[str], frozenset[str]] = lambda _child: frozenset()  # variables of our environment that a child does not get
        self.healing = False
        self.expected_to_end: set[str] = set()
        self.on_healer_lost: Callable[[], None] = lambda: None
        self.lock_lost: Callable[[], str] = lambda: ""  # renews the lock of the target; whose it is when it is not ours any more
        self._selector = selectors.DefaultSelector()
        self._next_beat_ns = self._next_renew_ns = 0
        self._wake_r, self._wake_w = socket.socketpair()
        for end in (self._wake_r, self._wake_w):
            end.setblocking(False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)

    def held_in_force(self) -> set[str]:
        """The held faults whose effect was seen and whose action did not fail."""
        return (self.seen.effects & self.held) - self.seen.failed

    # signals -----------------------------------------------------------------------------------------------

    def catch_signals(self) -> None:
        """From here on a signal is a message, not an end."""
        signal.set_wakeup_fd(self._wake_w.fileno(), warn_on_full_buffer=False)
        on_signals(lambda *_: None)

    def release_signals(self) -> None:
        """Signals end the process again, by way of KeyboardInterrupt; the run is over."""
        signal.set_wakeup_fd(-1)
        interruptible()

    # children ----------------------------------------------------------------------------------------------

    def add(self, child: Child) -> Child:
        """Takes a child on: its lines are read from now on."""
        self.children[child.name] = child
        self._selector.register(child.fd, selectors.EVENT_READ, child)
        return child

    def forget(self, name: str) -> Child | None:
        """Stops listening to a child, whose end is expected."""
        child = self.children.pop(name, None)
        if child is not None and not child.at_end:
            self._selector.unregister(child.fd)
        return child

    def event(self, src: str, kind: str, **fields: Any) -> None:
        """One line of events.jsonl, now."""
        t_ns = fields.pop("t_ns", None)
        self.writer.event(src, kind, self.clock.now_ns() if t_ns is None else int(t_ns), **fields)

    # the loop ----------------------------------------------------------------------------------------------

    def pump(self, until: Callable[[], bool], seconds: float | None) -> bool:
        """Waits until the condition holds (True) or the time is over (False). Raises Stop unless healing."""
        deadline_ns = None if seconds is None else self.clock.now_ns() + round(seconds * NS)
        while not until():
            now_ns = self.clock.now_ns()
            if deadline_ns is not None and now_ns >= deadline_ns:
                return False
            left_s = 0.1 if deadline_ns is None else min(0.1, (deadline_ns - now_ns) / NS)
            for key, _ in self._selector.select(left_s):
                self._wake() if key.data is None else self._hear(key.data)
            self._tick()
        return True

    def pump_for(self, seconds: float) -> None:
        """Waits so long, hearing everything."""
        self.pump(lambda: False, seconds)

    def _wake(self) -> None:
        try:
            came = self._wake_r.recv(4096)
        except BlockingIOError:
            return
        self.signals += came
        self.asked += len(came)
        name = signal.Signals(came[-1]).name
        if self.asked >= 3:
            self.live.insist(f"signal {name}: {what_is_left(self.state_dir)}")
        elif self.healing:
            self.live.say(f"signal {name}: {'sealing' if self.seen.heal_answer else 'healing'} goes on")

    def _tick(self) -> None:
        now_ns = self.clock.now_ns()
        if now_ns >= self._next_beat_ns and "healer" in self.children:
            self.children["healer"].send({"op": "beat"})
            self._next_beat_ns = now_ns + BEAT_NS
        self.live.draw(now_ns)
        if self.healing:
            return
        if self.signals:
            raise self._stopped_by_signal()
        if now_ns >= self._next_renew_ns:
            self._next_renew_ns = now_ns + RENEW_NS
            if lost := self.lock_lost():
                self.event("supervisor", "stop", rule="lock", detail=lost, reason="LOCK_LOST")
                raise Stop("aborted", "LOCK_LOST", lost)
        if self.watch is not None:
            self.watch, halt = guard.step(self.rules, self.watch, now_ns, None, self.seen.alerts)
            self._obey(halt)

    def _stopped_by_signal(self) -> Stop:
        name = signal.Signals(self.signals[0]).name
        request = self.state_dir / "abort.json"
        if request.exists():
            text = request.read_text(encoding="utf-8", errors="replace")[:500]
            self.event("supervisor", "decision", text=f"abort requested: {text}", by="person")
            return Stop("aborted", "STOPPED_BY_PERSON", "chaosx abort")
        self.event("supervisor", "stop", rule=name, detail="signal", reason="STOPPED_BY_SIGNAL")
        return Stop("aborted", "STOPPED_BY_SIGNAL", name)

    def _obey(self, halt: guard.Halt | None) -> None:
        if halt is not None:
            self.event("guard", "stop", rule=halt.rule, detail=halt.detail, reason=halt.reason)
            raise Stop("aborted", halt.reason, halt.detail)

    # what children say -------------------------------------------------------------------------------------

    def _hear(self, child: Child) -> None:
        for message in child.messages():
            self._take(child.name, message)
        if child.at_end:
            self._selector.unregister(child.fd)
            self._ended(child)

    def _take(self, name: str, message: dict[str, Any]) -> None:
        op, kind = message.get("op"), message.get("kind")
        if op == "ready":
            self.seen.ready.add(name)
        elif op in ("done", "stopped"):
            self.seen.done.add(name if op == "done" else f"{name}.stopped")
        elif op == "second":
            self._second(message)
        elif op == "capped" and not self.healing:
            self._obey(guard.capped(int(message["writes"])))
        elif op == "healed":
            self._healed(message)
        elif op in ("clean", "dirty"):
            self.seen.heal_answer = message
        elif op == "unwritable" and not self.healing:
            self.event("supervisor", "stop", rule="ledger", detail=str(message["detail"]), reason="LEDGER_UNWRITABLE")
            raise Stop("aborted", "LEDGER_UNWRITABLE", str(message["detail"]))
        elif kind == "method":
            self.seen.method = str(message["state"])
        elif kind == "hypothesis":
            self._hypothesis(message)
        elif kind == "journal":
            self.seen.journal = message
        elif kind in EVENT_KINDS:
            self._event_of(name, str(kind), {key: value for key, value in message.items() if key not in ("kind", "src", "seq")})

    def _second(self, second: dict[str, Any]) -> None:
        self.seen.seconds.append(second)
        self.live.second(second)
        if self.watch is not None and not self.healing:
            self.watch, halt = guard.step(self.rules, self.watch, self.clock.now_ns(), second, self.seen.alerts)
            self._obey(halt)

    def _healed(self, message: dict[str, Any]) -> None:
        fault = str(message.get("fault"))
        self.seen.healed[fault] = bool(message.get("ok"))
        self.event("healer", "note", text=f"{fault}: {'taken back' if message.get('ok') else 'not healed yet'} ({message.get('by')})", fault=fault)
        self.live.say(f"{fault}: {'taken back' if message.get('ok') else 'NOT healed yet'}")

    def _hypothesis(self, message: dict[str, Any]) -> None:
        where = str(message["where"])
        self.seen.hypothesis[where] = message
        self.event("method", "activity", name="steady-state-hypothesis", type="probe", where=where, state="ended",
                   status="failed" if message["errored"] else "succeeded", tolerance_met=bool(message["met"]), managed=True)  # fmt: skip

    def _event_of(self, name: str, kind: str, fields: dict[str, Any]) -> None:
        if kind == "activity":
            fields["managed"] = self.managed.get(str(fields.get("name")), True) if fields.get("type") == "action" else True
            self.live.say(_activity_line(fields))
            self._note_activity(fields)
        if fields.pop("watching", False):
            self.seen.ready.add(f"prober: {fields.get('fault')}")
        if kind == "effect" and self.seen.effect_ns is None:
            self.seen.effect_ns = int(fields["hi_ns"])
        if kind == "reading" and fields.get("name") == "alert" and fields.get("ok"):
            self._note_alert(fields)
        if kind == "alert":
            self.live.say(f"alert {fields.get('name')}: {fields.get('state')}")
        if kind in ("effect", "removed"):
            (self.seen.effects if kind == "effect" else self.seen.removed).add(str(fields.get("fault")))
            self.live.say(f"{fields.get('fault')}: {'in effect' if kind == 'effect' else 'removal'} seen from outside ({fields.get('proof')})")
        self.event(name, kind, **fields)

    def _note_alert(self, fields: dict[str, Any]) -> None:
        name, state = str(fields["alert"]), str(fields["state"])
        self.seen.alerts[name] = guard.Alert(state, int(fields["t_ns"]))
        if state == "firing" and self.seen.effect_ns is not None:
            self.seen.fired.add(name)

    def _note_activity(self, fields: dict[str, Any]) -> None:
        name = str(fields.get("name"))
        if fields.get("type") == "action" and fields.get("state") == "started":
            self.seen.injected.add(name)
        if fields.get("status") == "failed":
            self.seen.failed.add(name)
        told = fields.get("output")
        if fields.get("status") == "succeeded" and isinstance(told, dict) and told.get("fault") == name and told.get("effect"):
            self.seen.effects.add(name)  # the ledger has it; the prober's own line may come after the method child's last one

    def _ended(self, child: Child) -> None:
        """A child closed its output. Where nobody expected that, it is the end of the run."""
        if child.name in self.expected_to_end or child.name in self.seen.done:
            return
        code = child.process.wait()
        self.event("supervisor", "note", text=f"the {child.name} child ended with {code}: {child.last_words()}")
        self.children.pop(child.name, None)
        if child.name == "healer":
            self.on_healer_lost()
        if self.healing:
            return
        if child.name == "healer":
            raise Stop("aborted", "HEALER_LOST", f"the healer ended with {code}")
        if child.name == "method":
            raise Stop("error", "METHOD_CHILD_DIED", f"the method child ended with {code}: {child.last_words()}")
        if child.name == "load":
            raise Stop("undecided", "WORKER_LOST", f"the load child ended with {code}: {child.last_words()}")
        if child.name == "sources":
            raise Stop("undecided", "SOURCE_UNREACHABLE", f"the sources child ended with {code}: {child.last_words()}")
        raise Stop("undecided", "PROBER_LOST", f"the {child.name} child ended with {code}: {child.last_words()}")


def _activity_line(fields: dict[str, Any]) -> str:
    if fields.get("state") == "started":
        return f"{fields.get('type')} {fields.get('name')}"
    return f"{fields.get('type')} {fields.get('name')}: {fields.get('status')}" + (f" ({fields.get('error')})" if fields.get("error") else "")
