"""
How fast a fault in an Envoy's routes takes hold and lets go, and whether clients see the share that the Envoy counts.

`python benchmarks/mesh_edges.py [TIMES]` brings up a sandbox with a mesh of its own. A client asks one Envoy every
millisecond or so, on kept-alive connections; times are milliseconds from the start of the write to the first affected
answer's end, and from the start of the removal to the sending of the last affected request.
"""

from __future__ import annotations

import http.client
import os
import statistics
import sys
import tempfile
import threading
import time
from typing import Any

from chaoslib_ext import sandbox
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.parts import inject
from chaoslib_ext.mesh.routes import Traffic, stanza, without_fault
from chaoslib_ext.process.client import read_roster

ME = "benchmark"


class Asking(threading.Thread):
    """A client that never stops: (sent, done, affected) of every request, in seconds."""

    def __init__(self, door: dict[str, Any], slow_s: float) -> None:
        super().__init__(daemon=True)
        self.door, self.slow_s, self.seen, self.end = door, slow_s, [], False

    def run(self) -> None:
        connection = http.client.HTTPConnection(*self.door["address"], timeout=20.0)
        while not self.end:
            sent = time.monotonic()
            connection.request("GET", "/catalog/1")
            answer = connection.getresponse()
            answer.read()
            done = time.monotonic()
            hit = done - sent >= self.slow_s if self.slow_s else answer.getheader("X-Incarnation") is None
            self.seen.append((sent, done, hit))
            time.sleep(0.001)


def strip(door: dict[str, Any]) -> None:
    envoy = Envoy(door["admin"], door["config"])
    document, _ = client.edit(envoy, lambda found: without_fault(found, ME))
    assert client.acknowledged(envoy, document, 1 << 40)


def injected(door: dict[str, Any], what: str) -> int:
    text = client.ask_admin(door["admin"], f"/stats?filter={what}_injected").decode()
    return sum(int(line.rsplit(": ", 1)[1]) for line in text.splitlines())


def once(door: dict[str, Any], traffic: Traffic) -> tuple[float, float, float, float]:
    """Acknowledged after, first affected after, removal acknowledged after, last affected sent after; all in ms."""
    threads = [Asking(door, traffic.delay_s * 0.95) for _ in range(4)]
    for one in threads:
        one.start()
    time.sleep(0.1)
    began = time.monotonic()
    inject(Envoy(door["admin"], door["config"]), ["catalog"], ME, stanza(traffic, ["/healthz"]))
    there = time.monotonic()
    time.sleep(0.5)
    undone = time.monotonic()
    strip(door)
    gone = time.monotonic()
    time.sleep(0.1)
    for one in threads:
        one.end = True
        one.join()
    hits = [(sent, done) for one in threads for sent, done, hit in one.seen if hit and done > began]
    first, last = min(done for _, done in hits) - traffic.delay_s, max(sent for sent, _ in hits)
    return (there - began) * 1000, (first - began) * 1000, (gone - undone) * 1000, (last - undone) * 1000


def shares(door: dict[str, Any], where: str) -> None:
    for what, made in (("delays", lambda share: Traffic(share, 0.1)), ("aborts", lambda share: Traffic(share, status=418))):
        for share in (0.01, 0.2, 0.5, 1.0):
            before, traffic = injected(door, what), made(share)
            inject(Envoy(door["admin"], door["config"]), ["catalog"], ME, stanza(traffic, ["/healthz"]))
            threads = [Asking(door, traffic.delay_s * 0.95) for _ in range(8)]
            for one in threads:
                one.start()
            time.sleep(2.0)
            for one in threads:
                one.end = True
            for one in threads:
                one.join()
            counted = injected(door, what) - before
            strip(door)
            answers = [hit for one in threads for _, _, hit in one.seen]
            print(
                f"{what:7} {where:8} {share:5.0%}: {sum(answers)} of {len(answers)} affected ({sum(answers) / len(answers):.2%}), the Envoy counted {counted}"
            )


def main(times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHAOSX_SANDBOX"] = folder
        info = sandbox.up("bench", ["mesh"], os.getpid(), 60.0)
        try:
            roster = read_roster(info.roster)
            doors = {"sidecar": roster["replicas"][2]["sidecar"], "ingress": roster["ingress"]}
            for where, door in doors.items():
                for name, traffic in (("delay 100 ms", Traffic(1.0, 0.1)), ("abort", Traffic(1.0, status=418))):
                    found = list(zip(*(once(door, traffic) for _ in range(times)), strict=True))
                    for what, values in zip(("acknowledged", "first affected", "removal acknowledged", "last affected sent"), found, strict=True):
                        print(f"{where:8} {name:12} {what:21} median {statistics.median(values):6.1f} ms  ({min(values):.1f} to {max(values):.1f})")
            for where, door in doors.items():
                shares(door, where)
        finally:
            sandbox.down("bench")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
