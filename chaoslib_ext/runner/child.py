"""
One child process of the supervisor: JSON lines down its standard input, JSON lines up its standard output.

Standard error goes to a file in the state directory, so that its last words can be shown.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

LAST_WORDS = 600


class Child:
    """
    A running child. It never raises because the other end is gone; `exit_code()` says that it is.

    `without` names variables of our environment that it does not get: secrets that are not its business.
    """

    def __init__(self, name: str, argv: list[str], state_dir: Path, own_session: bool = False, without: Collection[str] = ()) -> None:
        self.name = name
        self.errors = state_dir / f"{name}.err"
        kept = {key: value for key, value in os.environ.items() if key not in without}
        environment = {**kept, "CHAOSX_RUN": str(state_dir), "PYTHONUNBUFFERED": "1"}
        if own_session:
            environment["RUNNER_TRACKING_ID"] = ""  # CI runners hunt down what carries theirs
        with os.fdopen(self._log(), "ab") as errors:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment, start_new_session=own_session,
                                            process_group=None if own_session else 0, cwd="/" if own_session else None)  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""
        self.at_end = False

    def _log(self) -> int:
        """Where its errors go: nowhere, when the state folder takes nothing any more. It is started all the same: it may be there to heal."""
        try:
            return os.open(self.errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    @property
    def fd(self) -> int:
        """The file descriptor to wait on for its lines."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """One message; silently nothing when the child is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def messages(self) -> list[dict[str, Any]]:
        """What has arrived since the last call; sets `at_end` when the child closed its output."""
        assert self.process.stdout is not None
        try:
            data = os.read(self.fd, 1 << 20)
        except BlockingIOError:
            return []
        if not data:
            self.at_end = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [message for message in map(_decoded, lines) if message is not None]

    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        """SIGKILL to the child's whole process group, then reap it."""
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        try:
            text = self.errors.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return text[-LAST_WORDS:].strip()

    def close(self) -> None:
        """Closes the pipes; the child is left to end by itself."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
