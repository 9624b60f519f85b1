"""Following objects: nothing that happens is missed, whatever becomes of the connection and of the server's memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from kube_standin import Cluster as StandIn

from chaoslib_ext.errors import CallFailed
from chaoslib_ext.kubernetes.calls import Cluster
from chaoslib_ext.kubernetes.client import Limits
from chaoslib_ext.kubernetes.kinds import CONFIG_MAPS
from chaoslib_ext.kubernetes.watching import Seen, follow


class Follower:
    """Follows the config maps of `shop` in a thread, and keeps what it saw."""

    def __init__(self, door: Cluster, labels: str | None = None, window_s: float = 1.0) -> None:
        self.seen: list[Seen] = []
        self.error: CallFailed | None = None
        self._end = False
        self._thread = threading.Thread(target=self._run, args=(door, labels, window_s), daemon=True)
        self._thread.start()

    def _run(self, door: Cluster, labels: str | None, window_s: float) -> None:
        try:
            for one in follow(door, CONFIG_MAPS, "shop", labels, lambda: self._end, window_s):
                self.seen.append(one)
        except CallFailed as error:
            self.error = error

    def stop(self) -> None:
        self._end = True
        self._thread.join()

    def told(self) -> list[tuple[str, str]]:
        """What was seen, without SYNCED: the kind and the name."""
        return [(one.kind, one.thing["metadata"]["name"]) for one in self.seen if one.kind != "SYNCED"]

    def synced(self) -> int:
        return sum(one.kind == "SYNCED" for one in self.seen)


@pytest.fixture
def follower(cluster: StandIn, door: Cluster) -> Iterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def start(**how: object) -> Follower:
        made.append(Follower(door, **how))  # type: ignore[arg-type]
        cluster.until(lambda: made[-1].synced() or made[-1].error, "the first list")
        return made[-1]

    yield start
    for one in made:
        one.stop()


def put(cluster: StandIn, name: str, **labels: str) -> None:
    cluster.add("configmaps", {"metadata": {"name": name, "labels": labels}}, "shop")


def drop(cluster: StandIn, name: str) -> None:
    from kube_resources import BY_PLURAL

    cluster.store.delete(BY_PLURAL["configmaps"], cluster.store.read(BY_PLURAL["configmaps"], "shop", name))


def test_what_is_there_and_what_happens_after_is_told_once_and_in_order(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    put(cluster, "a")
    one = follower()
    put(cluster, "b")
    drop(cluster, "a")
    cluster.until(lambda: len(one.told()) >= 3)
    assert one.told() == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert [seen.late for seen in one.seen] == [False] * 4
    assert [seen.t_ns for seen in one.seen] == sorted(seen.t_ns for seen in one.seen)


def test_a_watch_that_ends_is_resumed_where_it_was(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    one = follower()
    put(cluster, "a")
    cluster.until(lambda: one.told())
    cluster.until(lambda: len(cluster.requests("GET", "watch=true")) >= 3, "two more watches")
    put(cluster, "b")
    cluster.until(lambda: len(one.told()) >= 2)
    assert one.told() == [("ADDED", "a"), ("ADDED", "b")]
    assert one.synced() == 1


def test_a_connection_cut_in_the_middle_loses_nothing(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    one = follower(window_s=60.0)
    for number in range(5):
        put(cluster, f"before-{number}")
        cluster.cut_all()
        put(cluster, f"after-{number}")
        cluster.until(lambda number=number: ("ADDED", f"after-{number}") in one.told())  # type: ignore[misc]
    assert one.told() == [("ADDED", f"{when}-{number}") for number in range(5) for when in ("before", "after")]
    assert one.synced() == 1


def test_a_place_that_the_server_has_forgotten_is_found_again_by_a_new_list(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    put(cluster, "stays")
    put(cluster, "goes")
    one = follower(window_s=60.0)
    cluster.disturb(503, path="/configmaps", times=3)
    cluster.cut_all()
    drop(cluster, "goes")
    put(cluster, "comes")
    cluster.store.compact()
    cluster.until(lambda: one.synced() == 2, "the second list")
    assert one.told()[2:] == [("DELETED", "goes"), ("ADDED", "comes")]
    assert [seen.late for seen in one.seen if seen.kind != "SYNCED"][2:] == [True, True]
    put(cluster, "later")
    cluster.until(lambda: one.told()[-1] == ("ADDED", "later"))
    assert not one.seen[-1].late


def test_410_as_a_status_is_taken_as_410_as_an_event_is(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    cluster.disturb(410, path="watch=true")
    one = follower()
    cluster.until(lambda: one.synced() == 2, "the second list")
    assert one.error is None


def test_bookmarks_move_the_place_on_so_that_a_quiet_kind_is_not_listed_again(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    one = follower(window_s=2.0)
    for number in range(20):
        cluster.add("secrets", {"metadata": {"name": f"s{number}"}}, "shop")  # of another kind: the watch hears of them by bookmarks only
    version = cluster.store.version
    cluster.until(lambda: any(f"resourceVersion={version}&" in two.target for two in cluster.requests("GET", "watch=true")), "a watch from the bookmark")
    cluster.store.compact()
    put(cluster, "a")
    cluster.until(lambda: one.told())
    assert one.synced() == 1


def test_what_begins_or_ceases_to_be_chosen_is_added_or_deleted(cluster: StandIn, door: Cluster, follower: Callable[..., Follower]) -> None:
    from chaoslib_ext.kubernetes import objects

    put(cluster, "a", app="web")
    one = follower(labels="app=web")
    uid = objects.read(door, CONFIG_MAPS, "shop", "a")["metadata"]["uid"]
    objects.merge_patch(door, CONFIG_MAPS, "shop", "a", uid, {"metadata": {"labels": {"app": "api"}}})
    objects.merge_patch(door, CONFIG_MAPS, "shop", "a", uid, {"metadata": {"labels": {"app": "web"}}})
    cluster.until(lambda: len(one.told()) >= 3)
    assert one.told() == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


def test_a_watch_that_is_not_allowed_is_an_error_and_no_endless_try(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    cluster.forbid("watch", "configmaps")
    one = follower()
    cluster.until(lambda: one.error)
    assert one.error is not None
    assert one.error.status == 403
    assert len(cluster.requests("GET", "watch=true")) == 1


def test_a_server_that_is_away_for_a_while_is_waited_for(cluster: StandIn, follower: Callable[..., Follower]) -> None:
    one = follower()
    cluster.disturb("cut", times=5)
    cluster.cut_all()
    put(cluster, "a")
    cluster.until(lambda: one.told() == [("ADDED", "a")])
    assert one.error is None


@pytest.mark.parametrize("kind", ["hang", "cut", "nonsense", "503"])
def test_a_watch_that_is_answered_by_nothing_or_nonsense_is_begun_again(cluster: StandIn, door: Cluster, follower: Callable[..., Follower], kind: str) -> None:
    door.limits = Limits(5.0, 2.0, 5.0)
    cluster.disturb(kind, path="watch=true")
    one = follower(window_s=1.0)
    put(cluster, "a")
    cluster.until(lambda: one.told() == [("ADDED", "a")])
    assert one.error is None
    assert one.synced() == 1
