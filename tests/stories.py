"""Small corpora of long documents of which one sentence decides, for every test that trains a retrieval classifier."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

_TALE = (
    "the carter keeps a list of barrels and letters while boats pass slowly under old bridges near every market town "
    "people walk along green rivers with bread or lamps and talk about weather until evening"
)
PLAIN = _TALE.split()
KINDS = ("ltd", "ter", "ch", "a", "cr", "law", "pinc", "use", "j")
# What a document says where it meets a criterion, by the criterion's name.
SAID = {
    "refund": "no money is ever given back buyers",
    "change": "rules change alone without any notice",
    "court": "disputes go before judges one far city",
}
ASKED = {
    "refund": "Money is not given back.",
    "change": "The rules change without notice.",
    "court": "Disputes go before judges of one city.",
}
# The runs of the tests: seconds, not minutes.
SMALL = (
    "model.hidden_size=32",
    "model.vocab_size=2000",
    "train.device=cpu",
    "train.per_device_train_batch_size=16",
    "train.num_train_epochs=6",
    "train.learning_rate=1e-2",
    "tracking.report_to=[]",
    "evaluate.smallest_group=2",
)


def story(chance: random.Random, said: set[str], about: tuple[str, ...], *, sentences: int = 12) -> str:
    """Sentences of no meaning, with what is `said` at places of their own.

    Of what it is `about` and does not say, the words stand in it too, each in another sentence: they alone tell
    nothing, and the mean of all chunks is nearly the same.
    """
    told = [chance.choices(PLAIN, k=7) for _ in range(sentences)]
    for name in about:
        words = SAID[name].split()
        if name in said:
            told.insert(chance.randrange(len(told)), words)
            continue
        told.insert(chance.randrange(len(told)), chance.choices(PLAIN, k=7))
        for place, word in zip(chance.sample(range(sentences), len(words)), words, strict=True):
            told[place].insert(chance.randrange(8), word)
    return " ".join(" ".join(words).capitalize() + "." for words in told)


def write_pairs(file: Path, *, documents: int = 48, seed: int = 0) -> Path:
    """Every document with every criterion, as `document`, `criterion`, `label`, `cluster` and `kind`, a group."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(documents):
        met = {name for name in SAID if chance.random() < 0.5}
        text = story(chance, met, tuple(SAID))
        rows += [
            {
                "id": f"d{number}-{name}",
                "document": text,
                "criterion": ASKED[name],
                "label": int(name in met),
                "cluster": f"d{number}",
                "kind": "ab"[number % 2],
            }
            for name in SAID
        ]
    return _write(file, rows)


def write_records(file: Path, *, records: int = 80, seed: int = 0) -> Path:
    """Titles and abstracts, `label` 1 where the abstract has the sentence of a refund."""
    chance = random.Random(seed)
    rows = []
    for number in range(records):
        label = int(chance.random() < 0.4)
        text = story(chance, {"refund"} if label else set(), ("refund",), sentences=8)
        rows.append({"title": f"Record {number}", "abstract": text, "label": label})
    return _write(file, rows)


def write_terms(file: Path, *, companies: int = 10, lines: int = 150, seed: int = 0) -> Path:
    """Sentences of companies out of order, with the nine columns of unfair terms; `ltd` and `ch` are said by some."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for company in range(companies):
        for line in range(lines):
            kind = chance.choice(["ltd", "ch"]) if chance.random() < 0.015 else None
            said = {"ltd": SAID["refund"], "ch": SAID["change"]}.get(kind or "")
            sentence = said or " ".join(chance.choices(PLAIN, k=6))
            flags = {name: name == kind for name in KINDS}
            rows.append({"sentence": sentence, "company": f"c{company}", "line_number": line, **flags})
    chance.shuffle(rows)
    return _write(file, rows)


def _write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file
