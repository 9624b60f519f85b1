"""
What the healer's death suite shares: supervisors that start a healer of their own, with three faults in force, in many ways killed.

`python deaths_rig.py RUN CONTROL HELD_S FLAG PIDS` is such a supervisor: it makes the run, starts the healer and a method child, freezes two
processes, beats twice a second and prints where it is. It differs from the real one: no phases, no load, and it takes signals
as any process does. `Link` is a control socket that answers as a zone's link does, without any traffic and without a fence.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from chaoslib_ext import children, state
from chaoslib_ext.clock import NS, Clock, boot_ns
from chaoslib_ext.ledger import Frame, Ledger, Target
from chaoslib_ext.process.client import alive, control, process_state, signal_exact, start_ticks, uid

IDENTITY = "5f0e2b7c9a41d3e8"


class Link(socketserver.ThreadingUnixStreamServer):
    """One link."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.owner: str | None = None
        super().__init__(str(path), _Answer)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        link: Any = self.server
        if request["op"] == "set":
            link.owner = request["owner"]
        if request["op"] == "clear" and link.owner == request["owner"]:
            link.owner = None
        told = {"owner": link.owner, "mode": "swallow" if link.owner else "pass", "identity": IDENTITY}
        self.wfile.write(json.dumps(told).encode() + b"\n")


class Doomed:
    """A supervisor that will be killed; what is hit outlives it."""

    def __init__(self, number: str, folder: Path, way: str) -> None:
        """Starts it, and does not wait; `folder` is for its sockets."""
        self.control = folder / number
        self.server = Link(self.control)
        self.way, self.run = way, f"20250101-000000-{number}"
        self.sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
        pids = [str(child.pid) for child in self.sleepers]
        argv = [sys.executable, __file__, self.run, str(self.control), "1" if way == "time" else "3600", "beats" if way == "stop" else "plain", *pids]
        self.master, slave = pty.openpty() if way == "hangup" else (-1, subprocess.PIPE)
        kind: dict[str, Any] = {"start_new_session": True, "preexec_fn": _take_terminal} if way == "hangup" else {"process_group": 0}
        errors = subprocess.DEVNULL
        self.process = subprocess.Popen(argv, stdin=slave if way == "hangup" else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, **kind)
        if way == "hangup":
            os.close(slave)
        self.ticks = start_ticks(self.process.pid) or 0

    def wait_until_up(self) -> None:
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline() or "{}")
        self.folder, self.method, self.healer = Path(told["folder"]), tuple(told["method"]), tuple(told["healer"])
        self.expires_ns = int(told["expires_ns"])

    def die(self) -> float:
        """In its way; when that was, in seconds of the monotonic clock: where its faults' time is over, when it is."""
        pid = self.process.pid
        if self.way == "time":
            return time.monotonic() + (self.expires_ns - boot_ns()) / NS
        if self.way == "kill":
            os.kill(pid, signal.SIGKILL)
        elif self.way == "killpg":
            os.killpg(pid, signal.SIGKILL)
        elif self.way == "term":
            os.kill(pid, signal.SIGTERM)
        elif self.way == "hangup":
            os.close(self.master)
            self.master = -1
        elif self.way == "stop":
            os.kill(pid, signal.SIGSTOP)
        return time.monotonic()

    def link(self) -> dict[str, Any]:
        return control(self.control, {"op": "status"}, 10.0)

    def healed(self) -> bool:
        return all(process_state(child.pid) != "T" for child in self.sleepers) and self.link()["owner"] is None

    def over(self) -> bool:
        """Whether nothing of it runs any more."""
        gone = self.process.poll() is not None and not alive(*self.method) and not alive(*self.healer)
        return gone and (self.folder / state.CLOSED).exists()

    def close(self) -> None:
        for pid, ticks in ((self.process.pid, self.ticks), getattr(self, "method", (0, 0)), getattr(self, "healer", (0, 0))):
            if pid and ticks:
                signal_exact(pid, ticks, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for child in self.sleepers:
            child.kill()
            child.wait()
        if self.master >= 0:
            os.close(self.master)
        self.server.shutdown()
        self.server.server_close()


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def supervise(run: str, control_path: str, held_s: float, flag: str, pids: list[int]) -> None:
    """The supervisor: three faults in force, and a heartbeat (only where it is to be missed: a busy machine may skip one)."""
    clock = Clock.start()
    owner = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": clock.boot_id}
    folder = state.create_run(run, {"run": run, "t0_ns": clock.t0_ns, "supervisor": owner})
    state.write_json(folder / state.SPEC, {"run": run, "t0_ns": clock.t0_ns, "environment": {"retry": {"base_s": 0.05, "deadline_s": 60}}})
    healer = children.start_healer(folder, *(["plain"] if flag == "plain" else []))
    method = subprocess.Popen(["sleep", "600"], env={**os.environ, "CHAOSX_RUN": str(folder)}, process_group=0)
    children.record(folder, "method", method.pid)
    ledger, expires_ns = Ledger.of_run(folder), boot_ns() + round(held_s * NS)
    ours = {"owner": f"{run}--cut", "zone": run, "control": control_path, "keeper": control_path}
    link = Target("process", IDENTITY, "link", "", "link", f"{IDENTITY}/link/{run}")
    ledger.append(Frame("cut", "INTENT", "process.open_link", link, ours, expires_ns=expires_ns))
    control(control_path, {"op": "set", "owner": f"{run}--cut"}, 10.0)
    ledger.append(Frame("cut", "APPLIED", "process.open_link", link, ours, expires_ns=expires_ns))
    for number, pid in enumerate(pids):
        target = Target("process", IDENTITY, "replica", "shop", str(pid), uid(pid, start_ticks(pid) or 0))
        ledger.append(Frame(f"freeze {number}", "INTENT", "process.thaw", target, expires_ns=expires_ns))
        os.kill(pid, signal.SIGSTOP)
        ledger.append(Frame(f"freeze {number}", "APPLIED", "process.thaw", target, expires_ns=expires_ns))
    ids = {"method": [method.pid, start_ticks(method.pid)], "healer": [healer.pid, start_ticks(healer.pid)]}
    print(json.dumps({"folder": str(folder), "expires_ns": expires_ns, **ids}), flush=True)
    assert healer.stdin is not None
    while True:
        healer.stdin.write(b'{"op":"beat"}\n')
        healer.stdin.flush()
        time.sleep(0.5)  # the beat itself


if __name__ == "__main__":
    supervise(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], [int(word) for word in sys.argv[5:]])
