"""
The only door to the library `kubernetes`: it reads kubeconfigs and logs in; what is sent and what comes back is ours.

Each `send` is exactly one request on the wire, without redirects, and ends within its time limit. The library is imported when a
door is opened, not before. What the library would do on its own and is turned off here: three hidden repeats of GET, PUT and DELETE, calls
without any time limit, forgetting NO_PROXY and a cluster's `proxy-url`, acting as the user itself where a kubeconfig says to act `as` another,
and going on without credentials when an exec plugin fails.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import UsageError

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
MOST_BYTES = 256 * 1024 * 1024  # of one answer; a page of 500 pods is about 2 MB
_PART = 64 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """
    How to get into a cluster: a `context` of a kubeconfig (empty: its current one), or `in_cluster` by the pod's own account.

    `kubeconfig` is a path; empty means what KUBECONFIG names, or ~/.kube/config. `login_s` is how long a login may take, an exec plugin's too.
    """

    context: str = ""
    kubeconfig: str = ""
    in_cluster: bool = False
    service_account: str = SERVICE_ACCOUNT
    workers: int = 16
    login_s: float = 30.0

    @property
    def file(self) -> str:
        """The kubeconfig that is read; several paths with colons between them are several."""
        return self.kubeconfig or os.environ.get("KUBECONFIG", "") or str(Path("~/.kube/config").expanduser())

    def __str__(self) -> str:
        if self.in_cluster:
            return "the cluster this runs in"
        return f"context {self.context} of {self.file}" if self.context else f"the current context of {self.file}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one request, in seconds: to connect, for the other side to say anything, and for all of it."""

    connect_s: float = 3.0
    read_s: float = 10.0
    total_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `headers` are by lower-case name."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Unanswered(Exception):
    """No whole answer came. `sent` is False when the request cannot have arrived; otherwise whether it was carried out is not known."""

    def __init__(self, text: str, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class Door:
    """One pool of connections to one API server, with the credentials of one login. Safe to use from many threads."""

    def __init__(self, configuration: Any, pool: Any) -> None:
        self._configuration, self._pool = configuration, pool
        self.host: str = str(configuration.host).rstrip("/")

    def send(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], limits: Limits) -> Answer:
        """One request and its whole answer, whatever its status. Raises Unanswered when none came in time."""
        stream = self.open(method, target, body, headers, limits)
        try:
            data = b"".join(stream.parts())
        finally:
            stream.close()
        return Answer(stream.status, stream.headers, data)

    def open(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], limits: Limits) -> Stream:
        """One request whose answer is read part by part; the caller closes it. Raises Unanswered."""
        import urllib3

        ends = time.monotonic() + limits.total_s
        wait = urllib3.Timeout(connect=min(limits.connect_s, limits.total_s), read=min(limits.read_s, limits.total_s))
        try:
            answer = self._pool.urlopen(
                method,
                self.host + target,
                body=body,
                headers={**headers, **self._credentials()},
                timeout=wait,
                retries=False,  # its own repeats would hit whatever has the name by then
                redirect=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unanswered(_said(error), _may_have_arrived(error)) from error
        return Stream(answer, ends)

    def _credentials(self) -> dict[str, str]:
        """The headers of this login; the library renews an expired token of an exec plugin or of a pod here."""
        found = {}
        for one in self._configuration.auth_settings().values():
            if one.get("in") == "header" and one.get("value"):
                found[str(one["key"])] = str(one["value"])
        return found


class Stream:
    """The answer of one request while it comes."""

    def __init__(self, answer: Any, ends: float) -> None:
        self._answer, self._ends = answer, ends
        self.status = int(answer.status)
        self.headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}

    def parts(self) -> Iterator[bytes]:
        """The body as it arrives. Raises Unanswered when it stops before its end, takes too long or is too large."""
        import urllib3

        size = 0
        while True:
            try:
                part = self._answer.read1(_PART)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: closed by another thread
                raise Unanswered(f"the answer broke off: {_said(error)}", sent=True) from error
            if not part:
                break
            size += len(part)
            if size > MOST_BYTES:
                raise Unanswered(f"the answer is longer than {MOST_BYTES} bytes", sent=True)
            yield part
            if time.monotonic() > self._ends:
                raise Unanswered("the answer did not end in time", sent=True)

    def close(self) -> None:
        """Gives the connection back when the answer was read to its end, and closes it otherwise."""
        if self._answer.isclosed():
            self._answer.release_conn()
        else:
            self._answer.close()


def _said(error: Exception) -> str:
    text = str(error).partition("(Caused by")[0].strip()
    return f"{type(error).__name__}: {text}"[:300]


def _may_have_arrived(error: Exception) -> bool:
    """False for what fails before the request is sent: no name, nobody listening, no connection in time, no trust."""
    import urllib3.exceptions as kinds

    early = (kinds.NewConnectionError, kinds.ConnectTimeoutError, kinds.SSLError, kinds.ProxyError, kinds.LocationParseError)
    return not isinstance(error, early)


def open_door(access: Access) -> Door:
    """
    Logs in, and gives a door that has sent nothing yet.

    Raises UsageError, with what to do, when the library, the kubeconfig, the context or the credentials are not there.
    """
    try:
        from kubernetes import client  # type: ignore[import-untyped]
    except ImportError as error:
        raise UsageError(f"{access}: the Python package kubernetes is missing; pip install 'chaoslib_ext[kubernetes]'") from error
    configuration = client.Configuration()
    _load(access, configuration)
    configuration.debug = False
    configuration.connection_pool_maxsize = access.workers
    # The library reads NO_PROXY and then forgets it (kubernetes 29 to 35 at least).
    configuration.no_proxy = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    return Door(configuration, client.ApiClient(configuration).rest_client.pool_manager)


def _load(access: Access, configuration: Any) -> None:
    """Fills the configuration in a thread of its own, as an exec plugin may never return."""
    heard, problems = _Heard(), []

    def load() -> None:
        try:
            _load_in_cluster(access, configuration) if access.in_cluster else _load_kubeconfig(access, configuration)
        except Exception as error:  # whatever the library raises for what it reads becomes one message below
            problems.append(error)

    root = logging.getLogger()
    root.addHandler(heard)  # the library only logs why an exec plugin failed, and goes on
    try:
        thread = threading.Thread(target=load, name="kubernetes login", daemon=True)
        thread.start()
        thread.join(access.login_s)
    finally:
        root.removeHandler(heard)
    if thread.is_alive():
        raise UsageError(f"{access}: the login took longer than {access.login_s:g} s; run its exec plugin by hand and see what it waits for")
    if problems:
        if isinstance(problems[0], UsageError):
            raise problems[0]
        raise UsageError(f"{access}: {str(problems[0])[:300]}; check it with `kubectl config view`") from problems[0]
    if heard.texts and not configuration.api_key and not configuration.cert_file:
        raise UsageError(f"{access}: the login gave no credentials: {heard.texts[0][:300]}; log in again, then run its exec plugin by hand")


class _Heard(logging.Handler):
    """Keeps what the library logs as an error while it logs in."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _load_kubeconfig(access: Access, configuration: Any) -> None:
    from kubernetes import config

    if not any(Path(one).expanduser().is_file() for one in access.file.split(os.pathsep) if one):
        raise UsageError(f"{access.file}: no such kubeconfig; set KUBECONFIG, or name one in the environment file")
    contexts, current = config.list_kube_config_contexts(access.file)
    names = [str(one["name"]) for one in contexts]
    if access.context and access.context not in names:
        raise UsageError(f"{access.file}: got the context {access.context!r}, which is not in it (there are: {', '.join(names) or 'none'})")
    name = access.context or str(current["name"])
    chosen = next(one["context"] for one in contexts if one["name"] == name)
    if acting := sorted(key for key in _entry(access.file, "users", "user", str(chosen.get("user"))) if key == "as" or key.startswith("as-")):
        raise UsageError(f"{access}: its user says {acting[0]!r}: acting as somebody else is not built; use a user that has the rights itself")
    config.load_kube_config(access.file, context=name, client_configuration=configuration)
    if proxy := str(_entry(access.file, "clusters", "cluster", str(chosen.get("cluster"))).get("proxy-url") or ""):
        if not proxy.startswith(("http://", "https://")):
            raise UsageError(f"{access}: its proxy-url is {proxy[:80]!r}, expected one that begins with http:// or https://")
        configuration.proxy = proxy


def _entry(files: str, kind: str, part: str, name: str) -> dict[str, Any]:
    """What the first kubeconfig that has an entry of this name says of it, as kubectl reads them; the library drops some of it."""
    import yaml

    for file in files.split(os.pathsep):
        if file and (path := Path(file).expanduser()).is_file():
            for one in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get(kind) or []:
                if one.get("name") == name:
                    return dict(one.get(part) or {})
    return {}


def _load_in_cluster(access: Access, configuration: Any) -> None:
    from kubernetes.config.incluster_config import InClusterConfigLoader  # type: ignore[import-untyped]

    folder = Path(access.service_account)
    InClusterConfigLoader(token_filename=str(folder / "token"), cert_filename=str(folder / "ca.crt")).load_and_set(configuration)
