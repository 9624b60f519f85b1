"""What the live tests of the write ledger share: the lossy server as a process, a profile that writes, the read-back child."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "load"))

from load_rig import profile, step

from chaoslib_ext.writelog import NodeRead, read_node
from chaoslib_ext.writeplan import Cleanup, HttpRead, Settled, WriteLedger

RUN = "20260101-000000-live-0001"
QUICK = Settled(for_s=0.3, within_s=20.0)
DELETE = Cleanup(request="DELETE /orders?prefix=${run}")
ORDERS = WriteLedger((201,), http=HttpRead("/orders?prefix=${run}", "$.ids"), settled=QUICK, cleanup=DELETE)


class Lossy:
    """`lossy_server.py`, to be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.port = 0
        self.start()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        argv = [sys.executable, str(Path(__file__).with_name("lossy_server.py")), str(self.port), str(self.folder)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def ids(self, name: str) -> list[str]:
        """The ids in one of its files, without those of the read-back."""
        path = self.folder / name
        return [one for one in path.read_text().split() if ":barrier:" not in one] if path.exists() else []


def writing(ledger: WriteLedger = ORDERS, rate: float = 200.0, **more: Any) -> dict[str, Any]:
    """A profile's JSON whose only journey writes."""
    post = step("POST /orders", json={"id": "${write_id}"}, statuses=[201], write="orders", **more)
    return profile([post], rate=rate, writes={"orders": asdict(ledger)})


def read_back(
    folder: Path, url: str, told: dict[str, Any], read: bool = True, clean: bool = False, run: str = RUN
) -> tuple[dict[str, Any], dict[str, NodeRead]]:
    """Runs the read-back child to its end: its note, and the final read of each node."""
    spec = {"t0_ns": 1, "run": run, "base_url": url, "hosts": ["127.0.0.1"], "profile": told, "seed": 7, "ledger": "orders", "folder": str(folder)}
    path = folder.parent / "readback.json"
    path.write_text(json.dumps({**spec, "read": read, "clean": clean}))
    done = subprocess.run([sys.executable, "-m", "chaoslib_ext.load.readback", str(path)], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    note, last = (json.loads(line) for line in done.stdout.splitlines())
    assert last == {"op": "done"}
    return note, {found.node: found for found in map(read_node, sorted(folder.glob("readback-*.bin")))}
