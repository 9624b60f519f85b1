"""
A Kubernetes API server in this process, for tests: the wire is real, and the controllers are small ones.

It differs from a real one: no admission, no RBAC objects (`forbid` says who may not do what), no quota, no logs, exec or port-forward, no
protobuf, one version of each kind, server-side apply that knows only what was applied, and controllers as `kube_controllers` says.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kube_controllers import ZONE, Controllers
from kube_disturbances import Disturbance, Disturbances, Request
from kube_resources import BY_PLURAL, NAMESPACES, NODES, PODS, Resource, custom_resources
from kube_server import Api
from kube_store import Object, Store, now_text

DEADLINE_S = 60.0


class Cluster:
    """The stand-in, and what a test says to it. `nodes` maps the name of each node to its zone; `certificate` and key make it https."""

    def __init__(self, nodes: dict[str, str] | None = None, ready_after_s: float = 0.05, certificate: tuple[Path, Path] | None = None) -> None:
        self.store, self.wire = Store(), Disturbances()
        self.controllers = Controllers(self.store, ready_after_s)
        for name in ("default", "kube-system"):
            self.store.add(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}})
        for name, zone in (nodes or {}).items():
            self.add_node(name, zone)
        self.api, self._scheme = Api(self.store, self.wire), "https" if certificate else "http"
        if certificate:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trust.load_cert_chain(*certificate)
            self.api.socket = trust.wrap_socket(self.api.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.api.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.controllers.start()

    def close(self) -> None:
        """Ends the server, its connections and its controllers."""
        self.api.ended.set()
        self.wire.calm()
        self.controllers.stop()
        self.api.shutdown()
        self._thread.join()
        self.cut_all()
        self.api.server_close()

    def cut_all(self) -> None:
        """Closes every open connection, watches too."""
        for one in list(self.api.open_sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.api.server_port}"

    @property
    def uid(self) -> str:
        """What identifies the cluster: the uid of its namespace kube-system."""
        return str(self.store.read(NAMESPACES, "", "kube-system")["metadata"]["uid"])

    def kubeconfig(self, path: Path, user: dict[str, Any] | None = None, context: str = "standin", namespace: str = "default") -> Path:
        """Writes a kubeconfig with one context; `user` is the part of its user, by default none at all."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": {"server": self.url}}],
            "users": [{"name": context, "user": user or {}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": namespace}}],
            "current-context": context,
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def token(self, token: str, user: str = "admin") -> None:
        """From now on only the tokens that were given are let in; this one is `user`."""
        self.api.tokens[token] = user

    def revoke(self, token: str) -> None:
        """The token is let in no more."""
        del self.api.tokens[token]

    def forbid(self, verb: str, resource: str, user: str = "*") -> None:
        """Refuses this with 403 from now on, and says so in access reviews."""
        self.api.forbidden.append((user, verb, resource))

    def disturb(self, kind: str | int, **how: Any) -> Disturbance:
        """Plans a disturbance; see `kube_disturbances`."""
        return self.wire.disturb(str(kind), **how)

    def calm(self) -> None:
        """Nothing more goes wrong."""
        self.wire.calm()

    def requests(self, method: str = "", path: str = "") -> list[Request]:
        """The requests that came so far."""
        return self.wire.seen(method, path)

    def add_node(self, name: str, zone: str = "", kubelet: bool = True) -> None:
        """A ready node; without `kubelet` it is only an object, and its pods do nothing."""
        labels = {"kubernetes.io/hostname": name} | ({ZONE: zone} if zone else {})
        status = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now_text()}]}
        self.store.add(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}, "status": status})
        if kubelet:
            self.controllers.kubelets.add(name)

    def add(self, plural: str, thing: Object, namespace: str = "") -> Object:
        """Keeps an object as it is, unchecked: the way to an odd one."""
        meta = {**thing.get("metadata", {}), **({"namespace": namespace} if namespace else {})}
        resource = BY_PLURAL[plural]
        return self.store.add(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **thing, "metadata": meta})

    def namespace(self, name: str) -> None:
        """Makes a namespace."""
        self.add("namespaces", {"metadata": {"name": name}, "status": {"phase": "Active"}})

    def workload(self, plural: str, namespace: str, name: str, replicas: int, chosen: dict[str, str], **meta: Any) -> Object:
        """Makes a Deployment or StatefulSet whose pods have the labels `chosen`."""
        template = {"metadata": {"labels": chosen}, "spec": {"containers": [{"name": "app", "image": "x"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": chosen}, "template": template}
        return self.add(plural, {"metadata": {"name": name, **meta}, "spec": spec}, namespace)

    def pods(self, namespace: str, ready: bool = False) -> list[Object]:
        """The pods of a namespace, or only those that are ready."""
        from kube_budgets import ready as is_ready

        return [pod for pod in self.store.all(PODS, namespace) if not ready or is_ready(pod)]

    def until(self, holds: Callable[[], Any], what: str = "the condition") -> Any:
        """Waits until something holds, and gives what it gave; fails after a generous deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := holds()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come within {DEADLINE_S} s")
            time.sleep(0.01)
        return found

    def define(self, definition: Object) -> list[Resource]:
        """Installs a CustomResourceDefinition."""
        self.add("customresourcedefinitions", definition)
        more = custom_resources(definition)
        self.api.known.extend(more)
        return more
