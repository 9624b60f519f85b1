"""Makes the hand-made runs of this folder, and the browser of the security tests, importable: tests are no packages."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent / "security"))
