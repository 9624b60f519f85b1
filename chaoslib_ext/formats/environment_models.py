"""The shape of an environment file, as pydantic models that build the plain ones."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from chaoslib_ext.environment import NAME, Environment, Retry, Service
from chaoslib_ext.formats.model_fields import NotBuilt, PositiveDuration, Ratio, StrictModel
from chaoslib_ext.formats.quantities import shown

_LABEL = re.compile(r"[A-Za-z0-9./_-]{1,253}(=[A-Za-z0-9._-]{0,63})?")


def _name(value: object) -> object:
    if isinstance(value, str) and not NAME.fullmatch(value):
        raise ValueError(f"got {shown(value)}, expected a name of lower-case letters, digits and hyphens")
    return value


def _locally(value: object) -> object:
    if value in ("processes", "kubernetes", "hosts"):
        raise ValueError(f"load from {value} is not built yet; use `where: local`")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not value.isascii() or any(letter.isspace() for letter in value) or "@" in value:
        raise ValueError(f"got {shown(value)}, expected an address like https://shop.example.com, without a user or password")
    return value


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host(value: str) -> str:
    try:
        parts = urlsplit("//" + value)
        good = bool(parts.hostname) and parts.netloc == value and "@" not in value and parts.port != 0
    except ValueError:
        good = False
    if not good or any(letter.isspace() or letter in "*?" for letter in value):
        raise ValueError(f"got {shown(value)}, expected the name of one host, like shop.example.com, or with a port 127.0.0.1:8080")
    return value


def _bare(host: str) -> str:
    return (urlsplit("//" + host).hostname or "").lower()


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(f"got {shown(value)}, expected a label like tier or tier=gold")
    return value


def _values(value: dict[str, Any]) -> dict[str, Any]:
    for name, one in value.items():
        if not isinstance(one, str | int | float | bool | None):
            raise ValueError(f"got {shown(one)} for {name}, expected a text, a number, true or false: values are flat")  # noqa: TRY004 - for pydantic
    return value


Name = Annotated[str, BeforeValidator(_name)]


class ProcessesModel(StrictModel):
    roster: Annotated[str, Field(min_length=1)]


class ServiceModel(StrictModel):
    processes: ProcessesModel | None = None
    kubernetes: NotBuilt = None
    mesh: NotBuilt = None
    database: NotBuilt = None
    url: Annotated[str, AfterValidator(_url)] | None = None


class CapsModel(StrictModel):
    zones: Annotated[int, Field(ge=0, lt=10**12)] | None = None
    per_owner: Ratio | None = None
    per_zone: Ratio | None = None
    writes: Annotated[int, Field(ge=0, lt=10**12)] | None = None


class LockModel(StrictModel):
    file: Annotated[str, Field(min_length=1)] | None = None
    lease: NotBuilt = None
    ssm: NotBuilt = None
    dynamodb: NotBuilt = None


class AllowModel(StrictModel):
    """What alone may be touched; a list that is not given allows all."""

    services: list[Name] | None = None
    zones: list[Name] | None = None
    hosts: list[Annotated[str, AfterValidator(_host)]] | None = None
    contexts: NotBuilt = None
    namespaces: NotBuilt = None
    accounts: NotBuilt = None


class NeverModel(StrictModel):
    """What is never touched: names of targets or services, and labels, as `key` or `key=value`."""

    names: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    labels: list[Annotated[str, AfterValidator(_label)]] = Field(default_factory=list)


class LoadModel(StrictModel):
    where: Annotated[Literal["local"], BeforeValidator(_locally)] = "local"


class PrometheusModel(StrictModel):
    url: Annotated[str, AfterValidator(_url)]
    resolution: PositiveDuration | None = None


class SourcesModel(StrictModel):
    prometheus: PrometheusModel | None = None


class RetryModel(StrictModel):
    base: PositiveDuration = 0.2
    deadline: PositiveDuration = 120.0


class EnvironmentModel(StrictModel):
    """An environment file."""

    apiVersion: Literal["chaosx/v1"]
    kind: Literal["Environment"]
    name: Name
    class_: Annotated[Literal["local", "staging", "production"], Field(alias="class")]
    identity: Annotated[dict[str, str], Field(default_factory=dict, validate_default=True)]
    credentials: NotBuilt = None
    services: dict[Name, ServiceModel] = Field(default_factory=dict)
    zones: dict[Name, str] = Field(default_factory=dict)
    hosts: Annotated[list[Annotated[str, AfterValidator(_host)]], Field(default_factory=list, validate_default=True)]
    allow: AllowModel | None = None
    never: NeverModel | None = None
    caps: CapsModel = Field(default_factory=CapsModel)
    lock: LockModel = Field(default_factory=LockModel)
    fuse: Literal["required"] | None = None
    load: LoadModel = Field(default_factory=LoadModel)
    sli_sources: SourcesModel = Field(default_factory=SourcesModel)
    retry: RetryModel = Field(default_factory=RetryModel)
    others: NotBuilt = None
    values: Annotated[dict[str, Any], AfterValidator(_values)] = Field(default_factory=dict)

    @field_validator("identity", mode="after")
    @classmethod
    def _known(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if not value and info.data.get("class_") in ("staging", "production"):
            raise ValueError(f"is empty; a {info.data['class_']} environment says which target it is, so that no other is ever touched")
        return value

    @field_validator("allow")
    @classmethod
    def _within(cls, value: AllowModel | None, info: ValidationInfo) -> AllowModel | None:
        known = info.data.get("services") or {}
        if value is None:
            return value
        if strange := [name for name in value.services or [] if name not in known]:
            raise ValueError(f"services: {strange[0]} is none of `services` (there are: {', '.join(known) or 'none'})")
        allowed = {host.lower() for host in value.hosts or []}
        if value.hosts is not None and (beyond := [host for host in info.data.get("hosts") or [] if not {host.lower(), _bare(host)} & allowed]):
            raise ValueError(f"hosts: {beyond[0]}, one of `hosts`, which load may reach, is missing; add it, or take it out of `hosts`")
        return value

    @field_validator("services")
    @classmethod
    def _reachable(cls, value: dict[str, ServiceModel], _: ValidationInfo) -> dict[str, ServiceModel]:
        for name, service in value.items():
            if service.processes is None and service.url is None:
                raise ValueError(f"{name}: expected `processes`, `url` or both; nothing says where the service is")
        return value

    @field_validator("hosts")
    @classmethod
    def _cover(cls, value: list[str], info: ValidationInfo) -> list[str]:
        allowed = {host.lower() for host in value}
        for name, service in (info.data.get("services") or {}).items():
            parts = urlsplit(service.url or "")
            if service.url and parts.netloc.lower() not in allowed and (parts.hostname or "") not in allowed:
                raise ValueError(f"{parts.netloc}, the address of service {name}, is missing; load may only reach these hosts, so add it")
        return value

    @field_validator("sli_sources")
    @classmethod
    def _allowed(cls, value: SourcesModel, info: ValidationInfo) -> SourcesModel:
        parts = urlsplit(value.prometheus.url if value.prometheus else "")
        host = (parts.hostname or "").lower()
        if host and not is_loopback(host) and not {host, parts.netloc.lower()} & {one.lower() for one in info.data.get("hosts") or []}:
            raise ValueError(f"prometheus: {parts.netloc} is neither this machine nor one of `hosts`; add it there")
        return value

    def environment(self, path: Path) -> Environment:
        """The plain environment of the file at `path`; paths in it are relative to that file."""
        services = {name: self._service(name, one, path) for name, one in self.services.items()}
        lock = None if self.lock.file is None else {"file": str(path.parent / self.lock.file)}
        return Environment(
            name=self.name,
            class_=self.class_,
            identity=self.identity,
            services=services,
            zones=self.zones,
            hosts=self.hosts,
            allow=self.allow.model_dump(exclude_none=True) if self.allow else {},
            never={name: value for name, value in self.never.model_dump().items() if value} if self.never else {},
            caps=self.caps.model_dump(exclude_none=True),
            lock=lock,
            fuse=self.fuse,
            load_where=self.load.where,
            retry=Retry(self.retry.base, self.retry.deadline),
            values=self.values,
            source=str(path),
            sli_sources=self._sources(),
        )

    def _sources(self) -> dict[str, dict[str, Any]]:
        found = self.sli_sources.prometheus
        return {} if found is None else {"prometheus": {"url": found.url.rstrip("/"), "resolution_s": found.resolution}}

    @staticmethod
    def _service(name: str, service: ServiceModel, path: Path) -> Service:
        processes = None if service.processes is None else {"roster": str(path.parent / service.processes.roster)}
        return Service(name, processes, None, service.url)
