"""Which activities are ours, and what their functions take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoslib_ext.formats.activities_table import is_managed, managed_kind, standing
from chaoslib_ext.formats.signatures import activity_modules, exported, parameters


def test_the_table_knows_our_faults_from_the_rest() -> None:
    def python(module: str, func: str, kind: str = "action") -> dict[str, Any]:
        return {"type": kind, "name": "a", "provider": {"type": "python", "module": module, "func": func}}

    assert managed_kind(python("chaoslib_ext.faults", "lose_zone")) == "held"
    assert managed_kind(python("chaoslib_ext.faults.actions", "kill_replicas")) == "instant"
    assert standing(python("chaosk8s.pod.actions", "terminate_pods")) == "unmanaged"
    assert standing(python("chaosaws.ec2.actions", "stop_instances")) == "unmanaged"
    assert standing(python("chaosk8s.pod.probes", "read_pod_logs", "probe")) == "probe"
    assert [is_managed(one) for one in ({}, {"type": "probe"}, {"type": "action", "provider": 3}, python("evil.faults", "lose_zone"))] == [
        False,
        True,
        False,
        False,
    ]


def test_signatures_are_read_from_source_through_reexports(tmp_path: Path) -> None:
    folder = tmp_path / "waves"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from chaoslib_ext.waves.actions import surf as ride\nfrom .actions import swim\n__all__ = ['ride', 'swim']\n", encoding="utf-8"
    )
    (folder / "actions.py").write_text(
        "import a_library_nobody_has\ndef surf(board: str, speed: float = 1.0, *, "
        "secrets=None): ...\ndef swim(configuration, far: int): ...\n__all__: list[str] = ['surf']\n",
        encoding="utf-8",
    )
    assert activity_modules(tmp_path) == ["chaoslib_ext.waves", "chaoslib_ext.waves.actions"]
    assert exported("chaoslib_ext.waves", tmp_path) == ["ride", "swim"]
    assert exported("chaoslib_ext.waves.actions", tmp_path) == ["surf"]
    ride, swim = parameters("chaoslib_ext.waves", "ride", tmp_path), parameters("chaoslib_ext.waves", "swim", tmp_path)
    assert [(one.name, one.annotation, one.required) for one in ride or []] == [("board", "str", True), ("speed", "float", False)]
    assert [(one.name, one.annotation, one.required) for one in swim or []] == [("far", "int", True)]
    assert parameters("chaoslib_ext.waves", "dive", tmp_path) is None
