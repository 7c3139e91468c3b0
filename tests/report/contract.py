"""Explained records and runs as `lossmith explain` writes them: the terms of a service that lends bicycles."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lossmith.config.load import as_yaml, load_config
from lossmith.evaluate.run import evaluate_run
from lossmith.labels import Classes
from lossmith.runs import RunFolder, write_json, write_text

from .kitchen import history, manifest

SENTENCES = (
    "These terms are between you and Spokes & Co., which lends bicycles in the city.",
    "You may use the service if you are sixteen or older and hold an account in your own name.",
    "An account is opened with an address, a telephone number and a means of payment.",
    "Please keep your password to yourself and tell us when you think that somebody else knows it.",
    "A ride begins when the lock opens and ends when it is closed at a station.",
    "Rides of less than half an hour cost one coin; every further half hour costs two.",
    "We may suspend or close your account at any time, for any reason or none, without notice.",
    "Money that stands on a closed account is paid back within thirty days.",
    "Bicycles are looked after every week, and you should try the brakes before you ride.",
    "If something on a bicycle is broken, leave it at the station and write to us.",
    "To the extent that the law allows, we are not liable for any loss or injury, even where we were told of it.",
    "Nothing in these terms takes away rights that consumers have and cannot give up.",
    "We may change these terms whenever we like, and your next ride means that you agree to the new ones.",
    "The newest version always hangs at every station and stands on our page.",
    "Photographs that you send us stay yours, and we may show them at the stations.",
    "We write to you about rides and repairs, never to sell you anything.",
    "Helmets are lent free of charge at the larger stations, as long as there are any.",
    "Children may ride along in the cargo bicycles when they sit in the box.",
    "Any dispute goes to an arbitrator whom we choose, and you give up your day in court.",
    "These terms follow the law of the country in which the station stands.",
    "If one sentence of these terms cannot be held, the others stay as they are.",
    "You can close your account yourself, on the page or at any station.",
    "We keep the times and places of your rides for a year and then forget them.",
    "Questions are answered by people, on weekdays from eight to six.",
)
CRITERION = "The provider may end the contract or change it alone, without notice or without a reason."
# sentence of the first of three: importance; the chunks overlap by one sentence
DECISIVE = {6: 1.62, 12: 0.94, 10: 0.35, 18: 0.21, 20: -0.28, 4: 0.06, 14: 0.02, 0: -0.05}


def cut(sentences: list[str], size: int = 3, overlap: int = 1) -> tuple[str, list[dict[str, int]]]:
    """The document, a sentence a line, and its chunks."""
    starts, text = [], ""
    for sentence in sentences:
        starts.append(len(text))
        text += sentence + "\n"
    chunks = []
    for first in range(0, len(sentences), size - overlap):
        last = min(first + size, len(sentences)) - 1
        chunks.append({"start": starts[first], "end": starts[last] + len(sentences[last])})
        if last == len(sentences) - 1:
            break
    return text, chunks


def explained(copies: int = 1, *, queries: int = 8, k: int = 12, hostile: str = "") -> dict[str, Any]:
    """A record whose third query finds what decides; of more `copies` the decisive sentences stand in the middle one."""
    filler = list(SENTENCES[13:18] + SENTENCES[7:10]) * 3
    before, after = filler * (copies // 2), filler * ((copies - 1) // 2)
    text, chunks = cut([*before, *SENTENCES[:5], *([hostile] if hostile else []), *SENTENCES[5:], *after])
    rng = random.Random(7)
    importance = {
        number: DECISIVE.get(2 * number - len(before) - bool(hostile), 0.001 * rng.random())
        for number in range(len(chunks))
    }
    found = []
    for query in range(queries):
        order = sorted(importance, key=lambda number: -abs(importance[number]) - 0.3 * rng.random())[:k]
        shares = [2.0 ** -(place + rng.random()) for place in range(len(order))]
        read = [
            _of(text, chunks, number) | {"weight": share / sum(shares), "cosine": 0.8 - 0.04 * place - 0.02 * query}
            for place, (number, share) in enumerate(zip(order, shares, strict=True))
        ]
        found.append({"query": query, "chunks": read})
    evidence = []
    for number in sorted(
        {one["chunk"] for query in found for one in query["chunks"]}, key=lambda one: -importance[one]
    ):
        readers = [q for q in found if any(one["chunk"] == number for one in q["chunks"])]
        weight = sum(one["weight"] for q in readers for one in q["chunks"] if one["chunk"] == number) / max(1, queries)
        evidence.append(
            _of(text, chunks, number)
            | {"weight": weight, "importance": importance[number], "queries": [q["query"] for q in readers]}
        )
    return {
        "schema": 1,
        "id": "Spokes:0#ter",
        "split": "test",
        "label": "1",
        "predicted": "1",
        "scores": {"0": 0.134, "1": 0.866},
        "criterion": CRITERION,
        "about": ["1"],
        "document": {"text": text, "chunks": chunks},
        "queries": found,
        "evidence": evidence,
    }


def _of(text: str, chunks: list[dict[str, int]], number: int) -> dict[str, Any]:
    span = chunks[number]
    return {"chunk": number, **span, "text": text[span["start"] : span["end"]]}


def evidence_of_run(
    *, queries: int = 8, gain: float = 0.2, alike: tuple[int, int] | None = None, spread: float = 0.05
) -> dict[str, Any]:
    """evidence.json: evidence whose deletion costs `gain` more than that of random chunks; `alike` queries are one."""
    rng = random.Random(3)
    cosines = [[1.0] * queries for _ in range(queries)]
    shared = [[1.0] * queries for _ in range(queries)]
    for one in range(queries):
        for other in range(one):
            same = alike == (other, one)
            cosines[one][other] = cosines[other][one] = 0.97 if same else round(rng.uniform(-0.1, 0.4), 4)
            shared[one][other] = shared[other][one] = 0.9 if same else round(rng.uniform(0.05, 0.5), 4)
    sizes = [1, 2, 3, 5, 8]
    words = ("suspend", "notice", "terminate", "reason", "whenever", "liable", "arbitrator", "station", "photographs")
    text, chunks = cut(list(SENTENCES))
    held = [
        {
            "query": query,
            "nearest": [
                {"id": f"Spokes:{place}", "cosine": 0.8 - 0.05 * place}
                | _of(text, chunks, (query + place) % len(chunks))
                for place in range(5)
            ],
            "terms": [{"term": words[(query + place) % len(words)], "score": 9.5 - 1.2 * place} for place in range(5)],
            "usage": {"0": (query + 1) / sum(range(queries + 1)), "1": 1 / queries},
        }
        for query in range(queries)
    ]
    return {
        "schema": 1,
        "split": "test",
        "n": 240,
        "about": "1",
        "queries": held,
        "similarity": cosines,
        "overlap": shared,
        "faithfulness": {
            "chunks": sizes,
            "n": 231,
            "draws": 8,
            "deletion": {
                "evidence": [_point(0.09 * place**0.5 + gain, spread) for place in range(5)],
                "random": [_point(0.09 * place**0.5, spread) for place in range(5)],
            },
            "sufficiency": {
                "evidence": [_point(0.4 - 0.09 * place - gain, spread) for place in range(5)],
                "random": [_point(0.4 - 0.05 * place, spread) for place in range(5)],
            },
            "summary": {"deletion": _point(gain, spread), "sufficiency": _point(-gain, spread)},
        },
    }


def _point(value: float, spread: float) -> dict[str, Any]:
    return {"value": value, "low": value - spread, "high": value + spread, "n": 231}


CLASSES = Classes(("0", "1"), positive="1", counts={"train": (500, 60)}, examples={"train": 560})
CRITERIA = ("ends", "changes", "liability")


def judged(records: int, *, skill: float, seed: int = 0) -> pa.Table:
    """Predictions of the retrieval task: excerpts of the terms under three criteria, each with its evidence."""
    rng = random.Random(seed)
    rows = []
    for number in range(records):
        first = number % (len(SENTENCES) - 9)
        text, chunks = cut(list(SENTENCES[first : first + 9]))
        positive = random.Random(f"label {number}").random() < 0.2
        score = 1 / (1 + math.exp(-(skill * (2.0 if positive else -2.0) + rng.gauss(0, 1))))
        said = CLASSES.names[score >= 0.5]
        importance = sorted((rng.gauss(0.3, 0.4) for _ in chunks), reverse=True)
        rows.append(
            {
                "id": f"Spokes:{number // 3}#{CRITERIA[number % 3]}",
                "cluster": f"Spokes:{number // 3}",
                "criterion": CRITERIA[number % 3],
                "prompt": text,
                "target": CLASSES.names[positive],
                "prediction": said,
                "label": CLASSES.names[positive],
                "predicted": said,
                "score.0": 1 - score,
                "score.1": score,
                "evidence": [
                    {"chunk": place, **chunks[place], "weight": 1 / (place + 2), "importance": value}
                    for place, value in enumerate(importance[:5])
                ],
                "error": None,
            }
        )
    facts = {"classes": CLASSES.as_json(), "threshold": 0.5, "temperature": None}
    return pa.Table.from_pylist(rows).replace_schema_metadata({b"lossmith": json.dumps(facts).encode()})


def write_judged(folder: Path, table: pa.Table, evidence: dict[str, Any] | None, **evaluate: Any) -> Path:
    """A finished run around the predictions `table` with its evidence.json, scored by the metrics themselves."""
    run = RunFolder(folder)
    config = load_config(
        {
            "name": folder.name,
            "task": {"kind": "retrieval"},
            "model": {"base": "scratch-tiny"},
            "data": {
                "files": "terms.jsonl",
                "label": "flag",
                "template": {"text": "{{ text }}", "pair": "{{ criterion }}"},
            },
            "objective": {"binary_focal": {"weight": 1.0, "gamma": 2}, "query_diversity": 5.6},
            "evaluate": {"metrics": ["f1", "roc_auc"], "baselines": ["majority_class"], **evaluate},
            "train": {"num_train_epochs": 2, "learning_rate": 1e-3},
        }
    )
    write_text(run.config, as_yaml(config))
    history(run.history, {"binary_focal": 1.0, "query_diversity": 5.6}, lines=40, start=0.6, seed=1)
    run.predictions("test").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, run.predictions("test"))
    write_json(run.manifest_file, manifest({"binary_focal": 1.0, "query_diversity": 5.6}, folder, 0))
    if evidence is not None:
        write_json(run.evidence(), evidence)
    prepared = folder.parent / "prepared"
    prepared.mkdir(exist_ok=True)
    rows = table.select(["prompt", "label", "criterion"]).rename_columns(["prompt", "label", "keep.criterion"])
    pq.write_table(rows.take(list(range(0, len(table), 3))), prepared / "train.parquet")
    evaluate_run(run, config, prepared=prepared)
    return folder
