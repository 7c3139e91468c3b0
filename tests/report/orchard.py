"""Run folders of classifications as the stages write them: crates of fruit, some of them spoiled, with known scores."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.config.load import as_yaml, load_config
from lossmith.evaluate.run import evaluate_run
from lossmith.labels import Classes
from lossmith.runs import RunFolder, write_json, write_text

from .kitchen import audit, history, manifest

FRUITS = ("apples", "pears", "plums", "cherries")
BINARY = Classes(("sound", "spoiled"), positive="spoiled", counts={"train": (900, 100)}, examples={"train": 1000})
GRADES = Classes(("fancy", "good", "juice"), counts={"train": (200, 700, 100)}, examples={"train": 1000})
FAULTS = Classes(
    ("bruised", "wormy", "unripe"), multi_label=True, counts={"train": (150, 60, 220)}, examples={"train": 1000}
)


def crates(records: int, *, skill: float, seed: int = 0, failed: Sequence[int] = (), odd: int = 3) -> pa.Table:
    """Spoiled or sound, one in eight spoiled; the rarest fruit is in `odd` crates alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(records):
        spoiled = random.Random(number).random() < 0.14 or number % 40 == 0
        fruit = "quinces" if number < odd else FRUITS[number % len(FRUITS)]
        harder = 0.8 if fruit == "plums" else 0.0
        logit = skill * (1.6 if spoiled else -2.6) + harder + rng.normal()
        score = float(1 / (1 + np.exp(-logit)))
        rows.append(_row(number, fruit, bad=number in failed) | {"label": BINARY.names[spoiled]})
        rows[-1] |= _decided(BINARY, [1 - score, score], threshold=0.4, bad=number in failed)
    return _table(rows, BINARY, 0.4)


def graded(records: int, *, skill: float, seed: int = 0, failed: Sequence[int] = ()) -> pa.Table:
    """Three classes that exclude each other."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(records):
        place = random.Random(number).choices(range(3), weights=[2, 7, 1])[0]
        logits = rng.normal(size=3)
        logits[place] += skill
        scores = np.exp(logits) / np.exp(logits).sum()
        bad = number in failed
        rows.append(_row(number, FRUITS[number % 4], bad=bad) | {"label": GRADES.names[place]})
        rows[-1] |= _decided(GRADES, scores.tolist(), threshold=None, bad=bad)
    return _table(rows, GRADES, None)


def faulty(records: int, *, skill: float, seed: int = 0) -> pa.Table:
    """Three labels that do not exclude each other."""
    rng = np.random.default_rng(seed)
    threshold = {"bruised": 0.5, "wormy": 0.3, "unripe": 0.5}
    rows = []
    for number in range(records):
        luck = random.Random(number)
        truth = [luck.random() < share for share in (0.15, 0.06, 0.22)]
        scores = [float(1 / (1 + np.exp(-(skill * (1.5 if one else -2) + rng.normal())))) for one in truth]
        said = [score >= threshold[name] for name, score in zip(FAULTS.names, scores, strict=True)]
        row = _row(number, FRUITS[number % 4], bad=False)
        for side, flags in (("label", truth), ("predicted", said)):
            row[side] = ", ".join(name for name, flag in zip(FAULTS.names, flags, strict=True) if flag)
            row |= {f"{side}.{name}": int(flag) for name, flag in zip(FAULTS.names, flags, strict=True)}
        row |= {f"score.{name}": score for name, score in zip(FAULTS.names, scores, strict=True)}
        rows.append(row | {"target": row["label"], "prediction": row["predicted"]})
    return _table(rows, FAULTS, threshold)


def write_classified(folder: Path, table: pa.Table, *, metrics: Sequence[str], **evaluate: Any) -> Path:
    """A finished run around the predictions `table`, scored by the metrics themselves."""
    run = RunFolder(folder)
    classes = json.loads(table.schema.metadata[b"lossmith"])["classes"]
    config = load_config(
        {
            "name": folder.name,
            "task": {"kind": "classification"},
            "model": {"base": "scratch-tiny"},
            "data": {"files": "crates.jsonl", "label": "state", "group": "fruit", "template": {"text": "{{ text }}"}},
            "objective": {"class_focal": {"weight": 1.0, "class_weight": "balanced"}},
            "evaluate": {"metrics": list(metrics), "calibration": "temperature", **evaluate},
            "train": {"num_train_epochs": 2, "learning_rate": 1e-3},
        }
    )
    write_text(run.config, as_yaml(config))
    write_json(run.audit, audit())
    history(run.history, {"class_focal": 1.0}, lines=40, start=0.6, seed=1)
    run.predictions("test").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, run.predictions("test"))
    facts = manifest({"class_focal": {"weight": 1.0, "class_weight": [0.56, 5.0]}}, folder, 0)
    facts["objective"][0]["counted"] = [
        {"parameter": "class_weight", "rule": "balanced", "weights": dict.fromkeys(classes["names"], 5.0)}
    ]
    chosen = {"recall": {"aim": "recall: >= 0.9", "reached": False, "reason": "validation has no positive record"}}
    facts["decision"] = {"aim": chosen, "fitted_on": {"split": "validation", "records": 120}}
    write_json(run.manifest_file, facts)
    evaluate_run(run, config, prepared=_prepared(folder.parent / "prepared", table))
    return folder


def _prepared(folder: Path, table: pa.Table) -> Path:
    """Rows that baselines learn from: every third record."""
    folder.mkdir(exist_ok=True)
    multi = [name for name in table.column_names if name.startswith("label.")]
    label = pa.array(list(zip(*(table[name].to_pylist() for name in multi), strict=True))) if multi else table["label"]
    rows = table.select(["prompt"]).append_column("label", label).take(list(range(0, len(table), 3)))
    pq.write_table(rows, folder / "train.parquet")
    return folder


def _row(number: int, fruit: str, *, bad: bool) -> dict[str, Any]:
    text = f"Crate {number} of {fruit} from the slope behind the mill, picked on day {number % 30}."
    return {
        "id": f"crates.jsonl:{number + 1}",
        "group": fruit,
        "prompt": text,
        "error": "the answer is no JSON object" if bad else None,
    }


def _decided(classes: Classes, scores: Sequence[float], *, threshold: float | None, bad: bool) -> dict[str, Any]:
    positive = threshold is not None and scores[1] >= threshold
    said = classes.names[int(positive) if threshold is not None else int(np.argmax(scores))]
    return {
        "target": None,
        "prediction": None if bad else said,
        "predicted": None if bad else said,
        **{f"score.{name}": None if bad else score for name, score in zip(classes.names, scores, strict=True)},
    }


def _table(rows: list[dict[str, Any]], classes: Classes, threshold: Any) -> pa.Table:
    for row in rows:
        row["target"] = row["label"]
    facts = {"classes": classes.as_json(), "threshold": threshold, "temperature": 1.3}
    return pa.Table.from_pylist(rows).replace_schema_metadata({b"lossmith": json.dumps(facts).encode()})
