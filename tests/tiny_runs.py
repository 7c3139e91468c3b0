"""Runs of a tiny model on records of very unequal lengths, for every test that trains."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

TINY_MODEL = [
    "model.base=scratch-tiny",
    "model.vocab_size=300",
    "model.hidden_size=32",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=2",
    "train.device=cpu",
    "tracking.report_to=[]",
]
TINY = [
    *TINY_MODEL,
    "data.template={prompt: '{{ p }}', answer: '{% span \"items\" %}{{ a }}{% endspan %}{{ b }}'}",
    "data.max_length=600",
    "data.split={validation: 0, test: 0, column: split}",
]


def write_ragged(file: Path, *, train: Sequence[int], validation: Sequence[int]) -> Path:
    """One record for each length: about so many supervised tokens, at least two."""
    rng = random.Random(0)
    with file.open("w", encoding="utf-8") as out:
        for number, length in enumerate([*train, *validation]):
            record = {
                "p": "".join(rng.choices("abcdefgh ", k=rng.randint(1, 40))).strip() or "a",
                "a": "".join(rng.choices("ABCD", k=max(1, length // 2))),
                "b": "".join(rng.choices("0123456789", k=length - length // 2)) if length else "",
                "kind": ("maths", "chem", None)[number % 3],
                "split": "train" if number < len(train) else "validation",
            }
            out.write(json.dumps(record) + "\n")
    return file


def overrides_for(file: Path, folder: Path) -> Callable[..., list[str]]:
    """Overrides of a run on these records: positional ones as they are, keywords as keys of `train`."""

    def make(name: str, *more: str, **train: object) -> list[str]:
        given = [f"train.{key}={value}" for key, value in train.items()]
        return [*TINY, f"data.files={file}", f"runs_dir={folder / 'runs'}", f"name={name}", *given, *more]

    return make
