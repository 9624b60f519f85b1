"""
The healer: the process that does every heal of a run, and lives on when everything else of the run dies.

`python -m chaoslib_ext.healer STATE_RUN_DIR SUPERVISOR_PID START_TICKS [plain]`. It has a session of its own and
ignores INT, TERM, HUP and QUIT. JSON lines on standard input: beat, heal (one fault), last, quit; the end of
the input, or of the process it watches, means that the supervisor died, and so, except with `plain`, does a
missing heartbeat. On standard output: ready, healed, and clean or dirty as the answer to last.
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

from chaoslib_ext import fuses, locks, state
from chaoslib_ext.clock import boot_ns
from chaoslib_ext.heal import Healing, Left, Patience, heal_run
from chaoslib_ext.ledger import Entry, Frame, effect_frame, entries
from chaoslib_ext.memory import Memory, tell
from chaoslib_ext.process.client import alive, process_state, signal_exact
from chaoslib_ext.traces import drop_markers

HANG_S = 3.0  # the supervisor beats twice a second; for one that is stopped
STARVED_S = 15.0  # for one that runs or sleeps and may only have been denied the processor; chosen by feel: timed heals go on meanwhile
TICK_S = 0.05  # chosen by feel: how late a timed heal may be


class Mouth:
    """Standard output, which must never block the healer nor end it when its reader is gone."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)

    def say(self, message: dict[str, Any]) -> None:
        """One line, or nothing when nobody takes it."""
        try:
            os.write(self.fd, json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError:  # EPIPE: the reader is gone; EAGAIN: it hangs; the ledger says it all anyway
            return


class Ears:
    """Standard input as messages; `ended` when it was closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False
        self._rest = b""
        os.set_blocking(fd, False)

    def messages(self) -> list[dict[str, Any]]:
        """What has come since the last call. A line that is no JSON object is dropped."""
        while not self.ended:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.ended = not data
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [message for message in map(_decoded, lines) if message]


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def expiry_ns(frames: list[Frame], fault: str, begun: list[Entry]) -> int | None:
    """
    When the time of a held fault is over, on the boot clock: at its effect plus its duration, once the effect was
    seen, and never later than the outer bound of its first intent. None when it has no bound.
    """
    effect = effect_frame(frames, fault)
    bounds = [entry.expires_ns for entry in begun] + ([effect.expires_ns] if effect is not None else [])
    return min((bound for bound in bounds if bound), default=None)


class Healer:
    """The loop. `watched` is the supervisor's process id and start ticks."""

    def __init__(self, folder: Path, watched: tuple[int, int], beats: bool, ears: Ears, mouth: Mouth) -> None:
        self.folder, self.watched, self.beats, self.ears, self.mouth = folder, watched, beats, ears, mouth
        self.patience = Patience.of_run(folder)
        self.memory = Memory(folder)
        self.ledger = self.memory.ledger
        self.healing = Healing(self.ledger, self.patience)
        self.over: dict[str, str] = {}  # faults that are to be taken back, and what ordered it
        self.answers: dict[str, str] = {}  # of these, whose end has still to be told
        self.last_beat_s = self.last_loop_s = time.monotonic()

    def run(self) -> int:
        """Until quit, or until the supervisor is dead and everything is taken back."""
        self.mouth.say({"op": "ready"})
        while True:
            self._wait()
            for message in self.ears.messages():
                if message.get("op") == "quit":
                    return self._quit()
                self._obey(message)
            if self.ears.ended or not alive(*self.watched):
                return self._bury()
            if self.beats and self._hangs():
                signal_exact(*self.watched, signal.SIGKILL)  # first: a supervisor that wakes up later must not go on
                return self._bury()
            self._heal_what_is_over()
            self.healing.step()
            self._tell()

    def _wait(self) -> None:
        select.select([self.ears.fd], [], [], TICK_S)
        now_s = time.monotonic()
        if now_s - self.last_loop_s > 1.0:  # we were stopped or starved ourselves: that is no silence of the supervisor
            self.last_beat_s += now_s - self.last_loop_s
        self.last_loop_s = now_s

    def _hangs(self) -> bool:
        """Whether the supervisor has been silent for too long: on a busy machine it beats late, and a stopped one never."""
        silent_s = time.monotonic() - self.last_beat_s
        return silent_s > HANG_S and (silent_s > STARVED_S or process_state(self.watched[0]) in ("T", "t"))

    def _obey(self, message: dict[str, Any]) -> None:
        self.last_beat_s = time.monotonic()
        op = message.get("op")
        if op == "heal":
            fault = str(message.get("fault"))
            self.over[fault] = self.answers[fault] = "order"
            self.healing.add(entry for entry in entries(self.frames()) if entry.fault == fault and entry.pending)
        elif op == "last":
            self._last()

    def frames(self) -> list[Frame]:
        """The frames of the ledger, and those that were ever read from it where they can be read no more."""
        return self.memory.look()

    def _heal_what_is_over(self) -> None:
        frames = self.frames()
        open_by_fault: dict[str, list[Entry]] = {}
        for entry in entries(frames):
            if entry.pending and entry.key not in self.healing.left:
                open_by_fault.setdefault(entry.fault, []).append(entry)
        for fault, found in open_by_fault.items():
            over_ns = expiry_ns(frames, fault, found)
            if over_ns is not None and boot_ns() >= over_ns:
                self.over.setdefault(fault, "time")
            if fault in self.over:  # also when a part landed after all the others were taken back
                self.answers.setdefault(fault, self.over[fault])
                self.healing.add(found)

    def _tell(self) -> None:
        for fault, by in list(self.answers.items()):
            mine = [entry for entry in entries(self.frames()) if entry.fault == fault]
            waiting = [entry for entry in mine if entry.pending and entry.key not in self.healing.left]
            if self.healing.busy(fault) or waiting:
                continue
            ok = not any(item.fault == fault for item in self.healing.left.values())
            if ok:
                fuses.put_out(frame for frame in self.frames() if frame.fault == fault)  # once; the last heal is the one that insists
                drop_markers(mine)
            self.mouth.say({"op": "healed", "fault": fault, "ok": ok, "by": by})
            del self.answers[fault]

    def _last(self) -> None:
        self._answer(heal_run(self.folder, ["method"], self.patience, self.memory))
        self.healing = Healing(self.ledger, self.patience)
        self._tell()
        self.last_beat_s = self.last_loop_s = time.monotonic()

    def _answer(self, left: list[Left]) -> None:
        self.mouth.say({"op": "dirty", "pending": [asdict(item) for item in left]} if left else {"op": "clean"})

    def _quit(self) -> int:
        """The supervisor has ended properly and closes the run itself; what it should have healed and did not is healed all the same."""
        if any(entry.pending for entry in entries(self.frames())):
            heal_run(self.folder, ["method"], self.patience, self.memory)
        return 0

    def _bury(self) -> int:
        """The supervisor is dead: nobody may inject or measure any more, everything is taken back, and the run is closed if it is clean."""
        left = heal_run(self.folder, None, self.patience, self.memory)
        for item in left:
            tell(f"{item.fault}: {item.target}: {item.error}; run: {item.command}")
        return 6 if left or not self._closed() else 0

    def _closed(self) -> bool:
        """Gives back the locks and closes the run; False when that could not be written down, and `recover` has to look again."""
        try:
            for problem in locks.give_back(locks.of_run(self.folder)):
                tell(problem)
            state.close_run(self.folder, "healer")
        except (OSError, ValueError) as error:
            tell(f"everything is taken back, but the run cannot be closed ({error}); run: chaosx recover --run {self.folder.name}")
            return False
        return True


def main(argv: list[str]) -> int:
    """The process."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)
    os.chdir("/")
    folder, pid, ticks, flags = Path(argv[1]), int(argv[2]), int(argv[3]), argv[4:]
    return Healer(folder, (pid, ticks), "plain" not in flags, Ears(0), Mouth(1)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
