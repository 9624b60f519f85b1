"""
The only door to Locust.

Import this before anything else in a process: `import locust` patches it for gevent, and fails once requests,
boto3, kubernetes or chaoslib are there. Read in Locust's source (2.47) and relied upon: FastHttpSession swallows
*any* gevent Timeout raised inside a request and returns a response whose `.error` holds it.
"""

from __future__ import annotations

import locust  # isort: skip  # first, always: see above
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import gevent
from geventhttpclient.response import HTTPParseError
from locust.argument_parser import get_parser
from locust.contrib.fasthttp import FastHttpSession, LocustBadStatusCode, LocustUserAgent
from locust.env import Environment
from locust.exception import CatchResponseError, StopUser
from locust.util.load_locustfile import load_locustfile

from chaoslib_ext.clock import monotonic_ns
from chaoslib_ext.load.connections import OFF_LIMITS_TEXT, OWN_FAULT, ClientPool
from chaoslib_ext.load.journeys import Answer, Request
from chaoslib_ext.load.pulse import Pulse
from chaoslib_ext.loadprofile import Step
from chaoslib_ext.timeline import Outcome

_ANY_STATUS = frozenset(range(1000))  # we judge statuses; Locust's own check decodes the body, and breaks on one that is not UTF-8
_NO_ANSWER = Answer(0, "", b"")
# by class name, because requests and urllib3 belong to the locustfile's side of the door
_TIMEOUTS = frozenset({"Timeout", "ConnectTimeout", "ReadTimeout", "ConnectTimeoutError", "ReadTimeoutError", "TimeoutError"})
_NO_CONNECTION = frozenset({"NewConnectionError", "NameResolutionError", "SSLCertVerificationError"})
_BROKEN = frozenset({"ProtocolError", "ChunkedEncodingError", "IncompleteRead", "RemoteDisconnected", "BadStatusLine", "ConnectionError"})


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it; `zone` is "" where no answer said it, `end_ns` when the last byte was read."""

    outcome: Outcome
    zone: str
    end_ns: int


def versions() -> dict[str, str]:
    """Versions of what generates the load."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in ("locust", "gevent", "geventhttpclient")}}


class Door:
    """Locust for one base URL: an Environment, its LocalRunner, and sessions that share connections."""

    def __init__(self, base_url: str, allow: Callable[[str, int], bool], zone_header: str) -> None:
        self.environment: Any = Environment(user_classes=[], host=base_url)
        self.environment.process_exit_code = 0
        self._base_url, self._zone_header = base_url, zone_header
        self._pool, self.pulse = ClientPool(allow), Pulse()

    def run(self, body: Callable[[], None]) -> None:
        """Lets Locust run `body` once, as its one user. Returns at once."""
        self.pulse.start()
        self.environment.user_classes = [_user(body)]
        self.environment.create_local_runner().start(1, spawn_rate=1)

    def quit(self) -> None:
        """Ends Locust's runner, if it was started."""
        if self.environment.runner is not None:
            self.environment.runner.quit()

    def counted(self) -> dict[str, int]:
        """How many requests and failures Locust's own statistics hold."""
        total = self.environment.stats.total
        return {"requests": total.num_requests, "failures": total.num_failures}

    def session(self) -> Any:
        """A session for one arrival: cookies of its own, connections shared."""
        event, pool = self.environment.events.request, self._pool
        session: Any = FastHttpSession(self._base_url, event, None, insecure=False, client_pool=pool, max_retries=0, max_redirects=0)
        session.client.valid_response_codes = _ANY_STATUS
        return session

    def exchange(self, session: Any, step: Step, request: Request, verdict: Callable[[Answer], Outcome], sent_ns: int) -> Exchange:
        """
        Sends one request of a step and reads its answer to the end, within the step's timeout in total, counted from `sent_ns`.

        An answer that was read only after that is a TIMEOUT, whatever it says: a process that was denied the processor can find
        the answer before it notices that the time is over. Where it was denied just when the time was over, nobody knows whether
        the answer was there: GENERATOR, which is unknown.

        Locust's `request` event fires once whatever happens; when this greenlet is killed meanwhile, as UNFINISHED.
        An error of ours is raised on.
        """
        deadline = gevent.Timeout.start_new(step.timeout_s)
        try:
            return self._exchange(session, step, request, verdict, sent_ns)
        except gevent.GreenletExit:
            self._count(step, Outcome.UNFINISHED)
            raise
        except Exception:
            self._count(step, Outcome.GENERATOR)
            raise
        finally:
            deadline.close()

    def _exchange(self, session: Any, step: Step, request: Request, verdict: Callable[[Answer], Outcome], sent_ns: int) -> Exchange:
        fields = {"name": step.name, "headers": request.headers, "data": request.body}
        with session.request(request.method, request.path, **fields, catch_response=True, stream=True) as response:
            answer, error = _read(response, bool(step.capture))
            end_ns = monotonic_ns()
            outcome = verdict(answer) if error is None else outcome_of(error)
            if error is None and end_ns - sent_ns > step.timeout_s * 1e9:
                outcome = Outcome.TIMEOUT
            if outcome is Outcome.TIMEOUT and self.pulse.held_up(sent_ns + round(step.timeout_s * 1e9)):
                outcome = Outcome.GENERATOR
            response.request_meta["response_time"] = (end_ns - sent_ns) / 1e6
            if outcome is Outcome.OK:
                response.success()
            else:
                response.failure(outcome.name)  # a fixed text: Locust keeps one entry for each
            return Exchange(outcome, header(response, self._zone_header), end_ns)

    def _count(self, step: Step, outcome: Outcome) -> None:
        """Tells Locust's statistics of a request that has no answer to show."""
        fields = {"response_time": 0.0, "response_length": 0, "context": {}, "exception": CatchResponseError(outcome.name)}
        self.environment.events.request.fire(request_type=step.method.upper(), name=step.name, **fields)


def locustfile_environment(path: str, base_url: str, users: int, spawn_rate: float, stop_timeout_s: float) -> Any:
    """
    The environment and runner of an unmodified locustfile, its `init` listeners called; every user's host is `base_url`.

    Raises whatever importing the file raises.
    """
    # debugging text for a bad status, which decodes the answer as UTF-8; where it is not, the request leaves no event at all
    LocustUserAgent._conversation_str = staticmethod(lambda *_args, **_fields: "")
    classes, shapes = load_locustfile(path)
    if not classes:
        raise ImportError(f"{path} defines no runnable User class")
    told = ["--headless", "--host", base_url, "--users", str(users), "--spawn-rate", str(spawn_rate)]
    options = get_parser(default_config_files=[]).parse_args(told)
    environment: Any = Environment(
        user_classes=list(classes.values()),
        shape_class=shapes[0] if shapes else None,
        events=locust.events,
        host=base_url,
        parsed_options=options,
        stop_timeout=stop_timeout_s,
        locustfile=path,
    )
    environment.process_exit_code = 0
    environment.events.init.fire(environment=environment, runner=environment.create_local_runner(), web_ui=None)
    return environment


def forget_seconds(environment: Any) -> None:
    """Drops Locust's per-second counters, which otherwise grow for as long as a run lasts; its totals stay."""
    for entry in [environment.stats.total, *environment.stats.entries.values()]:
        entry.num_reqs_per_sec.clear()
        entry.num_fail_per_sec.clear()


def _user(body: Callable[[], None]) -> type[Any]:
    def arrivals(_user: Any) -> None:
        body()
        raise StopUser

    return type("Arrivals", (locust.User,), {"tasks": [arrivals], "abstract": False})


def _read(response: Any, keep_body: bool) -> tuple[Answer, BaseException | None]:
    error = getattr(response, "error", None)
    if error is not None:
        return _NO_ANSWER, error
    try:
        body = response.content if keep_body else response.read()
    except gevent.Timeout as late:  # the only one running is the step's deadline
        return _NO_ANSWER, late
    except Exception as broken:  # parsers and decoders raise what they like at a broken answer; outcome_of sorts it
        return _NO_ANSWER, broken
    return Answer(response.status_code, header(response, "location"), body), None


def header(response: Any, name: str) -> str:
    """A header of an answer, "" where there is none."""
    headers = getattr(response, "headers", None)
    value = None if headers is None else headers.get(name)
    return value[0] if isinstance(value, list) else value or ""


def outcome_of(error: BaseException) -> Outcome:
    """
    What an exception of a request means, looking through the wrappers that libraries put around it.

    What is none of the known failures of a connection is CHECK: the answer came, and was refused.
    """
    chain = list(_causes(error))
    for one in chain:
        if isinstance(one, PermissionError) and OFF_LIMITS_TEXT in str(one):
            return Outcome.OFF_LIMITS
        if isinstance(one, OSError) and one.errno in OWN_FAULT:
            return Outcome.GENERATOR
    for one in chain:
        if isinstance(one, (gevent.Timeout, TimeoutError)) or type(one).__name__ in _TIMEOUTS:
            return Outcome.TIMEOUT
    for one in chain:
        if isinstance(one, (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)) or type(one).__name__ in _NO_CONNECTION:
            return Outcome.CONNECT
        if isinstance(one, LocustBadStatusCode) or type(one).__name__ == "HTTPError":
            return Outcome.STATUS
        if isinstance(one, CatchResponseError):
            return Outcome.CHECK
    if any(isinstance(one, (OSError, HTTPParseError)) or type(one).__name__ in _BROKEN for one in chain):
        return Outcome.RESET
    return Outcome.CHECK


def _causes(error: BaseException) -> Iterator[BaseException]:
    todo, seen = [error], set()
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inside = [one.__cause__, getattr(one, "original", None), getattr(one, "reason", None), *one.args]
        todo += [item for item in inside if isinstance(item, BaseException)]
