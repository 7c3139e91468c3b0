from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_runs import overrides_for, write_ragged

LENGTHS = [6, 9, 5, 12, 7, 8, 10, 6, 9, 11]


def tiny_study(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Overrides of a study of tiny causal runs, a step long, in a cache of its own."""
    monkeypatch.setenv("LOSSMITH_CACHE", str(place / "cache"))
    make = overrides_for(write_ragged(place / "ragged.jsonl", train=LENGTHS, validation=LENGTHS[:4]), place)
    small = ["evaluate.metrics=[rougeL,exact_match]", "generate.max_new_tokens=4", "evaluate.split=validation"]
    return lambda name, *more: make(
        name, *small, *more, max_steps=1, eval_strategy="no", load_best_model_at_end="false"
    )


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    return tiny_study(tmp_path, monkeypatch)
