"""
The load child: `python -m chaoslib_ext.load.child SPEC.json`.

Standard input takes {"op":"start","at_ns":…} (absolute CLOCK_MONOTONIC) and {"op":"stop"}; its end is a stop too, and so
is SIGTERM; SIGINT is the supervisor's business. Standard output gives `ready`, a `second` for each second that is
over, `stopped` and `done`. Exit codes: 0 done, 2 the spec or the profile is wrong and nothing was sent, 5 our own failure.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.parent import die_with_parent
from chaoslib_ext.load.spec import LoadSpec, read_spec


def main(argv: list[str]) -> int:
    """Runs one load child and returns its exit code."""
    ppid = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if len(argv) != 2:
            raise UsageError("usage: python -m chaoslib_ext.load.child SPEC.json")
        spec = read_spec(Path(argv[1]))
        die_with_parent(spec.parent_pid, ppid)
        return _run(spec)
    except UsageError as error:
        print(f"load child: {error}", file=sys.stderr, flush=True)
        return 2


def _run(spec: LoadSpec) -> int:
    # imported here: Locust takes a second, and the tie to the parent must stand before
    import chaoslib_ext.load.client  # noqa: F401  # isort: skip  # first of them: it patches the process
    import gevent

    from chaoslib_ext.load.closed import run_closed
    from chaoslib_ext.load.control import Control, own_stdout
    from chaoslib_ext.load.dispatcher import run_open
    from chaoslib_ext.load.given import hush, secret_values
    from chaoslib_ext.loadprofile import LoadProfile

    profile = LoadProfile.from_json(spec.profile)
    hush(profile)
    secret_values(profile, os.environ)
    control = Control(own_stdout())
    gevent.signal_handler(signal.SIGTERM, control.stop)
    gevent.spawn(control.listen)
    gc.collect()
    gc.freeze()  # what the imports made stays: a full collection would look through it again, and delay everything in flight
    rows = run_closed(spec, profile, control) if profile.locustfile else run_open(spec, profile, control)
    control.say("done", rows=rows)
    control.finish()
    return 0


if __name__ == "__main__":
    code = main(sys.argv)
    sys.stderr.flush()
    os._exit(code)  # Locust and gevent leave greenlets and hooks behind that have nothing more to do
