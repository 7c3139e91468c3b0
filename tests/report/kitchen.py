"""Run folders as the stages write them, with kitchen recipes whose mistakes are known."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.config.load import as_yaml, load_config
from lossmith.evaluate.run import evaluate_run
from lossmith.runs import RunFolder, append_jsonl, write_json, write_text

DISHES: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "Pea soup": (["500 g peas", "1 onion", "1 l water", "salt"], ["Chop the onion.", "Boil all for 40 minutes."]),
    "Pancakes": (["200 g flour", "3 eggs", "400 ml milk", "1 pinch salt"], ["Whisk.", "Fry in a hot pan."]),
    "Tomato sauce": (
        ["800 g tomatoes", "2 cloves garlic", "3 tbsp olive oil"],
        ["Fry the garlic.", "Simmer 30 minutes."],
    ),
    "Rice pudding": (["150 g rice", "1 l milk", "50 g sugar", "1 tsp cinnamon"], ["Simmer for 35 minutes.", "Cool."]),
    # Hard spaces and long words must not widen the page.
    "Shrimp stew": (
        [
            "2\u00a0lbs\u00a0(32\u00a0oz)\u00a0very\u00a0finely\u00a0chopped\u00a0and\u00a0twice\u00a0washed\u00a0shrimp",
            "1 " + "pepper" * 20,
        ],
        ["Stew for 20 minutes. " + "See-the-book-of-my-grandmother." * 5],
    ),
    "Crème brûlée": (["4 egg yolks", "80 g sugar", "½ l cream"], ["Bake at 120 °C for 1 hour.", "Burn the sugar."]),
}
STRANGE = ["1 kg marzipan", "2 star anise", "100 ml rum", "7 bay leaves"]
TEMPLATE = {
    "prompt": "Write the recipe for: {{ title }}\n",
    "answer": '{"ingredients": [{% for line in ingredients %}'
    '{% span "ingredients" %}"{{ line | json_text }}"{% endspan %}'
    '{{ ", " if not loop.last }}{% endfor %}], "instructions": {{ directions | tojson }}}',
}


def recipe(ingredients: Sequence[str], instructions: Sequence[str]) -> str:
    return json.dumps({"ingredients": list(ingredients), "instructions": list(instructions)}, ensure_ascii=False)


def spoiled(ingredients: Sequence[str], rng: random.Random, skill: float) -> list[str]:
    """Lines left out, with another quantity, or strange, the rarer the higher the skill."""
    lines = []
    for line in ingredients:
        luck = rng.random()
        if luck < skill:
            lines.append(line)
        elif luck < skill + 0.4 * (1 - skill):
            lines.append(" ".join(["9", *line.split()[1:]]) if line[0].isdigit() else line)
        elif luck < skill + 0.6 * (1 - skill):
            lines.append(rng.choice(STRANGE))
    return lines


def predictions(records: int, *, skill: float, seed: int, failed: Sequence[int] = ()) -> pa.Table:
    """One row a record; the ids and targets depend on the number of records alone."""
    rng = random.Random(seed)
    titles = list(DISHES)
    rows: list[dict[str, Any]] = []
    for number in range(records):
        title = titles[number % len(titles)]
        ingredients, steps = DISHES[title]
        bad = number in failed
        rows.append(
            {
                "id": f"kitchen.jsonl:{number + 1}",
                "prompt": f"Write the recipe for: {title}\n",
                "target": recipe(ingredients, steps),
                "prediction": None if bad else recipe(spoiled(ingredients, rng, skill), steps),
                "error": "no end of turn within 256 tokens" if bad else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in rows[0]]))


def history(path: Path, terms: Mapping[str, float], *, lines: int, start: float, seed: int) -> None:
    rng = random.Random(seed)
    every = 10
    written = []
    for index in range(lines):
        step = max(1, index * every)
        fall = math.exp(-3 * index / lines)
        values = {name: 0.3 + (start - 0.5 * place) * fall + rng.gauss(0, 0.05) for place, name in enumerate(terms)}
        measured = index % 5 == 0
        parts = {
            name: {"value": values[name], "weight": weight, "share": weight * (0.6 + 0.4 * fall) if measured else None}
            for name, weight in terms.items()
        }
        row: dict[str, Any] = {"step": step, "loss": sum(terms[name] * values[name] for name in terms), "terms": parts}
        row |= {
            "learning_rate": 2e-4 * (1 - index / lines),
            "grad_norm": 0.5 + 2 * fall,
            "tokens": 512 * step,
            "seconds": step / 4,
        }
        written.append(row)
        if index % max(1, lines // 6) == max(1, lines // 6) - 1:
            evaluated = {f"eval_{name}": values[name] + 0.1 for name in terms}
            written.append({"step": step, "eval_loss": row["loss"] + 0.1, **evaluated, "seconds": step / 4})
    if lines > 1000:
        write_text(path, "".join(json.dumps(row) + "\n" for row in written))
        return
    for row in written:
        append_jsonl(path, row)


def split_audit(records: int) -> dict[str, Any]:
    return {
        "records": records,
        "repeated": 0,
        "tokens": records * 180,
        "supervised_tokens": records * 120,
        "supervised_share": 2 / 3,
        "length": {"p50": 176, "p90": 240, "p99": 301, "max": 388},
        "truncation": {"dropped": 2} if records > 100 else {},
        "clusters": 0,
        "duplicates": records // 60,
        "straddled_tokens": 4 * records,
        "end_supervised": records,
        "spans": {"ingredients": {"records": records, "items": 4 * records, "tokens": 40 * records}},
    }


def audit() -> dict[str, Any]:
    pairs = ("train/validation", "train/test", "validation/test")
    return {
        "schema": 1,
        "read": 303,
        "rejected": {"total": 3, "share": 3 / 303, "reasons": {"empty target": 2, "bad JSON": 1}},
        "left_out": {"limit": 0, "weight": 0},
        "max_length": 512,
        "truncation": "drop",
        "splits": {"train": split_audit(240), "validation": split_audit(30), "test": split_audit(30)},
        "overlap": {pair: {"texts": 1 if pair == "train/test" else 0, "prompts": 2, "clusters": 0} for pair in pairs},
        "warnings": ["1 of 30 test records have a text that train holds too"],
    }


def write_run(
    folder: Path,
    *,
    objective: Mapping[str, Any],
    skill: float,
    records: int = 30,
    lines: int = 60,
    failed: Sequence[int] = (),
    require: Sequence[str] = (),
    metrics: Sequence[str] = ("ingredient_f1", "quantity_accuracy", "rougeL", "edit_distance"),
    seed: int = 0,
) -> Path:
    """Write a finished run, scored by the metrics themselves."""
    run = RunFolder(folder)
    config = load_config(
        {
            "name": folder.name,
            "seed": seed,
            "model": {"base": "scratch-tiny"},
            "data": {"files": "kitchen.jsonl", "template": TEMPLATE, "max_length": 512},
            "objective": dict(objective),
            "evaluate": {"metrics": list(metrics), "require": list(require)},
            "train": {"num_train_epochs": 2, "learning_rate": 1e-3},
        }
    )
    weights = {name: body["weight"] if isinstance(body, Mapping) else body for name, body in objective.items()}
    write_text(run.config, as_yaml(config))
    write_json(run.audit, audit())
    for place in range(3):
        row = {"file": "kitchen.jsonl", "line": 40 + place, "reason": "empty target", "detail": "directions is []"}
        append_jsonl(run.rejected, row)
    if lines:
        history(run.history, weights, lines=lines, start=4.0, seed=seed)
    table = predictions(records, skill=skill, seed=seed, failed=failed)
    run.predictions("test").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, run.predictions("test"))
    train = folder.parent / "prepared"
    train.mkdir(exist_ok=True)
    pq.write_table(predictions(15, skill=0.5, seed=99).select(["prompt", "target"]), train / "train.parquet")
    write_json(run.manifest_file, manifest(objective, folder, seed))
    evaluate_run(run, config, prepared=train)
    return folder


def manifest(objective: Mapping[str, Any], folder: Path, seed: int) -> dict[str, Any]:
    bodies = {name: body if isinstance(body, Mapping) else {"weight": body} for name, body in objective.items()}
    terms = [
        {
            "name": name,
            "weight": body["weight"],
            "span": [body.get("span", "answer")],
            "kind": "set" if name == "sinkhorn" else "separable",
            "unit": "token",
            "parameters": {key: value for key, value in body.items() if key not in ("weight", "span")},
        }
        for name, body in bodies.items()
    ]
    return {
        "schema": 1,
        "lossmith": "0.1.0",
        "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0"},
        "device": "cpu",
        "dtype": "float32",
        "seed": seed,
        "command": [
            "/somewhere/bin/lossmith",
            "run",
            "recipes/sinkhorn",
            "data.files=kitchen.jsonl",
            "model=scratch-tiny",
        ],
        "git": {"commit": "0123456789abcdef", "changed": False},
        "config_hash": "c0ffee0123456789",
        "data": {
            "fingerprint": "feedface01234567",
            "folder": "cache/feedface01234567",
            "files": [{"path": "kitchen.jsonl", "sha256": "ab" * 32, "bytes": 48_123}],
            "counts": {"train": 240, "validation": 30, "test": 30},
        },
        "template_hash": "deadbeef",
        "objective": terms,
        "set_terms": [term["name"] for term in terms if term["kind"] == "set"],
        "stages": {
            "prepare": {"seconds": 1.3, "peak_memory_bytes": 210_000_000},
            "train": {"seconds": 95.2, "peak_memory_bytes": 812_000_000},
            "predict.test": {"seconds": 31.0, "peak_memory_bytes": 640_000_000},
        },
        "best": {"step": 500, "value": 0.512},
        "warnings": ["1 of 30 test records have a text that train holds too"],
    }


PLAIN = {"cross_entropy": 1.0}
TRANSPORT = {"cross_entropy": 0.6, "sinkhorn": {"weight": 0.4, "span": "ingredients", "blur": 0.1}}
