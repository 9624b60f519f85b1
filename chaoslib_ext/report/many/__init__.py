"""
Pages over many runs: the roll-up of a list, the index of a folder, the trend of what is repeated.

They show sealed verdicts and never judge. A folder that is no run is listed as such; nothing of it can end a page.
"""

from __future__ import annotations
