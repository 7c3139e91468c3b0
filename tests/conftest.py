"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; LOSSMITH_SHARED_DATA names another place."""
    folder = Path(os.environ.get("LOSSMITH_SHARED_DATA", SHARED))
    if not folder.is_dir():
        pytest.skip(f"real data sets are not at {folder}; set LOSSMITH_SHARED_DATA to their folder")
    return folder
