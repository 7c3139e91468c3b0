"""Documents of 60 sentences of which one decides, in one of several wordings, and runs that have to find it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

import lossmith

SENTENCES = 60
WHO = (
    "The garden",
    "A small library",
    "The northern harbour",
    "Our weekly meeting",
    "The old bakery",
    "The town council",
)
WHAT = ("opens", "was repaired", "hosts visitors", "closes early", "receives new books", "keeps records", "sells bread")
WHEN = (
    "on most days",
    "during the spring",
    "after the rain",
    "near the station",
    "for a modest fee",
    "as in other years",
)
# By the criterion that they answer.
NEEDLES = {
    "The provider may end the account without notice.": (
        "The company may terminate your account at any time.",
        "We reserve the right to close an account whenever we wish.",
        "Your account can be cancelled by us for any reason or none.",
        "Accounts may be shut down by the company with no prior warning.",
        "At our discretion we may terminate the service and remove an account.",
    ),
    "There was an allergic reaction to the treatment.": (
        "The patient developed a severe allergy after the second dose.",
        "After dosing an allergic reaction was seen in one patient.",
        "One patient had an allergic shock within hours of the dose.",
        "Within hours of treatment the allergy of the patient was severe.",
    ),
    "Conflicts are brought before an arbitrator.": (
        "Disputes are settled by binding arbitration.",
        "Any dispute goes to an arbitrator and not to a court.",
        "Arbitration replaces the courts for every dispute.",
    ),
}
# Near to the first kind in words, and in documents of every class.
NEAR = ("You may close your account by writing to us.", "The company gives notice of every change of the service.")


def filler(draw: random.Random) -> str:
    return f"{draw.choice(WHO)} {draw.choice(WHAT)} {draw.choice(WHEN)}."


def document(draw: random.Random, needles: Sequence[str]) -> str:
    """A text with two sentences that mislead and with these needles, each somewhere."""
    sentences = [filler(draw) for _ in range(SENTENCES)]
    places = draw.sample(range(SENTENCES), len(needles) + len(NEAR))
    for place, sentence in zip(places, (*needles, *NEAR), strict=True):
        sentences[place] = sentence
    return " ".join(sentences)


def write_binary(file: Path, *, documents: int, share: float, seed: int = 0) -> Path:
    """Documents with a needle of the first kind, or none."""
    draw = random.Random(seed)
    wordings = next(iter(NEEDLES.values()))
    records = []
    for number in range(documents):
        needle = draw.choice(wordings) if draw.random() < share else None
        text = document(draw, [needle] if needle else [])
        records.append({"id": f"d{number}", "text": text, "label": "yes" if needle else "no", "needle": needle})
    return _write(file, records)


def write_classes(file: Path, *, documents: int, seed: int = 0) -> Path:
    """Documents of as many classes as there are kinds of needle, and of one without."""
    draw = random.Random(seed)
    kinds: list[str | None] = [*NEEDLES, None]
    records = []
    for number in range(documents):
        kind = kinds[number % len(kinds)]
        needle = draw.choice(NEEDLES[kind]) if kind else None
        text = document(draw, [needle] if needle else [])
        label = f"kind {kinds.index(kind)}" if kind else "none"
        records.append({"id": f"d{number}", "text": text, "label": label, "needle": needle})
    return _write(file, records)


def write_pairs(file: Path, *, documents: int, share: float, seed: int = 0) -> Path:
    """Documents with needles of any kinds, each asked about every criterion."""
    draw = random.Random(seed)
    records = []
    for number in range(documents):
        there = {kind: draw.choice(wordings) for kind, wordings in NEEDLES.items() if draw.random() < share}
        text = document(draw, list(there.values()))
        for place, kind in enumerate(NEEDLES):
            asked = {"criterion": kind, "label": "yes" if kind in there else "no", "needle": there.get(kind)}
            records.append({"id": f"d{number}-{place}", "document": f"d{number}", "text": text, **asked})
    return _write(file, records)


def _write(file: Path, records: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def given_for(file: Path, name: str, *more: str) -> list[str]:
    """Overrides of a run, with the values of the presets that read documents by queries."""
    return [
        f"data.files={file}", "data.label=label", "data.template={text: '{{ text }}'}", "data.id=id",
        "data.keep=[needle]", "data.split={validation: 0.2, test: 0.3, stratified: true}",
        "objective={binary_focal: {weight: 1, gamma: 2}, query_diversity: 5.6}", "model=tfidf-svd",
        f"runs_dir={file.parent / 'runs'}", f"name={name}", "tracking.report_to=[]", "train.logging_steps=50", *more,
    ]  # fmt: skip


def trained(given: Sequence[str]) -> list[dict[str, Any]]:
    """What a run predicts of its test split."""
    run = lossmith.train("retrieval", list(given), quiet=True)
    rows: list[dict[str, Any]] = pq.read_table(lossmith.predict(run.path, split="test")).to_pylist()
    return rows


def auc(rows: Sequence[dict[str, Any]]) -> float:
    """Area under the ROC curve, of several classes that have needles their mean."""
    labels = sorted({row["label"] for row in rows} - {"none", "no"})
    return float(
        np.mean([roc_auc_score([r["label"] == n for r in rows], [r[f"score.{n}"] for r in rows]) for n in labels])
    )


def found_first(rows: Sequence[dict[str, Any]]) -> float:
    """How often the chunk that counts most holds the needle, among documents that are judged right."""
    hits = []
    for row in rows:
        if row["needle"] and row["label"] == row["predicted"]:
            first, place = row["evidence"][0], row["prompt"].index(row["needle"])
            hits.append(first["start"] <= place < first["end"])
    return float(np.mean(hits))
