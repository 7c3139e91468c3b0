"""Small runs whose every step can be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_runs import overrides_for, write_ragged


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def overrides(tmp_path: Path) -> Callable[..., list[str]]:
    """Overrides of a run on 20 records whose answers have from 2 to about 400 supervised tokens."""
    lengths = [0, 400, 1, 2, 350, 0, 5, 400, 3, 30, 0, 0, 90, 1, 200, 7, 0, 60, 1, 11]
    file = write_ragged(tmp_path / "ragged.jsonl", train=lengths, validation=[3, 0, 40, 100])
    return overrides_for(file, tmp_path)
