"""A small language-model head with everything an objective may ask for; shapes are checked while these tests run."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from jaxtyping import config, install_import_hook

if "lossmith.losses" not in sys.modules:
    with install_import_hook("lossmith.losses", "beartype.beartype"):
        import lossmith.losses  # noqa: F401

from lossmith.losses import tiles


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of a few rows, sweeps of a few rows and words, and blocks of a few numbers: small inputs cross every seam."""
    monkeypatch.setattr(tiles, "TILE_ROWS", 5)
    monkeypatch.setattr(tiles, "SWEEP_ROWS", 7)
    monkeypatch.setattr(tiles, "SWEEP_BYTES", {"cpu": 400})
    monkeypatch.setattr(tiles, "BLOCK_NUMBERS", {"cpu": 35})


@pytest.fixture
def as_users_run_it() -> Iterator[None]:
    """Without the shape checks of the tests, which would refuse a wrong argument before the package does."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)
