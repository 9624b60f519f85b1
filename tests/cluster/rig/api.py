"""The API server as the rig and its tests see it: raw JSON over one connection per call, with the admin's certificate."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rig.places import Ended, RigError

DEADLINE_S = 120.0  # a busy machine; how long it really takes is measured, never asserted


def until(condition: Callable[[], Any], what: str, timeout_s: float = DEADLINE_S, every_s: float = 0.1) -> Any:
    """The first true value of the condition; RigError when there is none in time, with the last error seen."""
    deadline_s = time.monotonic() + timeout_s
    last = ""
    while time.monotonic() < deadline_s:
        try:
            if value := condition():
                return value
        except Ended:
            raise
        except (OSError, http.client.HTTPException, RigError) as error:  # not there yet
            last = f"; last: {error}"
        time.sleep(every_s)
    raise RigError(f"not in {timeout_s:g} s: {what}{last}")


def own_api(kubeconfig: Path) -> Api:
    """The API server of a rig's kubeconfig, which has its certificates inside."""
    content = json.loads(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as pair:  # the ssl module takes a client's certificate from a file only
        pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pair.flush()
        tls.load_cert_chain(pair.name)
    return Api(cluster["server"], tls)


class Api:
    """One API server, asked over TLS, or in clear where `kubectl proxy` stands in front of it."""

    def __init__(self, server: str, tls: ssl.SSLContext | None = None) -> None:
        self.server, self.tls = urlsplit(server), tls

    def connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection that is not open yet."""
        host, port = self.server.hostname or "", self.server.port
        if self.tls is None:
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        return http.client.HTTPSConnection(host, port, context=self.tls, timeout=timeout_s)

    def call(self, method: str, path: str, body: Any = None, content: str = "application/json", timeout_s: float = 10.0) -> tuple[int, Any]:
        """Sends one request; returns the status and the answer, read as JSON where it is."""
        connection = self.connect(timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": content})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else text.decode(errors="replace")

    def read(self, path: str) -> Any:
        """The object or list at the path; RigError when it is not answered with 200."""
        status, answer = self.call("GET", path)
        if status != 200:
            raise RigError(f"GET {path}: {status} {answer if isinstance(answer, str) else answer.get('message')}")
        return answer

    def apply(self, path: str, item: dict[str, Any]) -> Any:
        """Makes the object be as given (server-side apply by owner `rig`); `path` is the collection's."""
        name = item["metadata"]["name"]
        status, answer = self.call("PATCH", f"{path}/{name}?fieldManager=rig&force=true", item, "application/apply-patch+yaml")
        if status not in (200, 201):
            raise RigError(f"apply {path}/{name}: {status} {answer if isinstance(answer, str) else answer.get('message')}")
        return answer

    def delete(self, path: str, grace_s: int | None = None, uid: str = "") -> int:
        """Deletes the object and returns the status; options go in the body, as a body makes the query be ignored."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        return self.call("DELETE", path, options)[0]


def condition_of(item: dict[str, Any], kind: str) -> str:
    """The status of an object's condition: True, False, Unknown, or empty when it has none."""
    return next((one["status"] for one in item.get("status", {}).get("conditions", []) if one["type"] == kind), "")
