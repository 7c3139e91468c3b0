from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TEXT = "stir boil fry salt egg onion butter soup pan oven bread milk sugar lemon garlic"
WORDS = TEXT.split()


def sentences(size: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=8)) for _ in range(size)]


def spoiled(texts: list[str], share: float, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [
        " ".join(chance.choice(WORDS) if chance.random() < share else word for word in text.split()) for text in texts
    ]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A run folder with predictions: columns beside id, prompt, target and prediction by keyword."""

    def make(
        name: str, *, size: int = 40, share: float = 0.3, seed: int = 1, split: str = "test", **columns: Any
    ) -> Path:
        targets = columns.pop("target", None) or sentences(size, seed=0)
        rows = {
            "id": columns.pop("id", None) or [f"r{place}" for place in range(size)],
            "prompt": columns.pop("prompt", None) or [f"cook with {text.split()[0]}" for text in targets],
            "target": targets,
            "prediction": columns.pop("prediction", None) or spoiled(targets, share, seed),
            **columns,
        }
        path = tmp_path / "runs" / name / "predictions" / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(rows), path)
        return tmp_path / "runs" / name

    return make
