"""The faults that an experiment names. Each returns when its effect was seen from outside; the healer takes held ones back."""

from typing import Any

from chaoslib_ext.faults import injection

__all__ = ["kill_replicas", "lose_zone"]


def kill_replicas(service: str, share: str = "", count: int = 0, zone: str = "", timeout_s: float = 10.0) -> dict[str, Any]:
    """
    Kills replicas of a service at once, without warning (SIGKILL to exactly the planned processes).

    Give `count` (how many) or `share` (like "34%", rounded down) of the replicas, of one `zone` or of all. Which ones
    is drawn when the run is planned, by the run's seed. There is nothing to undo: whatever keeps the service running
    owes a replacement, and the run sees whether and when it came.

    It needs an environment whose services are local processes. Returns when the killed replicas were seen from
    outside not to answer any more; fails when that is not seen within `timeout_s` seconds.
    """
    arguments = {"service": service, "share": share, "count": count, "zone": zone, "timeout_s": timeout_s}
    return injection.inject("kill_replicas", arguments)


def lose_zone(zone: str, duration: str, how: str = "silent", service: str = "", timeout_s: float = 10.0) -> dict[str, Any]:
    """
    Takes a whole zone away for `duration` (like "40s"), or, with `service`, that service's replicas in it.

    `how` says which loss: "silent" (the zone's network swallows everything and its processes are frozen by
    SIGSTOP: nothing answers, nothing is closed), "isolate" (only the network swallows) or "crash" (the
    processes are killed, and nothing restarts them).

    It is taken back after `duration`, counted from the moment the loss was seen from outside, by the healer: the
    network passes again, frozen processes go on (SIGCONT), and what keeps the service running may restart what
    was killed. If somebody else has changed the same link or zone meanwhile, theirs stays and the run says so.

    It needs an environment whose services are local processes. Returns when no replica of the zone answers any
    more; fails when that is not seen within `timeout_s` seconds, and is then taken back all the same.
    """
    arguments = {"zone": zone, "duration": duration, "how": how, "service": service, "timeout_s": timeout_s}
    return injection.inject("lose_zone", arguments)
