"""Small runs whose every step can be compared."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

TINY = [
    "model.base=scratch-tiny",
    "model.vocab_size=300",
    "model.hidden_size=32",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=2",
    "train.device=cpu",
    "tracking.report_to=[]",
    "data.template={prompt: '{{ p }}', answer: '{% span \"items\" %}{{ a }}{% endspan %}{{ b }}'}",
    "data.max_length=600",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def ragged(tmp_path: Path) -> Path:
    """20 training records whose answers have from 1 to about 400 supervised tokens, and 4 for validation."""
    rng = random.Random(0)
    lengths = [0, 400, 1, 2, 350, 0, 5, 400, 3, 30, 0, 0, 90, 1, 200, 7, 0, 60, 1, 11]
    file = tmp_path / "ragged.jsonl"
    with file.open("w") as out:
        for number, length in enumerate([*lengths, 3, 0, 40, 100]):
            record = {
                "p": "".join(rng.choices("abcdefgh ", k=rng.randint(1, 40))),
                "a": "".join(rng.choices("ABCD", k=max(1, length // 2))),
                "b": "".join(rng.choices("0123456789", k=length - length // 2)) if length else "",
                "split": "train" if number < len(lengths) else "validation",
            }
            out.write(json.dumps(record) + "\n")
    return file


@pytest.fixture
def overrides(ragged: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Overrides of a run on the ragged records; keywords are keys of `train`."""

    def make(name: str, *more: str, **train: object) -> list[str]:
        given = [f"train.{key}={value}" for key, value in train.items()]
        where = [f"data.files={ragged}", "data.split.column=split", f"runs_dir={tmp_path / 'runs'}", f"name={name}"]
        return [*TINY, *where, *given, *more]

    return make
