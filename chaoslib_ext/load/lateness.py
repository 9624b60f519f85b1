"""How late the generator was, in a histogram of fixed size."""

from __future__ import annotations

from array import array

_FINE = 7  # bits kept of a value: buckets are at most 1.6 % wide
_HALF = 1 << (_FINE - 1)


class Lateness:
    """Counts of microseconds (0 to 2**32 - 1) in log-linear buckets; 14 KB whatever the length of a run."""

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * ((32 - _FINE) * _HALF + 2 * _HALF)))
        self.total = 0
        self.max_us = 0

    def add(self, late_us: int) -> None:
        """Counts one release."""
        shift = max(late_us.bit_length() - _FINE, 0)
        self._counts[shift * _HALF + (late_us >> shift)] += 1
        self.total += 1
        self.max_us = max(self.max_us, late_us)

    def quantile_us(self, q: float) -> int:
        """The upper edge of the bucket that holds the quantile `q` in (0, 1], never above the maximum; 0 without releases."""
        rank, seen = q * self.total, 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return min(_upper_edge(index), self.max_us)
        return 0


def _upper_edge(index: int) -> int:
    if index < 2 * _HALF:
        return index
    shift = index // _HALF - 1
    return ((index - shift * _HALF + 1) << shift) - 1
