"""
The watcher: the child that asks Prometheus once a second. `python -m chaoslib_ext.sources.watcher STATE_RUN_DIR`.

Its orders are in sources.json of that directory. It says `ready` after a first round that was answered, then prints events as
JSON lines: a `reading` for each SLO and each alert, and an `alert` whenever one changes its state. A source that does not
answer later is a reading that is not ok. It ends with its parent, when standard input is closed, and soon after {"op": "last"}.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.children import die_with_parent
from chaoslib_ext.clock import NS, monotonic_ns
from chaoslib_ext.errors import NoData
from chaoslib_ext.sources.counting import Counting
from chaoslib_ext.sources.prometheus import Alert, Prometheus

ORDERS = "sources.json"
POLL_NS = NS
MOST_SKEW_S = 5.0
LAST_ROUNDS = 3  # after {"op": "last"}: what happened in the last second is scraped, and read, a little later
_RANK = {"inactive": 0, "pending": 1, "firing": 2}


class Watcher:
    """The loop."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._zero_ns = int(orders["t0_ns"])
        self._prometheus = Prometheus(str(orders["url"]), float(orders.get("timeout_s", 2.0)))
        self._counting = {one["slo"]: Counting(self._prometheus, one["good"], one["total"]) for one in orders["slos"]}
        self._alerts: dict[str, str | None] = dict.fromkeys(orders["alerts"])
        self._age_s = orders.get("resolution_s")
        self._round = 0

    def begin(self) -> None:
        """Looks whether the source can be asked at all. Raises NoData with what is wrong."""
        ahead_s = self._prometheus.ahead_s()
        if abs(ahead_s) > MOST_SKEW_S:
            raise NoData(f"{self._prometheus.url}: its clock is {ahead_s:+.1f} s from ours; its readings would lie in the wrong window")
        scrape_s = self._prometheus.scrape_interval_s() if self._age_s is None else float(self._age_s)
        self._age_s = (scrape_s or 0.0) + abs(ahead_s)
        for counting in self._counting.values():
            counting.query(time.time())
        self._prometheus.alerts()
        say(op="ready")

    def run(self) -> int:
        """Until standard input is closed, or the last rounds are over."""
        left = None
        os.set_blocking(0, False)
        while left is None or left > 0:
            due_ns = (monotonic_ns() // POLL_NS + 1) * POLL_NS
            self.look()
            left = None if left is None else left - 1
            while (wait_s := (due_ns - monotonic_ns()) / NS) > 0:
                if not select.select([0], [], [], wait_s)[0]:
                    break
                said = os.read(0, 65536)
                if not said:
                    return 0
                if b'"last"' in said and left is None:
                    left = LAST_ROUNDS
        say(op="done")
        return 0

    def look(self) -> None:
        """One round."""
        for slo, counting in self._counting.items():
            self._count(slo, counting)
        if self._alerts:
            self._look_at_alerts()

    def _count(self, slo: str, counting: Counting) -> None:
        sent_ns, told = self._now_ns(), {"name": "sli", "slo": slo, "source": "prometheus", "age_ns": round(float(self._age_s or 0.0) * NS)}
        try:
            counted = counting.query(time.time())
        except NoData as error:
            say(kind="reading", t_ns=sent_ns, ok=False, error=str(error)[:300], **told)
            return
        if counted is None:
            say(kind="reading", t_ns=sent_ns, ok=False, error="", **told)
        else:
            say(kind="reading", t_ns=sent_ns, ok=True, **told, **asdict(counted))

    def _look_at_alerts(self) -> None:
        sent_ns = self._now_ns()
        try:
            found = self._prometheus.alerts()
        except NoData as error:
            for name in self._alerts:
                say(kind="reading", name="alert", alert=name, source="prometheus", t_ns=self._now_ns(), sent_ns=sent_ns, ok=False, error=str(error)[:300])
            return
        done_ns = self._now_ns()
        for name, before in self._alerts.items():
            state, since = state_of(name, found)
            say(kind="reading", name="alert", alert=name, source="prometheus", t_ns=done_ns, sent_ns=sent_ns, ok=True, state=state)
            if state != before:
                say(kind="alert", name=name, state=state, t_ns=done_ns, starts_at=since)
            self._alerts[name] = state

    def _now_ns(self) -> int:
        return monotonic_ns() - self._zero_ns


def state_of(name: str, alerts: list[Alert]) -> tuple[str, str]:
    """The strongest state of all alerts of a name (firing, pending, inactive), and since when its condition has been true."""
    mine = [(_RANK.get(one.state, 1), one) for one in alerts if one.name == name]
    if not mine:
        return "inactive", ""
    rank, one = max(mine, key=lambda pair: pair[0])
    return ("pending", "firing")[rank == 2], one.active_at


def say(**fields: Any) -> None:
    """One line for the supervisor."""
    os.write(1, json.dumps(fields, separators=(",", ":")).encode() + b"\n")


def main(argv: list[str]) -> int:
    """The process. Exit codes: 0 ended, 3 the source could not be asked at the beginning."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's interrupt is the supervisor's business
    orders = state.read_json(Path(argv[1]) / ORDERS)
    die_with_parent(int(orders["parent_pid"]))
    watcher = Watcher(orders)
    try:
        watcher.begin()
        return watcher.run()
    except NoData as error:
        print(error, file=sys.stderr, flush=True)
        return 3
    except BrokenPipeError:
        return 0  # nobody listens any more


if __name__ == "__main__":
    sys.exit(main(sys.argv))
