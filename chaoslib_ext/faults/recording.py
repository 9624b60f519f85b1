"""
What an injection writes into the undo ledger. Once that has failed, this process injects nothing more.

A disk that loses one frame may lose the next, and a fault whose way back is not on it is never injected.
"""

from __future__ import annotations

from chaoslib_ext.errors import FaultFailed, LedgerCorrupt
from chaoslib_ext.ledger import Frame, Ledger

_trouble: list[str] = []


def trouble() -> str:
    """Why nothing more is injected by this process; empty as long as everything could be recorded."""
    return _trouble[0] if _trouble else ""


def refuse_unwritable() -> None:
    """Raises FaultFailed once a frame could not be written."""
    if _trouble:
        raise FaultFailed(f"nothing more is injected: {_trouble[0]}")


def record(ledger: Ledger, frame: Frame) -> None:
    """Writes a frame durably. Raises FaultFailed when it cannot be: what the frame announces must then not be done."""
    if frame.rec in ("FUSE", "INTENT"):
        refuse_unwritable()
    try:
        ledger.append(frame)
    except (OSError, LedgerCorrupt) as error:
        _trouble.append(f"{frame.fault}: {frame.rec} could not be written into the undo ledger: {error}")
        raise FaultFailed(_trouble[-1]) from error
