"""
What the prober knows: the targets it looks at, the faults it waits for, and the lives of killed targets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.clock import NS
from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import TERMINAL, Frame, effect_frame, entries
from chaoslib_ext.prober.bracket import TRAFFIC, Aim, Bracket, Look, looks_needed, usual_ns
from chaoslib_ext.prober.looking import LIMIT_NS
from chaoslib_ext.process.client import read_roster, uid_alive

CALM_LOOKS = 5  # answers after which the usual answer time is known; chosen by feel
JUDGE_EDGE_NS, JUDGE_NS = 50_000_000, 500_000_000  # between two judgements of the looks of a share
IN_FLIGHT = 20  # looks that are held back at the same time at one target; chosen by feel
EDGE_MOST_NS = 30 * NS  # an edge that does not come is not looked for that closely for ever


@dataclass(slots=True)
class View:
    """
    One planned target: where it is looked at, and what was seen. `calm_ns` is its usual answer time, 0 until it is known.

    One that is looked `through` is a proxy. `limit_ns` is how long an answer is waited for, `pause_ns` the least time between
    two looks.
    """

    uid: str
    name: str
    address: tuple[str, int]
    path: str
    calm_ns: int = 0
    next_ns: int = 0
    answered: int = 0
    longest_ns: int = 0
    key: str = ""
    through: bool = False
    limit_ns: int = LIMIT_NS
    pause_ns: int = 0
    looks: deque[Look] = field(default_factory=lambda: deque(maxlen=1500))

    def add(self, look: Look, calm: bool) -> None:
        """Takes a look that ended; in calm, the usual answer time comes from those that the planned incarnation answered."""
        self.looks.append(look)
        if calm and (look.incarnation == self.uid or (self.through and look.incarnation)):
            self.answered += 1
            self.longest_ns = max(self.longest_ns, usual_ns([look], LIMIT_NS))
            if self.answered >= CALM_LOOKS:
                self.calm_ns = max(self.calm_ns, self.longest_ns)


@dataclass(slots=True)
class Watch:
    """One planned fault and how far it is; times are the ledger's, from the run's zero, None until they are there."""

    fault: str
    rule: str
    held: bool
    duration_ns: int
    views: list[View]
    intent_ns: int | None = None
    applied_ns: int | None = None
    undo_ns: int | None = None
    over: bool = False  # every part is undone, or nothing was ever applied
    effect: Bracket | None = None
    removed: bool = False
    told: bool = False
    share: float = 1.0
    delay_ns: int = 0
    status: int = 0
    next_ns: int = 0

    @property
    def traffic(self) -> bool:
        """Whether it hits a share of the requests instead of whole targets."""
        return self.rule in TRAFFIC

    def due(self, now_ns: int) -> bool:
        """Whether it is time to judge its looks again: a share needs many of them, and judging them all takes time."""
        if not self.traffic or now_ns >= self.next_ns:
            self.next_ns = now_ns + (JUDGE_EDGE_NS if self.near_edge(now_ns) else JUDGE_NS)
            return True
        return False

    @property
    def active(self) -> bool:
        """Whether it was begun and is not seen gone."""
        return self.intent_ns is not None and not self.removed and (self.effect is not None or not self.over)

    def near_edge(self, now_ns: int) -> bool:
        """Whether its effect or its removal is to be expected now."""
        if not self.active or self.intent_ns is None:
            return False
        if self.effect is None:
            return now_ns - self.intent_ns < EDGE_MOST_NS
        return self.undo_ns is not None and now_ns - self.undo_ns < EDGE_MOST_NS

    def read(self, frames: list[Frame]) -> None:
        """Takes over what the ledger says about this fault."""
        mine = [frame for frame in frames if frame.fault == self.fault]
        first = {rec: next((frame.t_ns for frame in mine if frame.rec in recs), None) for rec, recs in _FIRST.items()}
        self.intent_ns, self.applied_ns, self.undo_ns = first["INTENT"], first["APPLIED"], first["UNDO_TRY"]
        parts = entries(mine)
        self.over = bool(parts) and all(part.rec in TERMINAL for part in parts)
        seen = effect_frame(mine, self.fault)
        if seen is not None and seen.effect is not None:
            self.effect = Bracket(int(seen.effect["lo_ns"]), int(seen.effect["hi_ns"]))

    def aim(self, view: View) -> Aim:
        """How this fault's looks at one target are read."""
        return Aim(self.rule, view.uid, view.calm_ns, self.share, self.delay_ns, self.status)

    def in_effect(self) -> int:
        """On how many targets the latest look that ended shows the fault; of a share, any of as many as cannot all miss it."""
        if self.traffic:
            return sum(self._hit_lately(view) for view in self.views)
        latest = [(view, max(view.looks, key=lambda look: look.sent_ns)) for view in self.views if view.looks]
        return sum(self.aim(view).holds(look) for view, look in latest)

    def _hit_lately(self, view: View) -> bool:
        aim = self.aim(view)
        known = sorted((look for look in view.looks if aim.holds(look) or aim.returned(look)), key=lambda look: look.sent_ns)
        return any(map(aim.holds, known[-looks_needed(self.share) :]))

    def tally(self) -> tuple[int, int]:
        """How many looks since the effect, or since the intent before it, were affected, and how many there were."""
        since_ns = self.effect.hi_ns if self.effect else self.intent_ns or 0
        looks = [(self.aim(view), look) for view in self.views for look in view.looks if look.sent_ns >= since_ns]
        return sum(aim.holds(look) for aim, look in looks), sum(aim.holds(look) or aim.returned(look) for aim, look in looks)


_FIRST = {"INTENT": ("INTENT",), "APPLIED": ("APPLIED", "AMBIG"), "UNDO_TRY": ("UNDO_TRY",)}
_RULES = {"crash": "crash", "kill": "kill", "switchover": "kill", "delay": "delay", "abort": "abort", "sluggish": "delay", "full": "full"}
DISK_PAUSE_NS = 100_000_000  # between two looks at a disk: each makes the node log in and write


def watch_of(row: dict[str, Any], views: dict[str, View]) -> Watch:
    """The watch of a plan row; `views` holds one for each target that can be looked at, and is added to."""
    rule, traffic = _RULES.get(row["how"], "silence"), row.get("traffic") or row.get("disk") or {}
    share, delay_ns = float(traffic.get("share", 1.0)), round(float(traffic.get("delay_s", 0.0)) * NS)
    mine = []
    for target in row["targets"]:
        probe = target.get("probe")
        if probe:
            view = View(target["uid"], target["name"], (probe["host"], int(probe["port"])), probe["path"], key=target["uid"])
            if rule in TRAFFIC:  # one Envoy may have several faults, each on another route and looked at by itself
                view.key, view.through = f"{target['uid']} {row['activity']}", True
                view.limit_ns, view.pause_ns = NS + delay_ns * 5 // 4, round(share * delay_ns / IN_FLIGHT)
            if row["how"] in ("sluggish", "full"):  # commits wait for each other, and a node may have more than one fault
                view.key, view.limit_ns, view.pause_ns = f"{target['uid']} {row['activity']}", 4 * NS + 5 * delay_ns, DISK_PAUSE_NS
            mine.append(views.setdefault(view.key, view))
    duration_ns = round(float(row.get("duration_s") or 0) * NS)
    held = row["kind"] == "held"
    return Watch(row["activity"], rule, held, duration_ns, mine, share=share, delay_ns=delay_ns, status=int(traffic.get("status", 0)))


class Life:
    """A target that gets killed: killed, gone, and what replaces it: started, ready."""

    def __init__(self, target: dict[str, Any], roster: Path) -> None:
        self.name, self.zone, self.uid, self.roster = target["name"], target.get("zone", ""), target["uid"], roster
        self._told: list[str] = []
        self._killed_ns: int | None = None

    def killed(self, t_ns: int) -> None:
        """The ledger says that it was killed."""
        self._killed_ns = t_ns

    def follow(self, now_ns: int) -> Iterator[tuple[str, str, int]]:
        """What has newly happened: what, the uid it happened to, and when it was seen."""
        if self._killed_ns is None or "ready" in self._told:
            return
        if "killed" not in self._told:
            self._told.append("killed")
            yield "killed", self.uid, self._killed_ns
        if "gone" not in self._told and not uid_alive(self.uid):
            self._told.append("gone")
            yield "gone", self.uid, now_ns
        new = self._replacement()
        if new is None:
            return
        for what, there in (("started", True), ("ready", bool(new.get("ready")))):
            if there and what not in self._told:
                self._told.append(what)
                yield what, new["uid"], now_ns

    def _replacement(self) -> dict[str, Any] | None:
        try:
            replicas = read_roster(self.roster)["replicas"]
        except (OSError, FaultFailed):
            return None  # the sandbox is on its way down
        return next((one for one in replicas if one["name"] == self.name and one.get("uid") not in (None, self.uid)), None)
