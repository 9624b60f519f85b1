"""
The proxy in front of the shop: Envoy's configuration as data.

The route table is a file of its own that is swapped by rename (file-based RDS): a write in place would not be
noticed. Listener changes would not reach open connections, so nothing here is meant to change but routes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chaoslib_ext.mesh.client import ask_admin, counters
from chaoslib_ext.sandbox.weaknesses import Weaknesses

__all__ = ["CLUSTER", "NAMED", "ROUTES", "Endpoint", "ask_admin", "bootstrap", "connection_manager", "counters", "listener", "routes"]

ROUTES = "shop_routes"  # the name whose `http.ingress.rds.<name>.version_text` acknowledges a swap
CLUSTER = "shop"
NAMED = (("catalog", "/catalog/"), ("shop", "/"))  # the routes of a mesh by name and prefix; a fault names one of them
_TYPE = "type.googleapis.com/envoy."
_FAULT = _TYPE + "extensions.filters.http.fault.v3.HTTPFault"
_MANAGER = _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ACCESS_LOG = {
    "start_s": "%START_TIME(%s.%9f)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "code": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "upstream": "%UPSTREAM_HOST%",
    "zone": "%RESP(X-ZONE)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One replica as the proxy sees it: the link's port and the zone."""

    zone: str
    port: int


def routes(weak: Weaknesses, version: str = "1") -> dict[str, Any]:
    """The route table, one route for the whole shop, in a mesh those of `NAMED`; `version` comes back in the statistics once it is in use."""
    route: dict[str, Any] = {"cluster": CLUSTER, "timeout": "15s" if weak.no_timeout else "2s"}
    if not weak.no_retries:
        route["retry_policy"] = {
            "retry_on": "connect-failure,refused-stream,reset,gateway-error",
            "num_retries": 2,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"@type": _TYPE + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                }
            ],
            "host_selection_retry_max_attempts": 5,
            **({} if weak.no_timeout else {"per_try_timeout": "0.1s" if weak.short_timeout else "0.25s"}),
        }
    made = [{"name": name, "match": {"prefix": prefix}, "route": route} for name, prefix in (NAMED if weak.mesh else NAMED[1:])]
    if weak.stored:  # all orders of a node in one answer take longer than a try, and are never asked of another replica
        reading = {"prefix": "/orders", "query_parameters": [{"name": "node", "present_match": True}]}
        made.insert(0, {"name": "orders of a node", "match": reading, "route": {"cluster": CLUSTER, "timeout": "15s"}})
    host = {"name": "shop", "domains": ["*"], "routes": made}
    table = {"@type": _TYPE + "config.route.v3.RouteConfiguration", "name": ROUTES, "virtual_hosts": [host]}
    return {"version_info": version, "resources": [table]}


def bootstrap(folder: str, admin: str, port: int, endpoints: list[Endpoint], weak: Weaknesses) -> dict[str, Any]:
    """The bootstrap configuration. `folder` holds rds.json and access.log, `admin` is the path of the admin socket."""
    return {
        "node": {"id": "ingress", "cluster": "sandbox"},
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {"listeners": [_listener(folder, port)], "clusters": [_cluster(endpoints, weak)]},
    }


def _listener(folder: str, port: int) -> dict[str, Any]:
    log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": _TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": f"{folder}/access.log",
            "log_format": {"json_format": _ACCESS_LOG},
        },
    }
    return listener("ingress", port, {**connection_manager("ingress", folder, ROUTES), "access_log": [log]})


def connection_manager(prefix: str, folder: str, table: str) -> dict[str, Any]:
    """What handles requests: routes from `folder`/rds.json, the fault filter and the router; its statistics begin with `http.<prefix>.`."""
    source = {"path_config_source": {"path": f"{folder}/rds.json", "watched_directory": {"path": folder}}, "resource_api_version": "V3"}
    return {
        "@type": _MANAGER,
        "stat_prefix": prefix,
        "rds": {"route_config_name": table, "config_source": source},
        "http_filters": [
            {"name": "envoy.filters.http.fault", "typed_config": {"@type": _FAULT}},  # idle until a route configures it
            {"name": "envoy.filters.http.router", "typed_config": {"@type": _TYPE + "extensions.filters.http.router.v3.Router"}},
        ],
    }


def listener(name: str, port: int, manager: dict[str, Any]) -> dict[str, Any]:
    """A listener of the loopback."""
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def _cluster(endpoints: list[Endpoint], weak: Weaknesses) -> dict[str, Any]:
    zones = sorted({endpoint.zone for endpoint in endpoints})
    cluster: dict[str, Any] = {
        "name": CLUSTER,
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "0.25s",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},  # the default of 1 s hides a lost zone that long
        "health_checks": [_health_check(weak)],
        "circuit_breakers": {"thresholds": [{"max_retries": 64}]},  # the default of 3 would turn a lost zone into errors by itself
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [_locality(zone, endpoints) for zone in zones]},
    }
    if not weak.slow_health_check:
        cluster["outlier_detection"] = {
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": "5s",
            "max_ejection_percent": 50,
            # a sidecar passes health checks while it fails requests: in a mesh, a check that succeeds must not bring it back at once
            **({"successful_active_health_check_uneject_host": False} if weak.mesh else {}),
        }
    return cluster


def _health_check(weak: Weaknesses) -> dict[str, Any]:
    interval = "5s" if weak.slow_health_check else "0.5s"
    return {
        "timeout": "0.3s",
        "interval": interval,
        "no_traffic_interval": interval,
        "unhealthy_threshold": 3 if weak.slow_health_check else 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/healthz"},
    }


def _locality(zone: str, endpoints: list[Endpoint]) -> dict[str, Any]:
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": endpoint.port}} for endpoint in endpoints if endpoint.zone == zone]
    return {"locality": {"region": "local", "zone": zone}, "lb_endpoints": [{"endpoint": {"address": address}} for address in addresses]}
