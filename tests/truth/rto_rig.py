"""
Outages that are planted one after another within one load session, and what the verdict's own functions say of each recovery.

The load is our load child, good is a 200 within 100 ms. What is true comes from the planter's own stamps; where a prober that looks every few
milliseconds still saw the service fail behind the stamp (a backlog, a busy machine), until it saw it good.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaoslib_ext.block import Block, Rto, Windows
from chaoslib_ext.judging.case import case_of
from chaoslib_ext.judging.rto import judge_rto
from chaoslib_ext.rundir import Run
from chaoslib_ext.samples import intended_order
from chaoslib_ext.slo import Sli, Slo
from chaoslib_ext.timeline import Rows, read_rows

HERE = Path(__file__).parent
COMPLETE = ("kill", "freeze", "hole", "errors", "slow", "flapping", "ramp")
KINDS = (*COMPLETE[:6], "loss", "ramp")
LIMIT_MS, TIMEOUT_S, STABLE_S, CALM_S, HOLD_S = 100.0, 1.0, 1.2, 1.7, (0.8, 1.4)
RAMP_S, SLOW_S, STALL_S = 1.0, 0.4, 0.05
MS = 1_000_000
GET = Slo("get", "target", "get", Sli("get", "get", "journey", LIMIT_MS), 0.95, 30 * 86400.0, "rig")
Stamp = tuple[int, int]  # just before and just after, CLOCK_MONOTONIC in ns


@dataclass(frozen=True)
class Planted:
    """One outage: its begin and its end as the planter knows them, and when the next one began."""

    kind: str
    begin: Stamp
    end: Stamp
    until_ns: int


@dataclass(frozen=True)
class Measured:
    """
    Seconds from the effect: the verdict's bracket (`hi_s` None: undecided) beside the truth.

    `outcome` is the finding's, `late_s` what the prober adds to the truth, `stall_s` for how long it did not come to look although it should have.
    """

    kind: str
    lo_s: float
    hi_s: float | None
    truth: tuple[float, float]
    late_s: float
    outcome: str
    stall_s: float

    @property
    def sound(self) -> bool:
        """Whether the verdict stands by its figures and the machine did not stall, which would delay the answers that the load child reads."""
        return self.outcome != "inconclusive" and self.stall_s < STALL_S

    @property
    def decided(self) -> bool:
        """Whether a recovery was found."""
        return self.hi_s is not None

    @property
    def inside(self) -> bool:
        """Whether the bracket and the bracket of the truth have a moment in common; an open one reaches to the end of time."""
        return self.lo_s <= self.truth[1] and (self.hi_s is None or self.truth[0] <= self.hi_s)

    @property
    def width_s(self) -> float:
        """The width of the bracket."""
        return (self.hi_s or self.lo_s) - self.lo_s

    @property
    def error_s(self) -> float:
        """How far the middle of the bracket lies from the middle of the truth."""
        return abs(self.lo_s + self.width_s / 2 - sum(self.truth) / 2)

    @property
    def late_error_s(self) -> float:
        """How much later than the truth begins the bracket ends: what load generators that print one figure call the error."""
        return self.lo_s + self.width_s - self.truth[0]


class Server:
    """The victim, in a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.start()

    def start(self) -> Stamp:
        """Starts it; when it began to listen."""
        argv = [sys.executable, str(HERE / "faulty_server.py"), str(self.port)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self._stamp()

    def _stamp(self) -> Stamp:
        assert self.process.stdout
        before, after = self.process.stdout.readline().split()
        return int(before), int(after)

    def order(self, words: str) -> Stamp:
        """Orders a mode; when it was obeyed."""
        assert self.process.stdin
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self._stamp()

    def send(self, number: int) -> Stamp:
        """Sends a signal; when. A killed one is waited for."""
        before = time.monotonic_ns()
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.close()
        return before, time.monotonic_ns()

    def close(self) -> None:
        """Ends it, however it is."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close() if pipe else None


def outage(server: Server, kind: str, hold_s: float) -> tuple[Stamp, Stamp]:
    """Plants one outage; when it began, and when the service was good again by construction."""
    if kind == "kill":
        return server.send(signal.SIGKILL), (wait(hold_s), server.start())[1]
    if kind == "freeze":
        return server.send(signal.SIGSTOP), (wait(hold_s), server.send(signal.SIGCONT))[1]
    words = {"loss": f"loss {1 / 3}", "slow": f"slow {SLOW_S}", "flapping": "errors", "ramp": "errors"}.get(kind, kind)
    begin = server.order(words)
    if kind == "flapping":
        for _ in range(2):
            wait(hold_s / 2)
            server.order("ok")
            wait(0.25)
            server.order("errors")
    wait(hold_s)
    if kind != "ramp":
        return begin, server.order("ok")
    turned = server.order(f"ramp {SLOW_S} {RAMP_S}")
    wait(RAMP_S)
    server.order("ok")
    crossed_ns = round(RAMP_S * (1 - LIMIT_MS / 1000 / SLOW_S) * 1e9)
    return begin, (turned[0] + crossed_ns, turned[1] + crossed_ns + 25 * MS)  # 10 ms of the way there and back move it by 25 ms


def wait(seconds: float) -> None:
    """Lets the load go on."""
    threading.Event().wait(seconds)


@contextlib.contextmanager
def loaded(folder: Path, port: int, rate: float, t0_ns: int) -> Iterator[None]:
    """Load from one second before until the end of the block."""
    step = {"name": "GET /", "method": "GET", "path": "/", "timeout_s": TIMEOUT_S, "statuses": [200]}
    journeys = [{"name": "get", "weight": 1, "steps": [step]}]
    profile = {"stages": [{"rate": rate, "to": None, "for_s": None}], "arrivals": "uniform", "journeys": journeys, "locustfile": None, "source": "rig"}
    spec = {"t0_ns": t0_ns, "out_dir": str(folder / "w0"), "base_url": f"http://127.0.0.1:{port}", "hosts": ["127.0.0.1"], "profile": profile, "seed": 1}
    (folder / "load.json").write_text(json.dumps(spec))
    argv = [sys.executable, "-m", "chaoslib_ext.load.child", str(folder / "load.json")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin and child.stdout
        while json.loads(child.stdout.readline()).get("op") != "ready":
            pass
        drain = threading.Thread(target=child.stdout.read, daemon=True)
        drain.start()
        child.stdin.write(json.dumps({"op": "start", "at_ns": time.monotonic_ns() + 300 * MS}) + "\n")
        child.stdin.flush()
        try:
            wait(1.3)
            yield
            child.stdin.write('{"op": "stop"}\n')
            child.stdin.flush()
            child.wait(60)
        finally:
            child.kill()
            drain.join(10)


def session(folder: Path, rate: float, order: list[str], seed: int = 1, look_ms: float | None = 1.0) -> list[Measured]:
    """Plants `order`, one outage after another, while the load of `rate` arrivals/s goes on. `look_ms` None: without a prober."""
    chance, t0_ns, server = random.Random(seed), time.monotonic_ns(), Server()
    found: list[tuple[str, Stamp, Stamp]] = []
    argv = [sys.executable, str(HERE / "one_ms_prober.py"), str(server.port), str(folder / "looks"), str(look_ms)]
    prober = None if look_ms is None else subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        with loaded(folder, server.port, rate, t0_ns):
            for kind in order:
                found.append((kind, *outage(server, kind, chance.uniform(*HOLD_S))))
                wait(CALM_S + chance.uniform(0, 0.05))
            last_ns = time.monotonic_ns()
    finally:
        server.close()
        if prober:
            prober.kill()
            prober.wait()
    untils = [begin[0] for _, begin, _ in found[1:]] + [last_ns]
    planted = [Planted(kind, begin, end, until) for (kind, begin, end), until in zip(found, untils, strict=True)]
    lines = (folder / "looks").read_text().splitlines() if prober else []
    looks = sorted(tuple(map(int, line.split())) for line in lines if line.count(" ") == 2)
    return [measured(run, one, t0_ns, looks) for run, one in zip(runs(folder, planted, t0_ns), planted, strict=True)]


def runs(folder: Path, planted: list[Planted], t0_ns: int) -> Iterator[Run]:
    """The rows of each outage as a run whose fault is over in an instant, so that the whole time is the system's own."""
    rows, meta = Rows(), json.loads((folder / "w0/meta.json").read_text())
    for path in sorted((folder / "w0").glob("rows-*.bin")):
        read_rows(path, rows)
    order = intended_order(rows)
    at_us = [rows.intended_us[i] for i in order]
    for one in planted:
        a_ns, b_ns = one.begin[0] - t0_ns, one.until_ns - t0_ns
        part = Rows()
        for i in order[bisect_left(at_us, a_ns // 1000 - 500_000) : bisect_left(at_us, b_ns // 1000)]:
            part.append(rows.intended_us[i], rows.late_us[i], rows.latency_us[i], rows.endpoint[i], rows.outcome[i])
        block = Block(slos=[GET], rto=Rto(30.0, ["get"]), windows=Windows(stable_s=STABLE_S))
        plan = {"resolved": [{"activity": one.kind, "kind": "instant"}]}
        seen: dict[str, Any] = {"kind": "effect", "fault": one.kind, "proof": "planted", "t_ns": one.begin[1] - t0_ns}
        event = {**seen, "lo_ns": one.begin[0] - t0_ns, "hi_ns": one.begin[1] - t0_ns}
        header = {"id": "rig", "end": {"how": "completed"}}
        yield Run(folder, header, block, plan, [event], part, meta={**meta, "stop_ns": b_ns, "rows": len(part)}, endpoints=meta["endpoints"])


def measured(run: Run, one: Planted, t0_ns: int, looks: list[tuple[int, ...]]) -> Measured:
    """The verdict's word on one outage beside what is true of it."""
    judged = judge_rto(case_of(run))
    assert judged is not None
    finding, figures = judged
    seen_ns = seen_good(one, looks)
    truth = ((one.end[0] - one.begin[1]) / 1e9, (max(one.end[1], seen_ns) - one.begin[0]) / 1e9)
    return Measured(one.kind, figures["lo_s"], figures["hi_s"], truth, max(0, seen_ns - one.end[1]) / 1e9, finding.outcome, stalled_s(one, looks))


def seen_good(one: Planted, looks: list[tuple[int, ...]]) -> int:
    """When the first of 20 good looks in a row that were sent behind the end was answered; a stray bad one later is no outage. 0 without a prober."""
    span = looks[bisect_left(looks, (one.end[0],)) : bisect_left(looks, (one.until_ns,))]
    for i in range(len(span) - 19):
        if all(look[2] for look in span[i : i + 20]):
            return span[i][1]
    return 0


def stalled_s(one: Planted, looks: list[tuple[int, ...]]) -> float:
    """The longest time between two looks around the end and behind it; 0 without a prober."""
    sent = [look[0] for look in looks[bisect_left(looks, (one.end[0] - 200 * MS,)) : bisect_left(looks, (one.until_ns,))]]
    return max((after - before for before, after in pairwise(sent)), default=0) / 1e9
