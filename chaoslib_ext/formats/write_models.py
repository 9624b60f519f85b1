"""The shape of `writes` in a load profile, as pydantic models that build the plain ones."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from chaoslib_ext.formats.model_fields import Duration, PositiveDuration, StrictModel
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.variables import names_in
from chaoslib_ext.writeplan import REJECTED, SERVICE, Cleanup, HttpRead, Settled, SqlRead, WriteLedger

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")  # it becomes part of a file's name
_IDS = re.compile(r"\$(\.[A-Za-z0-9_-]+)*")
_PATH = re.compile(r"/(?!/)[\x21\x22\x24-\x7e]*")
_CLEANUP = re.compile(r"(DELETE|POST|PUT|PATCH) (/(?!/)[\x21\x22\x24-\x7e]*)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PASSWORD = re.compile(r"(?i)(?:^|\s)password\s*=|[?&]password=|^\w+://[^/@]*:[^/@]*@")
_STATUS_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "array", "items": {"type": "integer"}, "minItems": 1}]
}


def _node(value: str) -> str:
    if not _NODE.fullmatch(value):
        raise ValueError(f"got {shown(value)}, expected a name of letters, digits, . _ and -")
    return value


def _ids(value: str) -> str:
    if not _IDS.fullmatch(value):
        raise ValueError(f"got {shown(value)}, expected the dotted path of a list in the JSON answer, like $.ids, or $ for the whole")
    return value


def _names(value: str, *wanted: str, allowed: tuple[str, ...] = ("run", "node")) -> str:
    unknown = sorted(names_in(value) - set(allowed))
    if unknown:
        known = " and ".join(f"${{{name}}}" for name in allowed)
        raise ValueError(f"got {shown(value)}, which names ${{{unknown[0]}}}; here only {known} can be named")
    lacking = [name for name in wanted if name not in names_in(value)]
    if lacking:
        raise ValueError(f"got {shown(value)}, expected ${{{lacking[0]}}} in it" + _WHY[lacking[0]])
    return value


_WHY = {"run": ": only records of this run may be read or removed", "node": ": each node is to be read by itself"}


def _read_path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError(f'got {shown(value)}, expected a path like "/orders?prefix=${{run}}&node=${{node}}"; the host comes from the environment')
    return _names(value, "run")


def _query(value: str) -> str:
    return _names(value, "run", allowed=("run",))


def _cleanup_request(value: str) -> str:
    if not _CLEANUP.fullmatch(value):
        raise ValueError(f'got {shown(value)}, expected a method and a path, like "DELETE /orders?prefix=${{run}}"')
    return _names(value, "run", allowed=("run",))


def _dsn(value: str) -> str:
    if _PASSWORD.search(value):
        raise ValueError("got a DSN with a password, expected one without: this file is copied into the run; put it into an environment variable (`dsn_env`)")
    return value


def _statuses(value: object) -> object:
    statuses = value if isinstance(value, list) else [value]
    if not statuses or any(not isinstance(one, int) or isinstance(one, bool) or not 100 <= one <= 599 for one in statuses):
        raise ValueError(f"got {shown(value)}, expected an HTTP status from 100 to 599, or a list of them")
    return statuses


Node = Annotated[str, AfterValidator(_node)]
Dsn = Annotated[str, Field(min_length=1), AfterValidator(_dsn)]
DsnEnv = Annotated[str, Field(pattern=f"^{_VARIABLE.pattern}$")]
Nodes = Annotated[list[Node], Field(min_length=1, max_length=100)]
Query = Annotated[str, AfterValidator(_query)]


class StatusModel(StrictModel):
    status: Annotated[list[int], BeforeValidator(_statuses), WithJsonSchema(_STATUS_SCHEMA)]


class HttpReadModel(StrictModel):
    url_path: Annotated[str, AfterValidator(_read_path)]
    ids: Annotated[str, AfterValidator(_ids)] = "$"
    nodes: Nodes | None = None
    timeout: PositiveDuration = 10.0

    @model_validator(mode="after")
    def _fits(self) -> HttpReadModel:
        if self.nodes and len(set(self.nodes)) < len(self.nodes):
            raise ValueError("`nodes` names one twice; name each once")
        if self.nodes and "node" not in names_in(self.url_path):
            raise ValueError("`nodes` are given, but `url_path` does not name ${node}" + _WHY["node"])
        if not self.nodes and "node" in names_in(self.url_path):
            raise ValueError("`url_path` names ${node}, but there are no `nodes`; add their names")
        return self


class NodeDsnModel(StrictModel):
    env: DsnEnv


class SqlReadModel(StrictModel):
    query: Query
    dsn: Dsn | None = None
    dsn_env: DsnEnv | None = None
    nodes: Annotated[dict[Node, Dsn | NodeDsnModel], Field(min_length=1, max_length=100)] | None = None
    primary: Annotated[str, Field(min_length=1)] | None = None
    timeout: PositiveDuration = 10.0

    @model_validator(mode="after")
    def _one_place(self) -> SqlReadModel:
        if sum(one is not None for one in (self.dsn, self.dsn_env, self.nodes)) != 1:
            raise ValueError("expected exactly one of `dsn`, `dsn_env` and `nodes`")
        return self

    def read(self) -> SqlRead:
        """The plain one."""
        named = {SERVICE: self.dsn or f"env:{self.dsn_env}"} if self.nodes is None else {}
        for name, dsn in (self.nodes or {}).items():
            named[name] = dsn if isinstance(dsn, str) else f"env:{dsn.env}"
        return SqlRead(self.query, named, self.primary or "", self.timeout)


class ReadbackModel(StrictModel):
    http: HttpReadModel | None = None
    sql: SqlReadModel | None = None

    @model_validator(mode="after")
    def _one_way(self) -> ReadbackModel:
        if (self.http is None) == (self.sql is None):
            raise ValueError("expected `http` or `sql`, and not both")
        return self


class SettledModel(StrictModel):
    for_: Annotated[Duration, Field(alias="for")] = 3.0
    within: PositiveDuration = 60.0
    nodes: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _has_time(self) -> SettledModel:
        if self.within <= self.for_:
            raise ValueError("`within` is not longer than `for`; two equal reads would never fit")
        return self


class HttpCleanupModel(StrictModel):
    request: Annotated[str, AfterValidator(_cleanup_request)]
    timeout: PositiveDuration = 30.0


class SqlCleanupModel(StrictModel):
    query: Query
    dsn: Dsn | None = None
    dsn_env: DsnEnv | None = None
    timeout: PositiveDuration = 30.0


class CleanupModel(StrictModel):
    http: HttpCleanupModel | None = None
    sql: SqlCleanupModel | None = None

    @model_validator(mode="after")
    def _one_way(self) -> CleanupModel:
        if (self.http is None) == (self.sql is None):
            raise ValueError("expected `http` or `sql`, and not both")
        if self.sql and self.sql.dsn and self.sql.dsn_env:
            raise ValueError("expected `dsn` or `dsn_env`, and not both")
        return self

    def cleanup(self) -> Cleanup:
        """The plain one."""
        if self.http:
            return Cleanup(request=self.http.request, timeout_s=self.http.timeout)
        assert self.sql is not None
        return Cleanup(statement=self.sql.query, dsn=self.sql.dsn or (f"env:{self.sql.dsn_env}" if self.sql.dsn_env else ""), timeout_s=self.sql.timeout)


class WriteLedgerModel(StrictModel):
    """One kind of write, named by the steps that do it."""

    acknowledged: StatusModel
    rejected: StatusModel | None = None
    id: Literal["${write_id}"] = "${write_id}"
    readback: ReadbackModel | None = None
    settled: SettledModel = Field(default_factory=SettledModel)
    cleanup: CleanupModel | None = None

    @model_validator(mode="after")
    def _fits(self) -> WriteLedgerModel:
        both = set(self.acknowledged.status) & set(self.rejected.status if self.rejected else ())
        if both:
            raise ValueError(f"the status {min(both)} is both acknowledged and rejected; it can mean one of them only")
        if self.settled.nodes and self.settled.nodes > len(self.ledger().nodes):
            raise ValueError(f"settled.nodes: got {self.settled.nodes}, but `readback` names {len(self.ledger().nodes)}")
        sql = self.cleanup.sql if self.cleanup else None
        if sql and not (sql.dsn or sql.dsn_env or (self.readback and self.readback.sql)):
            raise ValueError("cleanup.sql has no `dsn` or `dsn_env`, and `readback` is not by SQL either; say where it runs")
        return self

    def ledger(self) -> WriteLedger:
        """The plain ledger."""
        http, sql = (self.readback.http, self.readback.sql) if self.readback else (None, None)
        return WriteLedger(
            acknowledged=tuple(self.acknowledged.status),
            rejected=tuple(self.rejected.status) if self.rejected else tuple(one for one in REJECTED if one not in self.acknowledged.status),
            http=HttpRead(http.url_path, http.ids, tuple(http.nodes or (SERVICE,)), http.timeout) if http else None,
            sql=sql.read() if sql else None,
            settled=Settled(self.settled.for_, self.settled.within, self.settled.nodes or 0),
            cleanup=self.cleanup.cleanup() if self.cleanup else None,
        )
