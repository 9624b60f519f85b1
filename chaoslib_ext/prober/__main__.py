"""
The prober: the process that sees from outside whether a fault is real, and when it is gone.

`python -m chaoslib_ext.prober STATE_RUN_DIR [PARENT_PID]`. It looks at every planned target, tails the undo ledger,
appends an EFFECT frame as soon as a fault's effect is proven, and prints events as JSON lines: effect, removed,
target, and a reading per second for each active fault. It may be killed and started again at any time: what it
must remember is in the ledger and in prober.json. It ends with its parent, or when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.children import die_with_parent
from chaoslib_ext.clock import NS, boot_ns
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.ledger import Frame, Ledger
from chaoslib_ext.prober.bracket import CONFIRM, REMOVAL_MOST, Bracket, Look, effect_bracket, looks_needed, removal_bracket, together
from chaoslib_ext.prober.looking import Looker
from chaoslib_ext.prober.watching import Life, View, Watch, watch_of

CALM_NS, EDGE_NS = 50_000_000, 10_000_000  # between two looks at a target: 20 a second, 100 near an edge
ROSTER_NS = 200_000_000
MEMORY = "prober.json"


class Prober:
    """The loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger.of_run(folder)
        self.looker = Looker(self.ledger.zero_ns)
        self.views: dict[str, View] = {}
        self.watches: dict[str, Watch] = {}
        self.lives: dict[str, Life] = {}
        self._seen: tuple[object, ...] = ()
        self._next_second_ns = self._next_roster_ns = 0
        self._memory = state.read_json(folder / MEMORY)

    def run(self) -> int:
        """Until standard input is closed."""
        self.looker.watch(0)
        while True:
            news = self._catch_up()
            now_ns = self.looker.now_ns()
            ended = self._send(now_ns)
            more, readable = self.looker.poll(0.005)
            self._take(ended + more)
            if 0 in readable and not os.read(0, 4096):
                return 0
            if news or ended or more:
                self._decide()
            self._now_and_then(now_ns)

    def _take(self, ended: list[tuple[str, Look]]) -> None:
        hit = {view.uid for watch in self.watches.values() if watch.active for view in watch.views}
        for key, look in ended:
            view = self.views[key]
            known = view.calm_ns
            view.add(look, calm=view.uid not in hit)
            if not known and view.calm_ns:
                self._remember()

    def _catch_up(self) -> bool:
        """Reads spec.json and the ledger again when they have changed; True when they had."""
        spec = self.folder / state.SPEC
        try:
            contents = self.ledger.read()
        except LedgerCorrupt:
            return False  # the healer says so; no effect can be recorded any more
        version = ((found.st_size, found.st_mtime_ns, found.st_ino) if (found := _stat(spec)) else None, contents.end)
        if version == self._seen:
            return False
        rows = state.read_json(spec).get("plan", {}).get("resolved", [])
        frames = list(contents.frames)
        self._seen = version
        for row in rows:
            if row["activity"] not in self.watches:
                self._begin(row)
        for watch in self.watches.values():
            watch.read(frames)
        self._killed(frames)
        return True

    def _begin(self, row: dict[str, Any]) -> None:
        watch = self.watches[row["activity"]] = watch_of(row, self.views)
        for view in watch.views:
            view.calm_ns = view.calm_ns or int(self._memory.get("calm", {}).get(view.key, 0))
        watch.removed = watch.fault in self._memory.get("removed", [])
        if watch.rule in ("crash", "kill"):
            for target in row["targets"]:
                if target.get("probe") and (target.get("data") or {}).get("roster"):
                    self.lives.setdefault(target["uid"], Life(target, Path(target["data"]["roster"])))

    def _killed(self, frames: list[Frame]) -> None:
        for frame in frames:
            life = self.lives.get(frame.target.uid)
            if life is not None and frame.rec == "APPLIED" and frame.handler == "process.kill":
                life.killed(frame.t_ns)

    def _send(self, now_ns: int) -> list[tuple[str, Look]]:
        """Sends the looks that are due; those that ended at once."""
        ended = []
        near = {view.key for watch in self.watches.values() if watch.near_edge(now_ns) for view in watch.views}
        for view in self.views.values():
            if now_ns >= view.next_ns:
                pause_ns = max(view.pause_ns, EDGE_NS if view.key in near else CALM_NS)
                view.next_ns = max(view.next_ns + pause_ns, now_ns)
                at_once = self.looker.send(view.key, view.address, view.path, view.limit_ns, view.through)
                if at_once is not None:
                    ended.append((view.key, at_once))
            elif view.key in near:
                view.next_ns = min(view.next_ns, now_ns + max(view.pause_ns, EDGE_NS))
        return ended

    def _decide(self) -> None:
        for watch in self.watches.values():
            if watch.intent_ns is None:
                self._tell_of(watch)
            elif not watch.due(self.looker.now_ns()):
                continue
            elif watch.effect is None and watch.applied_ns is not None and watch.undo_ns is None:
                self._look_for_effect(watch, watch.intent_ns, watch.applied_ns)
            elif watch.effect is not None and not watch.removed:
                self._look_for_removal(watch, watch.effect)

    def _tell_of(self, watch: Watch) -> None:
        if watch.views and not watch.told and all(view.calm_ns for view in watch.views):
            watch.told = True
            self._say("note", fault=watch.fault, watching=True, text=f"{watch.fault}: {len(watch.views)} targets answer, looked at from outside")

    def _look_for_effect(self, watch: Watch, intent_ns: int, applied_ns: int) -> None:
        found: list[Bracket] = []
        for view in watch.views:
            one = effect_bracket(view.looks, watch.aim(view), intent_ns, applied_ns) if view.calm_ns else None
            if one is None or self._earlier_in_flight(view, one.hi_ns):
                return
            found.append(one)
        if not found:
            return  # nothing of it can be looked at: its effect is never proven
        whole = together(found)
        proof = f"{len(found)} of {len(found)} targets seen from outside: {_PROOF[watch.rule]}" + (_of(watch.tally()) if watch.traffic else "")
        expires_ns = boot_ns() + (whole.hi_ns - self.looker.now_ns()) + watch.duration_ns if watch.held else 0
        effect = {"lo_ns": whole.lo_ns, "hi_ns": whole.hi_ns, "proof": proof}
        try:
            self.ledger.append(Frame(watch.fault, "EFFECT", kind="held" if watch.held else "instant", expires_ns=expires_ns, effect=effect))
        except LedgerCorrupt:
            return
        watch.effect = whole
        self._say("effect", fault=watch.fault, **effect, uids=[view.uid for view in watch.views])

    def _look_for_removal(self, watch: Watch, effect: Bracket) -> None:
        found: list[Bracket] = []
        for view in watch.views:
            one = removal_bracket(view.looks, watch.aim(view), effect.hi_ns, watch.undo_ns)
            if one is None or self._earlier_in_flight(view, one.hi_ns):
                return
            found.append(one)
        whole = together(found)
        replaced = not watch.traffic and all(view.looks[-1].incarnation not in ("", view.uid) for view in watch.views)
        early = watch.held and (watch.undo_ns is None or whole.hi_ns < watch.undo_ns)
        unaffected = f"none of {max(CONFIRM, looks_needed(watch.share, REMOVAL_MOST))} looks in a row through each was affected"
        proof = (unaffected if watch.traffic else "answer again") + (", replaced" if replaced else "") + (", before anything was undone" if early else "")
        watch.removed = True
        self._say("removed", fault=watch.fault, lo_ns=whole.lo_ns, hi_ns=whole.hi_ns, proof=proof, replaced=replaced, uids=[view.uid for view in watch.views])
        self._remember()

    def _earlier_in_flight(self, view: View, hi_ns: int) -> bool:
        """Whether a look that was sent before the edge has still to end: it could move the edge."""
        earliest = self.looker.earliest_ns(view.key)
        return earliest is not None and earliest < hi_ns and self.looker.now_ns() < hi_ns + 2 * view.limit_ns

    def _now_and_then(self, now_ns: int) -> None:
        if now_ns >= self._next_roster_ns:
            self._next_roster_ns = now_ns + ROSTER_NS
            for life in self.lives.values():
                for what, uid, t_ns in life.follow(now_ns):
                    self._say("target", t_ns=t_ns, uid=uid, name=life.name, zone=life.zone, what=what)
        if now_ns >= self._next_second_ns:
            self._next_second_ns = (now_ns // NS + 1) * NS
            for watch in self.watches.values():
                if watch.active and watch.effect is not None:  # before that, the looks that will prove it are still under way
                    count, of = watch.in_effect(), len(watch.views)
                    self._say("reading", name="in_effect", fault=watch.fault, in_effect=count, of=of, ok=count == of, value=count)

    def _remember(self) -> None:
        """Writes down what a prober that takes over could not see again."""
        calm = {view.key: view.calm_ns for view in self.views.values() if view.calm_ns}
        self._memory = {"calm": calm, "removed": [watch.fault for watch in self.watches.values() if watch.removed]}
        state.write_json(self.folder / MEMORY, self._memory)

    def _say(self, kind: str, **fields: Any) -> None:
        line = json.dumps({"kind": kind, "t_ns": self.looker.now_ns(), **fields}, separators=(",", ":"))
        os.write(1, line.encode() + b"\n")


_PROOF = {
    "silence": "unanswered",
    "crash": "closed and unanswered",
    "kill": "closed, or answered by another incarnation",
    "delay": "answered late",
    "full": "answered that its disk is full, or ended",
    "abort": "answered by the proxy itself",
}


def _of(tally: tuple[int, int]) -> str:
    return f", {tally[0]} of {tally[1]} looks"


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def main(argv: list[str]) -> int:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's interrupt is the supervisor's business
    folder = Path(argv[1])
    parent = state.read_json(folder / state.SPEC).get("supervisor_pid")
    if parent is not None:
        die_with_parent(int(parent))
    try:
        return Prober(folder).run()
    except BrokenPipeError:
        return 0  # nobody listens any more


if __name__ == "__main__":
    sys.exit(main(sys.argv))
