"""What the sandbox tests share: requests, a condition with a deadline, control sockets, and who is gone."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import sandbox
from chaoslib_ext.process.client import alive, control, read_roster
from chaoslib_ext.sandbox import SandboxInfo

DEADLINE_S = 30.0  # a busy machine; nothing is asserted about how long it really takes


class Rig:
    """Real sandboxes in a folder of the tests' own, taken down at the end."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def up(self, name: str, *switches: str, owner_pid: int | None = None) -> SandboxInfo:
        """A sandbox that at the latest ends with the tests."""
        self._names.append(name)
        return sandbox.up(name, switches, os.getpid() if owner_pid is None else owner_pid, timeout_s=60.0)

    def close(self) -> None:
        """Ends all of them."""
        for name in self._names:
            sandbox.down(name)

    @staticmethod
    def until(condition: Callable[[], Any], what: str) -> Any:
        """The first true value of the condition; fails when there is none in time."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"not in {DEADLINE_S:g} s: {what}")

    @staticmethod
    def send(port: int, method: str = "GET", path: str = "/catalog/1", body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """One request: status, lower-case headers, JSON body."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20.0)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(text) if text.startswith(b"{") else {}
        finally:
            connection.close()

    @staticmethod
    def port(info: SandboxInfo) -> int:
        """The port of the proxy."""
        return int(info.url.rsplit(":", 1)[1])

    @staticmethod
    def replica(info: SandboxInfo, name: str) -> dict[str, Any]:
        """A replica's row of the roster as it is now."""
        rows: list[dict[str, Any]] = read_roster(info.roster)["replicas"]
        return next(row for row in rows if row["name"] == name)

    @staticmethod
    def link(info: SandboxInfo, zone: str, **request: Any) -> dict[str, Any]:
        """One request to the link of a zone."""
        return control(read_roster(info.roster)["links"][zone]["control"], request, timeout_s=5.0)

    @staticmethod
    def keeper(info: SandboxInfo, **request: Any) -> dict[str, Any]:
        """One request to the keeper."""
        return control(read_roster(info.roster)["keeper"]["control"], request, timeout_s=5.0)

    @staticmethod
    def processes(info: SandboxInfo) -> list[tuple[int, int]]:
        """Process id and start ticks of everything that belongs to a sandbox, the keeper first."""
        roster = read_roster(info.roster)
        record = json.loads((Path(info.dir) / "sandbox.json").read_text())
        rows = [record["keeper"], roster["envoy"], *roster["links"].values(), *roster["replicas"]]
        return [(row["pid"], row["start_ticks"]) for row in rows]

    @staticmethod
    def gone(found: list[tuple[int, int]]) -> bool:
        """Whether none of these incarnations runs."""
        return not any(alive(pid, ticks) for pid, ticks in found)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Sandboxes in a fresh folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSX_SANDBOX", str(tmp_path_factory.mktemp("boxes")))
        made = Rig()
        yield made
        made.close()


@pytest.fixture(scope="module")
def box(rig: Rig) -> SandboxInfo:
    """One sandbox without weaknesses for all tests of a module; each leaves it healthy."""
    return rig.up("box")
