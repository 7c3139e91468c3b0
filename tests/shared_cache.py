"""The cache of prepared data beside runs that several tests read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Inside, LOSSMITH_CACHE is `folder`; to be held for a module at most, since others may run between two of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(folder))
        yield
