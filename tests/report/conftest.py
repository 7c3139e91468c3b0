"""Two finished runs of the kitchen, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lossmith.evaluate.compare import compare_runs

from .kitchen import PLAIN, TRANSPORT, write_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [
        write_run(root / "plain", objective=PLAIN, skill=0.4, failed=[3, 17], require=["ingredient_f1 >= 0.99"]),
        write_run(root / "transport", objective=TRANSPORT, skill=0.9),
    ]


@pytest.fixture(scope="session")
def comparison(runs: list[Path]) -> dict[str, Any]:
    return compare_runs(runs)
