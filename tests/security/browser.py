"""A headless Chromium on its own debugging pipe: opens files, tells of dialogs, requests and complaints, and reads the page."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

DEADLINE_S = 90.0
PROGRAM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
SWITCHES = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-default-apps", "--no-proxy-server", "--remote-debugging-pipe", "--disable-dev-shm-usage", "--mute-audio",
]  # fmt: skip


class Browser:
    """`seen` holds every event since the last `open`."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        (to_read, self._write), (self._read, to_write) = os.pipe(), os.pipe()
        self._numbers, self._rest, self.seen = itertools.count(1), b"", list[dict[str, Any]]()
        self._answers: dict[int, dict[str, Any]] = {}
        quiet = os.open(os.devnull, os.O_RDWR)
        places = [(os.POSIX_SPAWN_DUP2, to_read, 103), (os.POSIX_SPAWN_DUP2, to_write, 104), (os.POSIX_SPAWN_DUP2, 103, 3), (os.POSIX_SPAWN_DUP2, 104, 4)]
        places += [(os.POSIX_SPAWN_DUP2, quiet, stream) for stream in (0, 1, 2)]
        argv = [PROGRAM, *SWITCHES, f"--user-data-dir={profile}", "about:blank"]
        self._pid = os.posix_spawn(PROGRAM, argv, {**os.environ, "HOME": str(profile)}, file_actions=places, setpgroup=0)
        for end in (to_read, to_write, quiet):
            os.close(end)
        [page] = [one for one in self._ask("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self._session = self._ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.page(f"{domain}.enable")

    def _ask(self, method: str, session: str | None = None, **fields: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": fields, **({"sessionId": session} if session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_S
        while number not in self._answers:
            self._hear(deadline)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer)
        return dict(answer["result"])

    def _hear(self, deadline: float) -> None:
        ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(self._read, 1 << 20) if ready else b""
        assert data, "the browser is gone, or silent"
        *messages, self._rest = (self._rest + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.seen.append(message)

    def page(self, method: str, **fields: Any) -> dict[str, Any]:
        """One command to the page."""
        return self._ask(method, self._session, **fields)

    def load(self, url: str) -> None:
        """Opens an address and waits until it has loaded, with everything it might load; also where scripts are forbidden."""
        self.seen.clear()
        self.page("Page.navigate", url=url)
        deadline = time.monotonic() + DEADLINE_S
        while not self.events("Page.loadEventFired"):
            self._hear(deadline)
            for _ in self.events("Page.javascriptDialogOpening"):
                raise AssertionError(f"a dialog opened: {self.events('Page.javascriptDialogOpening')}")

    def open(self, path: Path) -> None:
        """Opens a file and waits until it has loaded and is painted."""
        self.load(path.as_uri())
        self.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")

    def events(self, method: str) -> list[dict[str, Any]]:
        """What the events of one kind said."""
        return [one["params"] for one in self.seen if one["method"] == method]

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.page("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def close(self) -> None:
        """Ends the browser and what it started."""
        os.close(self._write)
        os.close(self._read)
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
