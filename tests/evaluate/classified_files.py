"""Runs of a classification as files: predictions with scores, and prepared splits for baselines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.config.schema import Config
from lossmith.labels import Classes

TWO = Classes(("no", "yes"), positive="yes", counts={"train": (90, 10)}, examples={"train": 100})
THREE = Classes(("a", "b", "c"))
LABELS = Classes(("rude", "wrong"), multi_label=True)


def settings(**evaluate: Any) -> Config:
    evaluate.setdefault("metrics", ["f1", "roc_auc"])
    evaluate.setdefault("baselines", "none")
    task = {"kind": "classification", **evaluate.pop("task", {})}
    data = evaluate.pop("data", {})
    return Config.model_validate({"task": task, "data": data, "evaluate": evaluate})


def two_scores(gold: np.ndarray, *, seed: int = 0, spread: float = 0.25) -> np.ndarray:
    """Scores of yes that mostly agree with gold, on two decimals, so that some tie."""
    generator = np.random.default_rng(seed)
    return np.clip(np.where(gold == 1, 0.65, 0.35) + generator.normal(0, spread, len(gold)), 0.01, 0.99).round(2)


def write_run(
    folder: Path,
    classes: Classes,
    gold: Sequence[Any],
    scores: np.ndarray,
    *,
    said: Sequence[Any] | None = None,
    split: str = "test",
    **columns: Sequence[Any],
) -> Path:
    """`predictions/<split>.parquet` of class numbers (or rows of 0 and 1) and scores (records, classes).

    A record whose scores are nan and which is not in `said` has failed.
    """
    size = len(gold)
    if said is None:
        failed = np.isnan(scores).any(axis=1)
        if classes.multi_label:
            said = [
                None if broken else (row >= 0.5).astype(int).tolist()
                for row, broken in zip(scores, failed, strict=True)
            ]
        else:
            said = [None if broken else int(np.argmax(row)) for row, broken in zip(scores, failed, strict=True)]
    table: dict[str, Any] = {
        "id": [f"r{row}" for row in range(size)],
        **columns,
        "prompt": columns.get("prompt") or [f"text {row}" for row in range(size)],
    }
    if classes.multi_label:
        table["label"] = [_joined(row, classes) for row in gold]
        table["predicted"] = [None if row is None else _joined(row, classes) for row in said]
        for place, name in enumerate(classes.names):
            table[f"label.{name}"] = [int(row[place]) for row in gold]
            table[f"predicted.{name}"] = [None if row is None else int(row[place]) for row in said]
    else:
        table["label"] = [classes.names[one] for one in gold]
        table["predicted"] = [None if one is None else classes.names[one] for one in said]
    table["target"] = table["label"]
    table["prediction"] = table["predicted"]
    table["error"] = pa.array([None if one is not None else "no answer" for one in table["predicted"]], pa.string())
    for place, column in enumerate(classes.score_columns):
        table[column] = pa.array([None if np.isnan(one) else float(one) for one in scores[:, place]], pa.float64())
    facts = {"classes": classes.as_json(), "threshold": 0.5, "temperature": 1.0}
    path = folder / "predictions" / f"{split}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = pa.table(table).replace_schema_metadata({b"lossmith": json.dumps(facts).encode()})
    pq.write_table(made, path)
    return folder


def write_two(folder: Path, gold: np.ndarray, score: np.ndarray, **more: Any) -> Path:
    """The same of two classes, from the scores of yes."""
    said = [None if np.isnan(one) else int(one >= 0.5) for one in score]
    return write_run(folder, TWO, gold.tolist(), np.stack([1 - score, score], axis=1), said=said, **more)


def write_prepared(folder: Path, split: str, texts: Sequence[str], labels: Sequence[Any], **columns: Any) -> Path:
    """A prepared split: what baselines read of it; `pair` is the second text of each record, the others are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {name if name == "pair" else f"keep.{name}": values for name, values in columns.items()}
    ids = [f"r{row}" for row in range(len(texts))]
    table = {"id": ids, "prompt": list(texts), "label": list(labels), **own}
    pq.write_table(pa.table(table), folder / f"{split}.parquet")
    return folder


def _joined(row: Sequence[int], classes: Classes) -> str:
    return ", ".join(name for name, there in zip(classes.names, row, strict=True) if there)
