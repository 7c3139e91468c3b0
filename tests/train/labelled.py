"""Labelled texts that a tiny encoder learns, with groups of unlike size, and the overrides of runs on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

WORDS = ["red", "blue", "green", "sun", "moon", "tree", "river", "stone"]
SIGNS = {"yes": "storm", "no": "calm"}
TINY = [
    "model.base=scratch-tiny", "model.vocab_size=300", "model.hidden_size=16", "model.num_hidden_layers=1",
    "model.num_attention_heads=2", "data.template={text: '{{ text }}'}", "data.split={validation: 0, test: 0, column: split}",
    "data.label=label", "data.group=group", "data.weight=weight", "train.device=cpu", "tracking.report_to=[]",
    "task.positive=yes", "evaluate.metrics=[accuracy]",
]  # fmt: skip


def write_labelled(
    file: Path, *, train: int = 40, validation: int = 16, share: Mapping[str, float] | None = None, words: int = 9
) -> Path:
    """Records of which `share` by split (a fourth) are `yes`, each told by one of up to `words` + 1 words.

    Groups a, b and c, and none.
    """
    draw = random.Random(0)
    with file.open("w", encoding="utf-8") as out:
        for split, count in (("train", train), ("validation", validation), ("test", validation)):
            for number in range(count):
                wanted = (share or {}).get(split, 0.25)
                label = "yes" if int(number * wanted) < int((number + 1) * wanted) else "no"
                text = [*draw.choices(WORDS, k=draw.randint(1, words)), SIGNS[label]]
                draw.shuffle(text)
                record = {
                    "text": " ".join(text), "label": label, "group": "aaaabbc "[number % 8].strip() or None,
                    "weight": 1 + number % 3, "split": split,
                }  # fmt: skip
                out.write(json.dumps(record) + "\n")
    return file


def overrides_for(file: Path, folder: Path) -> Callable[..., list[str]]:
    """Overrides of a run on these records: positional ones as they are, keywords as keys of `train`."""

    def make(name: str, *more: str, **train: object) -> list[str]:
        given = [f"train.{key}={value}" for key, value in train.items()]
        return [*TINY, f"data.files={file}", f"runs_dir={folder / 'runs'}", f"name={name}", *given, *more]

    return make
