"""
Environments: where a run happens, and what it may touch there. Also the `--env` argument that chooses one.

Built so far: services that are local processes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import UsageError
from chaoslib_ext.formats.quantities import parse_ratio, shown

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SWITCH = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Service:
    """A service and how to reach it; `processes` holds the path of the roster of its local processes."""

    name: str
    processes: dict[str, str] | None = None
    kubernetes: dict[str, Any] | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """How calls to a platform are retried: first wait and total time, in seconds."""

    base_s: float = 0.2
    deadline_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Environment:
    """
    One environment. `caps` is as `parse_caps` gives it; `lock` is `{"file": path}`, or None.

    `class_` is local, staging or production. `allow` may hold `services`, `zones` and `hosts`, `never` may hold `names` and `labels`.
    `sli_sources` holds `{"prometheus": {"url", "resolution_s"}}` where there is one.
    `hosts` are the only hosts that load may reach. `identity` is checked before anything is touched.
    """

    name: str
    class_: str = "local"
    identity: dict[str, str] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    allow: dict[str, Any] = field(default_factory=dict)
    never: dict[str, Any] = field(default_factory=dict)
    caps: dict[str, float] = field(default_factory=dict)
    lock: dict[str, str] | None = None
    fuse: str | None = None
    load_where: str = "local"
    retry: Retry = field(default_factory=Retry)
    values: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    sli_sources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON; `from_json` gives back an equal environment."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Environment:
        """The environment of `to_json`, also after a trip through JSON."""
        services = {name: Service(**service) for name, service in data["services"].items()}
        return cls(**{**data, "services": services, "retry": Retry(**data["retry"])})


@dataclass(frozen=True, slots=True)
class EnvChoice:
    """
    What `--env` chose. `kind` file: the file at `path`. `kind` sandbox: the running one called `name`, or, when `name`
    is empty, a private one with `switches` turned on.
    """

    kind: str
    name: str
    switches: tuple[str, ...] = ()
    path: Path | None = None


def parse_env_argument(text: str) -> EnvChoice:
    """
    The choice in `sandbox`, `sandbox:one_zone,no_retries`, `sandbox@NAME`, `NAME` (environments/NAME.yaml) or a path.

    Raises UsageError with what was expected. Does not look at the disk.
    """
    if text == "sandbox":
        return EnvChoice("sandbox", "")
    if text.startswith("sandbox:"):
        switches = tuple(text.removeprefix("sandbox:").split(","))
        if not all(_SWITCH.fullmatch(switch) for switch in switches) or len(set(switches)) < len(switches):
            raise UsageError(f"--env {text}: expected the sandbox's switches, each once, separated by commas, like sandbox:one_zone,no_retries")
        return EnvChoice("sandbox", "", switches)
    if text.startswith("sandbox@"):
        name = text.removeprefix("sandbox@")
        if not NAME.fullmatch(name):
            raise UsageError(f"--env {text}: expected the name of a running sandbox, like sandbox@demo")
        return EnvChoice("sandbox", name)
    if "/" in text or text.endswith((".yaml", ".yml", ".json")):
        if "\0" in text:
            raise UsageError(f"--env {shown(text)}: not a path")
        return EnvChoice("file", Path(text).stem, (), Path(text))
    if NAME.fullmatch(text):
        return EnvChoice("file", text, (), Path("environments") / f"{text}.yaml")
    raise UsageError(f"--env {shown(text)}: expected sandbox, the name of a file in environments/, or a path to one")


def parse_caps(value: object) -> dict[str, float]:
    """
    Caps as plain numbers: `{zones: 1, per_owner: 34%, writes: 50000}` gives zones 1, per_owner 0.34, writes 50000.

    Raises ValueError with what was expected.
    """
    if not isinstance(value, dict):
        raise ValueError(f"got {shown(value)}, expected caps like {{zones: 1, per_owner: 34%}}")  # noqa: TRY004 - a wrong file, not a wrong program
    caps: dict[str, float] = {}
    for name, cap in value.items():
        if name in ("per_owner", "per_zone"):
            caps[name] = parse_ratio(cap)
        elif name not in ("zones", "writes"):
            raise ValueError(f"got the cap {shown(name)}, expected zones, per_owner, per_zone or writes")
        elif isinstance(cap, int) and not isinstance(cap, bool) and 0 <= cap < 10**12:
            caps[name] = cap
        else:
            raise ValueError(f"{name}: got {shown(cap)}, expected a whole number from 0")
    return caps


def read_environment(path: Path | str) -> Environment:
    """The environment of a file. Raises InvalidFile with all problems at once."""
    from chaoslib_ext.formats.environment_models import EnvironmentModel
    from chaoslib_ext.formats.file_problems import checked
    from chaoslib_ext.formats.yamlfile import read_document

    return checked(EnvironmentModel, read_document(Path(path))).environment(Path(path))
