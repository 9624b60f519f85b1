"""The faults that an experiment names. Each returns when its effect was seen from outside; the healer takes held ones back."""

from typing import Any

from chaoslib_ext.faults import injection

__all__ = ["abort_traffic", "cut_replication", "delay_replication", "delay_traffic", "fill_disk", "kill_replicas", "lose_primary", "lose_zone", "slow_disk"]


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


def delay_traffic(
    service: str, delay: str, duration: str, share: str = "100%", route: str = "", where: str = "sidecar", zone: str = "", timeout_s: float = 10.0
) -> dict[str, Any]:
    """
    Holds back a `share` of the requests to a service for `delay` (like "200ms"), for `duration` (like "40s").

    `where` says which Envoys do it: "sidecar" (those in front of the service's replicas, of one `zone` or of all) or
    "ingress" (the one in front of the whole service). With `route`, only requests on the route of that name. Health
    checks are let alone. An Envoy does not count the delay against its own timeout: to test a caller's timeouts, delay
    one hop further down, at the sidecars.

    It is taken back after `duration`, counted from the moment the delay was seen from outside, by the healer: only our
    part of the route is taken out, whatever else was changed in it meanwhile stays. Requests that are held back at that
    moment still wait to the end.

    It needs Envoys whose routes lie in files, and no other fault on the same route. Returns when the delay was seen in
    looks through every affected Envoy; fails when it was not within `timeout_s` seconds, and is then taken back all the same.
    """
    arguments = {"service": service, "delay": delay, "duration": duration, "share": share, "route": route, "where": where, "zone": zone}
    return injection.inject("delay_traffic", {**arguments, "timeout_s": timeout_s})


def abort_traffic(
    service: str, duration: str, status: int = 503, share: str = "100%", route: str = "", where: str = "sidecar", zone: str = "", timeout_s: float = 10.0
) -> dict[str, Any]:
    """
    Answers a `share` of the requests to a service with `status` instead of passing them on, for `duration` (like "40s").

    `where`, `zone` and `route` choose the Envoys and the requests as in `delay_traffic`. Health checks are let alone. An
    Envoy never repeats a request that it aborted itself: to test a caller's retries, abort at the sidecars.

    It is taken back after `duration`, counted from the moment the aborts were seen from outside, by the healer: only our
    part of the route is taken out, whatever else was changed in it meanwhile stays.

    It needs Envoys whose routes lie in files, and no other fault on the same route. Returns when aborted requests were
    seen in looks through every affected Envoy; fails when they were not within `timeout_s` seconds, and is then taken
    back all the same.
    """
    arguments = {"service": service, "duration": duration, "status": status, "share": share, "route": route, "where": where, "zone": zone}
    return injection.inject("abort_traffic", {**arguments, "timeout_s": timeout_s})


def lose_primary(store: str = "store", duration: str = "", how: str = "kill", timeout_s: float = 10.0) -> dict[str, Any]:
    """
    Takes the primary of a replicated store away.

    `how` says which loss: "kill" (its machine dies: all of its processes are killed, and what was on its replication
    links is lost), "freeze" (all of its processes are stopped by SIGSTOP for `duration`, like "40s") or "switchover" (a
    planned change of the primary, carried out by the failover controller). `duration` belongs to "freeze" alone.

    For "kill" and "switchover" there is nothing to undo: the store owes another primary, and the run sees whether and
    when it came; a killed node stays down. A frozen node is continued after `duration` by the healer; where another
    node was promoted meanwhile, the failover controller brings it back as a standby.

    It needs an environment with a store that has a standby. Returns when the planned primary was seen from outside not
    to be the primary any more (for "freeze": not to answer); fails when that is not seen within `timeout_s` seconds.
    """
    return injection.inject("lose_primary", {"store": store, "duration": duration, "how": how, "timeout_s": timeout_s})


def cut_replication(zone: str, duration: str, timeout_s: float = 10.0) -> dict[str, Any]:
    """
    Cuts the replication link of the standby in a zone for `duration` (like "40s"): it swallows everything, and nothing is closed.

    Clients reach the standby as before, and read what is older and older. It is taken back after `duration`, counted from
    the moment the cut was seen from outside, by the healer: the link passes again. If somebody else has changed the same
    link meanwhile, theirs stays and the run says so.

    It needs an environment with a store that has a standby in that zone. Returns when nothing was seen to come through
    the link any more; fails when that is not seen within `timeout_s` seconds, and is then taken back all the same.
    """
    return injection.inject("cut_replication", {"zone": zone, "duration": duration, "timeout_s": timeout_s})


def delay_replication(zone: str, delay: str, duration: str, timeout_s: float = 10.0) -> dict[str, Any]:
    """
    Makes the replication link of the standby in a zone slower by `delay` each way (like "50ms"), for `duration` (like "40s").

    It is taken back after `duration`, counted from the moment the delay was seen from outside, by the healer. If somebody
    else has changed the same link meanwhile, theirs stays and the run says so.

    It needs an environment with a store that has a standby in that zone. Returns when looks through the link were seen to
    take longer; fails when that is not seen within `timeout_s` seconds, and is then taken back all the same.
    """
    return injection.inject("delay_replication", {"zone": zone, "delay": delay, "duration": duration, "timeout_s": timeout_s})


def fill_disk(duration: str, store: str = "store", node: str = "primary", timeout_s: float = 20.0) -> dict[str, Any]:
    """
    Fills the disk of one node of a replicated store to its last byte, for `duration` (like "20s").

    `node` is "primary" or the name of a node (like "store-b"). One file of ours does it, with its owner in its name and
    in its first line. What a Postgres does then: a primary goes on answering and reads, and refuses every write that
    needs room, without its failover controller noticing; when its log needs room too, it ends. A standby ends.

    It is taken back after `duration`, counted from the moment it was seen from outside, by the healer: exactly that file
    is removed, whatever else fills the disk stays and is told, and a node that has ended is brought back as a standby.

    It needs a node on a disk of limited size that is its own and no disk of the machine, like that of
    `--env sandbox:store_small_disk`; anywhere else it is refused. Returns when the node was seen to refuse to write
    because its disk is full, or to answer no more; fails when that is not seen within `timeout_s` seconds, and is then
    taken back all the same.
    """
    return injection.inject("fill_disk", {"store": store, "duration": duration, "node": node, "timeout_s": timeout_s})


def slow_disk(delay: str, duration: str, store: str = "store", node: str = "primary", timeout_s: float = 20.0) -> dict[str, Any]:
    """
    Makes every flush of the primary of a replicated store take longer by `delay` (like "200ms"), for `duration` (like "20s").

    strace holds back each fsync and fdatasync of all processes of the node, those to come too; it also slows their other
    system calls by some hundredths of a millisecond. Commits that meet on one flush wait for the one before it: up to
    twice the delay.

    It is taken back after `duration`, counted from the moment it was seen from outside, by the healer: our strace is
    ended, nobody else's, and the kernel lets the processes go on. It also ends by itself, some 20 s after the last moment
    at which the healer would have ended it, if nothing of this tool is left.

    It needs a store that flushes, like that of `--env sandbox:store_fsync`, the program strace, and the right to trace
    the node's processes; anywhere else it is refused. `node` is "primary", or its name. Returns when commits were seen
    to take at least 80 % of the delay; fails when they did not within `timeout_s` seconds, and is then taken back all the same.
    """
    arguments = {"store": store, "delay": delay, "duration": duration, "node": node, "timeout_s": timeout_s}
    return injection.inject("slow_disk", arguments)
