"""What the load child writes can be read whatever happens to it, its disk, or the supervisor."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from load_rig import LoadChild, Server, profile, read_folder, step, wait_for

from chaoslib_ext.load.recorder import MAX_ENDPOINTS, OTHERS, Recorder
from chaoslib_ext.load.rowfiles import RowFiles
from chaoslib_ext.timeline import ROW, Outcome, Rows, read_rows

Start = Callable[..., LoadChild]


def test_a_killed_child_leaves_all_rows_up_to_its_last_block(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")], rate=200.0))
    one.start()
    one.run_until(lambda second: second["good"] > 150)
    one.end()
    found = read_folder(one.out_dir)
    told = sum(second["good"] for second in one.seconds)
    assert len(found.of("journey")) >= told > 150  # a second is told after its rows are written
    assert found.outcomes("journey").keys() == {Outcome.OK}
    assert max(found.rows.endpoint) < len(found.meta["endpoints"])  # every number in the rows has a name
    assert found.meta["stop_ns"] is None
    whole = (one.out_dir / "rows-0000.bin").read_bytes()
    (one.out_dir / "rows-0000.bin").write_bytes(whole[:-7])  # as when power went during the last write
    cut = read_folder(one.out_dir)
    assert cut.torn
    assert 0 < len(cut.rows) < len(found.rows)


def test_segments_are_rotated_and_read_back_in_order(tmp_path: Path) -> None:
    files = RowFiles(tmp_path, segment_bytes=2000)
    for number in range(100):
        files.append(b"".join(ROW.pack(number * 10 + at, 0, 0, 0, 0, 0) for at in range(10)))
    files.close()
    rows = Rows()
    segments = sorted(tmp_path.glob("rows-*.bin"))
    assert len(segments) > 10
    assert all(segment.stat().st_size <= 2000 for segment in segments)
    assert not any(read_rows(segment, rows) for segment in segments)
    assert list(rows.intended_us) == list(range(1000))


def test_a_disk_that_takes_no_more_ends_the_child_with_a_word(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")], rate=500.0))
    one.until("ready")
    resource.prlimit(one.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    one.send(op="start", at_ns=one.t0_ns + 10**10)
    assert one.process.wait(30) == 5
    assert "samples cannot be written" in one.errors.read_text()


def test_a_supervisor_that_does_not_read_holds_nothing_up(server: Server, tmp_path: Path) -> None:
    slis = [{"name": f"{number:04d}" * 15, "select_name": None, "select_class": "journey", "max_latency_ms": None} for number in range(1500)]
    one = LoadChild(tmp_path, base_url=server.url, hosts=["127.0.0.1"], profile=profile([step("GET /x")]), slis=slis, hold=True)
    try:
        wait_for((one.out_dir / "meta.json").exists, "a child that is ready")
        one.begin_blindly()  # each line is longer than the pipe: the first one fills it
        wait_for(lambda: len(server.requests()) > 150, "load that goes on")
        one.send(op="stop")
        one.read()
        done = one.until("done")
        assert one.process.wait(30) == 0
        found = read_folder(one.out_dir)
        assert [line["second"] for line in one.seconds] == [second.second for second in found.seconds]
        assert found.meta["released"] == len(server.requests()) > 150  # released while nobody read
        assert done["rows"] == len(found.rows) == 2 * found.meta["released"] + found.meta["not_released"]
    finally:
        one.end()


PARENT = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "chaoslib_ext.load.child", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
child.stdin.write(json.dumps({"op": "start", "at_ns": time.monotonic_ns()}).encode() + b"\\n")
child.stdin.flush()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_the_child_dies_with_its_parent(server: Server, tmp_path: Path) -> None:
    spec = {"t0_ns": 0, "out_dir": str(tmp_path / "out"), "base_url": server.url, "hosts": ["127.0.0.1"], "profile": profile([step("GET /x")]), "seed": 1}
    (tmp_path / "load.json").write_text(json.dumps(spec))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "load.json")], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_for(lambda: len(server.requests()) > 5, "load")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or ") Z" in Path(f"/proc/{pid}/stat").read_text(), "the end of the load child")
    assert json.loads((tmp_path / "out" / "meta.json").read_text())["stop_ns"] is None  # killed, not stopped


def test_an_orphan_sends_nothing(server: Server, child: Start) -> None:
    one = child(server.url, profile=profile([step("GET /x")]), parent_pid=1)
    assert one.process.wait(30) == 2
    assert "the supervisor died" in one.errors.read_text()


def test_memory_for_names_is_bounded(tmp_path: Path) -> None:
    """Zones come from the system under test; it must not be able to fill the generator's memory or the 16 bits of an index."""
    recorder = Recorder(tmp_path, 0, (), "journey", {})
    numbers = {recorder.endpoint("GET /x", f"zone-{number}", "step") for number in range(MAX_ENDPOINTS * 2)}
    assert len(numbers) == MAX_ENDPOINTS + 1
    recorder.close()
    named = json.loads((tmp_path / "meta.json").read_text())["endpoints"]
    assert named[-1] == {"index": MAX_ENDPOINTS, "name": OTHERS, "zone": "", "class": "step"}
