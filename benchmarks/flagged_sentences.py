"""How often the first chunk of evidence holds a sentence that people marked, against a random chunk of the document.

python benchmarks/flagged_sentences.py RUN SENTENCES.jsonl [--json FILE]

RUN: a run of the preset terms/iris on SENTENCES, one row a sentence with the 0/1 columns of data.pairs.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from lossmith.config.data import AssembleConfig
from lossmith.config.load import load_run_config
from lossmith.metrics.evidence import curve
from lossmith.runs import open_run
from measuring import write_json

Interval = tuple[int, int]


def windows_of(sentences: Path, assemble: AssembleConfig) -> dict[str, list[dict[str, Any]]]:
    """The rows of each document, by its id."""
    rows = defaultdict(list)
    for line in sentences.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row[assemble.by]].append(row)
    found = {}
    for name, own in rows.items():
        own.sort(key=lambda row: row[assemble.order])
        size = assemble.window or len(own)
        found |= {f"{name}:{at // size + 1}": own[at : at + size] for at in range(0, len(own), size)}
    return found


def marked(text: str, rows: Sequence[Mapping[str, Any]], criterion: str) -> list[Interval]:
    """The characters of the lines whose row has the flag."""
    lines = text.split("\n")
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
    return [
        (int(start), int(start) + len(line))
        for start, line, row in zip(starts, lines, rows, strict=False)
        if row[criterion]
    ]


def holds(chunk: Interval, sentences: Sequence[Interval]) -> bool:
    return any(chunk[0] <= start and end <= chunk[1] for start, end in sentences)


def measure(run: Path, sentences: Path) -> dict[str, Any]:
    """Shares over the test records whose label is the positive one, with intervals over clusters."""
    folder = open_run(run)
    config = load_run_config(folder.config)
    assert config.data.assemble is not None and config.data.pairs, "a run of pairs on assembled documents"
    windows = windows_of(sentences, config.data.assemble)
    rows = pq.read_table(
        Path(folder.manifest()["data"]["folder"]) / "test.parquet", columns=["id", "chunks"]
    ).to_pylist()
    chunks = {row["id"]: [(one["start"], one["end"]) for one in row["chunks"]] for row in rows}
    found, clusters, by_criterion = [], [], defaultdict(list)
    for row in pq.read_table(folder.predictions("test")).to_pylist():
        if row["label"] != "1" or not row["evidence"]:
            continue
        document = row["id"].removesuffix(f"#{row['criterion']}")
        sentences_there = marked(row["prompt"], windows[document], row["criterion"])
        evidence = [holds((one["start"], one["end"]), sentences_there) for one in row["evidence"]]
        chance = np.mean([holds(one, sentences_there) for one in chunks[row["id"]]])
        several = 1 - (1 - chance) ** len(evidence)
        found.append([evidence[0], chance, evidence[0] - chance, any(evidence), several, any(evidence) - several])
        clusters.append(row.get("cluster"))
        by_criterion[row["criterion"]].append(evidence[0])
    names = ("first", "random", "difference", "any", "any of random", "difference of any")
    figures = dict(zip(names, curve(np.array(found, dtype=float), clusters), strict=True))
    each = {name: {"value": float(np.mean(own)), "n": len(own)} for name, own in by_criterion.items()}
    return {"records": len(found), **figures, "first by criterion": each}


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.run, given.sentences)
    for name, one in found.items():
        told = (
            one
            if not isinstance(one, dict) or "low" not in one
            else f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
        )
        print(f"{name}: {told}")
    write_json(given.json, found)


if __name__ == "__main__":
    main()
