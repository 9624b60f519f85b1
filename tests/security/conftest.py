"""Makes the rigs of this folder, and the hand-made runs of the report's tests, importable: tests are no packages."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "report"), str(HERE.parent / "many")]
