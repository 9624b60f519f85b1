"""
The marker files that a fault leaves beside its targets, taken away when it is healed.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from chaoslib_ext.ledger import Entry
from chaoslib_ext.memory import tell


def drop_markers(healed: Iterable[Entry]) -> None:
    """Removes the marker files in the target of faults that are wholly taken back; a marker that is gone is fine."""
    for marker in {str(entry.ours["marker"]) for entry in healed if entry.ours.get("marker")}:
        path = Path(marker)
        if path.parent.name == "markers" and path.suffix == ".json":  # never anything but our own kind of file
            try:
                for piece in (*path.parent.glob(f".{glob.escape(path.name)}.*"), path):  # half of it, when its writer was killed
                    piece.unlink(missing_ok=True)
            except OSError as error:  # it says of something healed that it is there: `recover` will look, and find nothing
                tell(f"heal: {marker}: {error}")
