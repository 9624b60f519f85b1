"""The lateness histogram is right to its bucket width, at any size."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.load.lateness import Lateness


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200), st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_a_quantile_is_never_below_the_true_one_and_at_most_two_percent_above(values: list[int], q: float) -> None:
    late = Lateness()
    for value in values:
        late.add(value)
    true = sorted(values)[max(math.ceil(len(values) * q) - 1, 0)]
    assert true <= late.quantile_us(q) <= true * 1.02 + 1
    assert (late.total, late.max_us) == (len(values), max(values))


def test_nothing_counted_is_zero() -> None:
    assert Lateness().quantile_us(0.99) == 0
