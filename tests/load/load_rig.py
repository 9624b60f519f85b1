"""A load child as the supervisor sees it, and the servers it meets: all real processes and sockets on loopback."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext.timeline import Outcome, Rows, Second, read_rows, read_seconds

DEADLINE_S = 30.0  # far above what any of this takes; only a hang meets it


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of a condition, or a failed test that says what was waited for."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        threading.Event().wait(0.01)
    raise AssertionError(f"waited {deadline_s} s in vain for {what}")


class LoadChild:
    """A running `python -m chaoslib_ext.load.child`, its lines read by a thread."""

    def __init__(self, tmp_path: Path, hold: bool = False, **spec: Any) -> None:
        self.out_dir = tmp_path / "load" / "w0"
        self.t0_ns = time.monotonic_ns() - 10**10  # a run's zero lies before its load
        spec = {"t0_ns": self.t0_ns, "out_dir": str(self.out_dir), "seed": 7, "slis": [], "max_in_flight": 20000, "zone_header": "X-Zone", **spec}
        path = tmp_path / "load.json"
        path.write_text(json.dumps(spec))
        self.errors = tmp_path / "load.err"
        with self.errors.open("wb") as errors:
            argv = [sys.executable, "-m", "chaoslib_ext.load.child", str(path)]
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self.lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.seconds: list[dict[str, Any]] = []
        self.start_ns = 0
        if not hold:
            self.read()

    def read(self) -> None:
        """Begins to read what it says."""
        threading.Thread(target=self._read, daemon=True).start()

    def begin_blindly(self) -> None:
        """Lets it begin without reading that it is ready."""
        self.send(op="start", at_ns=time.monotonic_ns())

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self.process.stdout:
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def until(self, op: str) -> dict[str, Any]:
        """The next line with this op; summaries on the way are kept in `seconds`."""
        while True:
            line = self.lines.get(timeout=DEADLINE_S)
            assert line is not None, f"the load child ended before {op!r}: {self.errors.read_text()}"
            if line["op"] == "second":
                self.seconds.append(line)
            if line["op"] == op:
                return line

    def send(self, **order: Any) -> None:
        """One order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def start(self, in_s: float = 0.1) -> int:
        """Waits until it is ready and lets it begin; the start instant."""
        self.until("ready")
        self.start_ns = time.monotonic_ns() + int(in_s * 1e9)
        self.send(op="start", at_ns=self.start_ns)
        return self.start_ns

    def run_until(self, second: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Waits for a summary that fits."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            line = self.until("second")
            if second(line):
                return line
        raise AssertionError(f"no summary fits; the last one is {line}")

    def freeze(self, for_s: float) -> None:
        """Takes the processor away from it for so long, by the monotonic clock."""
        self.process.send_signal(signal.SIGSTOP)
        end = time.monotonic() + for_s
        wait_for(lambda: time.monotonic() >= end, "the end of a pause")
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> Finished:
        """Stops it, waits until it is done, and reads what it left."""
        self.send(op="stop")
        self.until("stopped")
        done = self.until("done")
        assert self.process.wait(DEADLINE_S) == 0, self.errors.read_text()
        found = read_folder(self.out_dir)
        assert not found.torn
        assert len(found.rows) == done["rows"] == found.meta["rows"]
        return found

    def run(self, released: int = 20) -> Finished:
        """Lets it run until summaries tell of that many released arrivals."""
        self.start()
        self.run_until(lambda _: sum(second["released"] for second in self.seconds) >= released)
        return self.stop()

    def end(self) -> None:
        """Kills it if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError, ValueError):
                pipe.close()


class Finished:
    """What a load child left on disk."""

    def __init__(self, rows: Rows, seconds: list[Second], meta: dict[str, Any], torn: bool) -> None:
        self.rows, self.seconds, self.meta, self.torn = rows, seconds, meta, torn

    def of(self, class_: str, name: str | None = None) -> list[tuple[int, int, int, Outcome]]:
        """(intended_us, late_us, latency_us, outcome) of a class, by intended start."""
        wanted = {e["index"] for e in self.meta["endpoints"] if e["class"] == class_ and name in (None, e["name"])}
        rows = zip(self.rows.intended_us, self.rows.late_us, self.rows.latency_us, self.rows.outcome, self.rows.endpoint, strict=True)
        return sorted((intended, late, latency, Outcome(outcome)) for intended, late, latency, outcome, endpoint in rows if endpoint in wanted)

    def outcomes(self, class_: str, name: str | None = None) -> Counter[Outcome]:
        """How many rows of a class ended how."""
        return Counter(row[3] for row in self.of(class_, name))


def read_folder(out_dir: Path) -> Finished:
    """Reads a worker's folder with the readers of the run."""
    rows, torn = Rows(), False
    for segment in sorted(out_dir.glob("rows-*.bin")):
        torn = read_rows(segment, rows) or torn
    seconds, seconds_torn = read_seconds(out_dir / "seconds.bin")
    return Finished(rows, seconds, json.loads((out_dir / "meta.json").read_text()), torn or seconds_torn)


class Server:
    """`server.py` as a process of its own, so that it can be stopped in its tracks and counted from outside."""

    def __init__(self, tmp_path: Path, name: str = "server") -> None:
        self.log = tmp_path / f"{name}.log"
        argv = [sys.executable, str(Path(__file__).with_name("server.py")), str(self.log)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def requests(self) -> list[list[str]]:
        """What reached it: [method, path, connection number]."""
        return [line.split(" ") for line in self.log.read_text().splitlines()]

    def freeze(self) -> None:
        """Stops it in its tracks."""
        self.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "a frozen server")

    def thaw(self) -> None:
        """Lets it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kills it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def step(request: str, timeout_s: float = 2.0, **more: Any) -> dict[str, Any]:
    """A step as a profile's JSON has it."""
    method, path = request.split(" ", 1)
    name = f"{method} {path.partition('?')[0]}"
    rest = {"headers": {}, "json": None, "capture": {}, "statuses": [], "slo": None}
    return {"name": name, "method": method, "path": path, "timeout_s": timeout_s, **rest, **more}


def sli(name: str, select_name: str | None, class_: str, max_latency_ms: float | None) -> dict[str, Any]:
    """An SLI as the supervisor names it."""
    return {"name": name, "select_name": select_name, "select_class": class_, "max_latency_ms": max_latency_ms}


def profile(*journeys: dict[str, Any] | list[dict[str, Any]], rate: float = 50.0, **more: Any) -> dict[str, Any]:
    """A load profile's JSON; a bare list of steps is a journey named after its place."""
    made = [one if isinstance(one, dict) else {"name": f"journey-{at}", "weight": 1.0, "steps": one} for at, one in enumerate(journeys)]
    stages = [{"rate": rate, "to": None, "for_s": None}]
    return {"stages": stages, "arrivals": "uniform", "journeys": made, "locustfile": None, "source": "test.yaml", **more}


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
