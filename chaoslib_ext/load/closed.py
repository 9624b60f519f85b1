"""
The closed model: a user's locustfile, unmodified, with our recorder listening.

Its requests are rows of class step, intended when they really started: no lateness exists here. `scheduled` and
`released` of a second are the requests that ended in it, `in_flight` the users there are. Requests of users that
have to be killed at the end fire no event in Locust; they are not in the rows.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import gevent.socket
from gevent.monkey import get_original

from chaoslib_ext.clock import NS, monotonic_ns
from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.client import header, locustfile_environment, outcome_of, versions
from chaoslib_ext.load.clockwork import Clockwork
from chaoslib_ext.load.connections import OFF_LIMITS_TEXT
from chaoslib_ext.load.control import Control
from chaoslib_ext.load.recorder import Recorder, first_meta
from chaoslib_ext.load.spec import Hosts, LoadSpec
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.timeline import Outcome

IMPORT_LIMIT_S = 10.0
DEFAULT_USERS = 10
STOP_TIMEOUT_S = 10.0  # users may finish their task for so long after the stop


def run_closed(spec: LoadSpec, profile: LoadProfile, control: Control) -> int:
    """Runs a locustfile from the start order to the stop order and returns how many rows there are. Raises UsageError for a file that cannot run."""
    users = int(spec.profile.get("users") or DEFAULT_USERS)
    spawn_rate = float(spec.profile.get("spawn_rate") or users)
    confine(spec.hosts)
    environment = _loaded(str(Path(str(profile.locustfile)).absolute()), spec.base_url, users, spawn_rate)
    recorder = Recorder(spec.out_dir, spec.t0_ns, spec.slis, "step", first_meta(spec, "closed", versions()))
    recorder.write_meta(durable=False, users=users)
    listener = Listener(recorder, spec.zone_header)
    environment.events.request.add_listener(listener.hear)
    environment.events.user_error.add_listener(listener.hear_of_an_error)
    control.say("ready")
    control.ordered.wait()
    clockwork = Clockwork(recorder, control, environment)
    ticking = None
    if control.start_ns is not None:
        control.stopped.wait(timeout=max(control.start_ns - monotonic_ns(), 0) / NS)
        recorder.start(control.start_ns)
        recorder.write_meta(durable=False, start_ns=control.start_ns - spec.t0_ns)
        ticking = clockwork.start(lambda _: True, lambda _: (environment.runner.user_count, 0))
        if control.stop_ns is None:
            _start(environment, users, spawn_rate)
        control.stopped.wait()
    assert control.stop_ns is not None
    control.say("stopped", stop_ns=control.stop_ns - spec.t0_ns)
    environment.runner.quit()  # waits for the users' tasks up to the stop timeout
    environment.events.quitting.fire(environment=environment, reverse=True)
    if ticking is not None:
        ticking.kill()
        while recorder.has_open_counts():
            clockwork.sum_up(0, 0)
    recorder.close(user_errors=listener.user_errors, stop_ns=control.stop_ns - spec.t0_ns, cpu_s=round(time.process_time(), 3))
    return recorder.totals.rows


def _start(environment: Any, users: int, spawn_rate: float) -> None:
    if environment.shape_class is not None:
        environment.runner.start_shape()
    else:
        environment.runner.start(users, spawn_rate)


class Listener:
    """Makes a row of each of Locust's request events."""

    def __init__(self, recorder: Recorder, zone_header: str) -> None:
        self._recorder, self._zone_header = recorder, zone_header
        self.user_errors = 0

    def hear_of_an_error(self, **_: Any) -> None:
        """Counts a task that raised: Locust logs it and goes on, but what it was about to send never was."""
        self.user_errors += 1

    def hear(self, request_type: str, name: str, **event: Any) -> None:
        """Records one request; its outcome is that of the exception Locust gives, if any."""
        now_ns = monotonic_ns()
        took_ns = int((event.get("response_time") or 0.0) * 1e6)
        begin_ns = now_ns - took_ns
        start_time, exception = event.get("start_time"), event.get("exception")
        if start_time is not None:
            # the event can fire long after the answer (`with` blocks); wall time is only good for the distance from now
            said_ns = now_ns - int((time.time() - start_time) * NS)
            if 0 <= begin_ns - said_ns < 60 * NS:
                begin_ns = said_ns
        outcome = Outcome.OK if exception is None else outcome_of(exception)
        recorder = self._recorder
        recorder.scheduled(now_ns)
        recorder.released(now_ns)
        number = recorder.endpoint(f"{request_type} {name.partition('?')[0]}", header(event.get("response"), self._zone_header), "step")
        recorder.add(number, begin_ns, begin_ns, begin_ns + took_ns, outcome)


def confine(hosts: Hosts) -> None:
    """
    Lets no library of this process look up a host that is off limits: the locustfile's own URLs, and redirects it follows.

    Connecting a raw socket to a literal address is not covered.
    """
    look_up = gevent.socket.getaddrinfo

    def guarded(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not hosts.allow_address(str(name), port):
            raise PermissionError(errno.EACCES, f"{name}:{port} {OFF_LIMITS_TEXT}")
        return look_up(host, port, *args, **kwargs)

    gevent.socket.getaddrinfo = guarded
    socket.getaddrinfo = guarded


def _loaded(path: str, base_url: str, users: int, spawn_rate: float) -> Any:
    disarm = _watchdog(path)
    sys.path.append(str(Path(path).parent.parent))  # public locustfiles import packages that lie beside their folder
    try:
        return locustfile_environment(path, base_url, users, spawn_rate, STOP_TIMEOUT_S)
    except ModuleNotFoundError as error:
        raise UsageError(f"{path}: needs the module {error.name!r}, which is not there; install it beside chaosx, then run again. Nothing was sent") from error
    except (Exception, SystemExit) as error:  # a stranger's code can raise anything; its own traceback is what its author needs
        where = "".join(traceback.format_exception(error))
        raise UsageError(f"{path}: cannot be run as a locustfile: {error!r}. Nothing was sent\n{where}") from error
    finally:
        disarm.append(True)


def _watchdog(path: str) -> list[bool]:
    """Ends the process with code 2 from a real thread when the list returned is still empty after the limit: also out of a busy loop."""
    disarmed: list[bool] = []
    sleep = get_original("time", "sleep")

    def watch() -> None:
        sleep(IMPORT_LIMIT_S)
        if not disarmed:
            os.write(2, f"load child: {path}: importing it took more than {IMPORT_LIMIT_S:g} s; nothing was sent\n".encode())
            os._exit(2)

    get_original("_thread", "start_new_thread")(watch, ())
    return disarmed
