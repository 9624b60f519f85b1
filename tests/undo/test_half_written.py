"""What a writer that was killed had half written: it goes with the heal, and what is rebuilt is there whole or not at all. Found by the kill matrix."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from undo_rig import Room, Supervisor, activity, until

from chaoslib_ext import recover, state
from chaoslib_ext.mesh.client import ask_admin

Supervise = Callable[..., Supervisor]


def left_behind(run: Supervisor) -> None:
    """A fault in force whose injector and supervisor were killed, with no healer around."""
    child = run.inject("lose_zone", "lose", zone="b", duration="60s", timeout_s=60.0)
    until(lambda: run.recs().count("APPLIED") == 2, "all parts applied")
    child.kill()
    child.wait()
    run.die()


def lost(supervise: Supervise) -> Supervisor:
    run = supervise(activity("lose", "lose_zone", zone="b", duration="60s", timeout_s=60.0))
    left_behind(run)
    return run


def test_half_a_marker_goes_with_the_whole_one_and_nobody_elses_does(room: Room, supervise: Supervise) -> None:
    lost(supervise)
    (marker,) = room.markers()
    half, other = marker.with_name(f".{marker.name}.4711"), marker.with_name(".another.json.4711")
    half.write_text("{")
    other.write_text("{")
    assert recover.recover_runs(None, 10.0)[0].clean
    assert room.markers() == [other]


def test_what_was_rebuilt_from_markers_and_left_open_is_found_by_the_same_command(room: Room, supervise: Supervise) -> None:
    run = lost(supervise)
    state.close_run(run.folder, "somebody who was wrong")
    (record, ref), *_ = recover.records_of(room.folder)
    rebuilt = recover._rebuilt(record, ref)
    outcomes = recover.recover_environment(room.environment(), 10.0)
    assert [outcome.run for outcome in outcomes if outcome.clean] == [rebuilt.name]
    assert room.untouched()
    assert state.open_runs() == []


def test_a_rebuilt_run_is_there_with_all_of_its_parts_or_not_at_all(room: Room, supervise: Supervise) -> None:
    lost(supervise)
    ((record, ref),) = recover.records_of(room.folder)
    broken = {**record, "parts": [*record["parts"], {"handler": "process.thaw"}]}  # telling the third part fails: as good as a kill there
    with pytest.raises(KeyError):
        recover._rebuilt(broken, ref)
    assert not [path for path in state.all_runs() if path.name.endswith("-markers")]


def test_an_admin_socket_may_lie_in_a_folder_with_a_space(tmp_path: Path) -> None:
    place = tmp_path / "a b"
    place.mkdir()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"LIVE")

        def address_string(self) -> str:
            return "here"

        def log_message(self, *_: object) -> None: ...

    with socketserver.UnixStreamServer(str(place / "s"), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert ask_admin(str(place / "s"), "/ready") == b"LIVE"
