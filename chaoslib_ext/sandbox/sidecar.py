"""
The sidecar of a replica: a small Envoy between the replica's link and the replica, whose routes lie in a file of its own.

It passes everything on and adds no limit, no retry and no health check; it is there to be given faults, one hop behind
the proxy whose timeouts and retries those faults then test.
"""

from __future__ import annotations

from typing import Any

from chaoslib_ext.sandbox.envoy import CLUSTER, NAMED, connection_manager, listener

ROUTES = "sidecar_routes"


def routes(version: str = "1") -> dict[str, Any]:
    """The route table: the named routes of the shop, each to the replica behind this sidecar."""
    made = [{"name": name, "match": {"prefix": prefix}, "route": {"cluster": CLUSTER, "timeout": "0s"}} for name, prefix in NAMED]
    host = {"name": "shop", "domains": ["*"], "routes": made}
    table = {"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": ROUTES, "virtual_hosts": [host]}
    return {"version_info": version, "resources": [table]}


def bootstrap(folder: str, admin: str, name: str, port: int, replica: int) -> dict[str, Any]:
    """The bootstrap configuration. `folder` holds rds.json, `admin` is the path of the admin socket, `replica` the port of the replica."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": replica}}
    cluster = {
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }
    return {
        "node": {"id": f"sidecar-{name}", "cluster": "sandbox"},
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {"listeners": [listener("sidecar", port, connection_manager("sidecar", folder, ROUTES))], "clusters": [cluster]},
    }
