"""`${name}` means to a plan what it means to Chaos Toolkit, or a fault would be planned other than it is injected."""

from __future__ import annotations

from typing import Any

import pytest
from chaoslib import substitute
from chaoslib.configuration import load_configuration
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.formats.variables import configured, substituted

KNOWN = {"zone": "b", "count": 3, "share": 0.5, "on": True, "list": ["a"]}
TEXTS = st.lists(st.sampled_from(["${zone}", "${count}", "${on}", "${list}", "${share}", "$${zone}", "${nobody}", "$", "x", " "]), max_size=4).map("".join)
DATA = st.recursive(
    TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(st.sampled_from("xyz"), DATA, min_size=1, max_size=3))
def test_a_plan_substitutes_as_chaos_toolkit_does(data: dict[str, Any]) -> None:
    assert substituted(data, KNOWN) == substitute(data, KNOWN, {})


@pytest.mark.parametrize(
    ("value", "environ"),
    [
        pytest.param("plain", {}, id="a plain value"),
        pytest.param({"type": "env", "key": "X"}, {"X": "40s"}, id="from the environment"),
        pytest.param({"type": "env", "key": "X", "default": "5s"}, {}, id="the default"),
        pytest.param({"type": "env", "key": "X", "env_var_type": "int"}, {"X": "4"}, id="a number"),
        pytest.param({"type": "env", "key": "X", "env_var_type": "float"}, {"X": "0.5"}, id="a fraction"),
        pytest.param({"type": "env", "key": "X", "env_var_type": "bool"}, {"X": "No"}, id="a no"),
        pytest.param({"type": "env", "key": "X", "env_var_type": "bool"}, {"X": "on"}, id="whatever is no no"),
        pytest.param({"type": "env", "key": "X", "env_var_type": "json"}, {"X": '["a"]'}, id="JSON"),
    ],
)
def test_a_configuration_is_read_as_chaos_toolkit_reads_it(value: Any, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    assert configured({"name": value}, environ) == load_configuration({"name": value})


def test_what_only_a_probe_can_say_is_not_known_beforehand() -> None:
    assert configured({"name": {"type": "probe", "provider": {}}}, {}) == {}
