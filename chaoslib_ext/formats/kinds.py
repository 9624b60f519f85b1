"""What a file says it is, by its own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.yamlfile import Document, read_documents

EXPERIMENT, LOAD_PROFILE, ENVIRONMENT, SLO, LOCUSTFILE, UNKNOWN = "experiment", "load profile", "environment", "slo", "locustfile", "unknown"
_OURS = {"LoadProfile": LOAD_PROFILE, "Environment": ENVIRONMENT}
READ = "chaosx/v1 (LoadProfile, Environment), openslo/v1, or no apiVersion at all (an experiment)"


def kind_of(path: Path) -> str:
    """The kind of a file. One that cannot be read at all is an experiment: its reader says what is wrong with it."""
    if path.suffix == ".py":
        return LOCUSTFILE
    try:
        head = next(iter(_heads(read_documents(path))), {})
    except InvalidFile:
        return _by_text(path)
    version, kind = head.get("apiVersion"), head.get("kind")
    if "openslo" in str(version).lower():
        return SLO
    if "method" in head or "apiVersion" not in head:
        return EXPERIMENT
    return _OURS.get(str(kind), UNKNOWN)


def unknown_text(path: Path) -> str:
    """What to say about a file of a kind that nobody here reads."""
    head = next(iter(_heads(read_documents(path))), {})
    return f"got apiVersion {shown(head.get('apiVersion'))} and kind {shown(head.get('kind'))}, expected {READ}"


def _heads(documents: list[Document]) -> list[dict[str, Any]]:
    """The first mapping of each document; of a list, its items."""
    items = [item for document in documents for item in (document.data if isinstance(document.data, list) else [document.data])]
    return [item for item in items if isinstance(item, dict)]


def _by_text(path: Path) -> str:
    try:
        return SLO if b"openslo" in path.read_bytes()[:4096].lower() else EXPERIMENT
    except OSError:
        return EXPERIMENT
