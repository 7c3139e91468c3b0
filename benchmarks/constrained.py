"""Decoding constrained by a JSON schema beside free decoding: time per token, and whether every answer keeps to it.

    python benchmarks/constrained.py [--width 512 --layers 6 --vocab 16000 --prompts 4 --tokens 96] [--json FILE]

A Qwen3 of random weights in fp32 with a byte-level tokenizer trained here on made-up recipes. All sides answer
the same prompts in one batch, and take turns in one process: free decoding, llguidance, and
outlines where it is installed (pip install outlines), both through lossmith's own processor. Reading the schema is told
apart, since it is done once for a run. What is written by sampling is then read: with enough tokens every answer has to
keep to the schema.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from lossmith.answer_schema import parse_answer
from lossmith.errors import InputError
from lossmith.generate.constrained import KeepsToSchema
from lossmith.generate.decode import generate
from lossmith.generate.vocabulary import vocabulary_of
from lossmith.models.tokenizer import train_tokenizer
from measuring import add_numbers, interleaved, machine_facts, summary, table, write_json

TARGET_RATIO = 1.15
LINE = {"type": "string", "minLength": 20, "maxLength": 40}
LINES = {"type": "array", "items": LINE, "minItems": 3, "maxItems": 5}
SCHEMA = {
    "type": "object",
    "properties": {
        "course": {"enum": ["starter", "main", "dessert"]},
        "ingredients": LINES,
        "instructions": LINES,
        "minutes": {"type": "integer", "minimum": 1, "maximum": 999},
    },
    "required": ["course", "ingredients", "instructions", "minutes"],
    "additionalProperties": False,
}
FREE, LLGUIDANCE, OUTLINES = "free", "llguidance", "outlines"


class ByOutlines:
    """The same restriction by outlines' index of a regular expression."""

    def __init__(self, schema: Mapping[str, Any], tokenizer: Any) -> None:
        from outlines_core import Index, Vocabulary
        from outlines_core.json_schema import build_regex_from_schema

        held = vocabulary_of(tokenizer)
        self._size = len(held)
        by_bytes: dict[bytes, list[int]] = {}
        for token, own in enumerate(held.tokens):
            if own and token not in held.special:
                by_bytes.setdefault(own, []).append(token)
        # One blank after commas and colons, as lossmith writes JSON.
        expression = build_regex_from_schema(json.dumps(schema), "[ ]?")
        self._index = Index(expression, Vocabulary(tokenizer.eos_token_id, by_bytes))
        self._masks: dict[int, np.ndarray] = {}

    def start(self) -> int:
        return int(self._index.get_initial_state())

    def after(self, state: int, token: int) -> int:
        return int(self._index.get_next_state(state, token))

    def open(self, state: int, *, last: bool) -> np.ndarray:
        known = self._masks.get(state)
        if known is None:
            known = self._masks[state] = np.zeros(self._size, dtype=bool)
            known[list(self._index.get_allowed_tokens(state) or ())] = True
        return known

    def may_end(self, state: int) -> bool:
        return bool(self._index.is_final_state(state))


def build(flags: argparse.Namespace) -> tuple[Any, Any]:
    draw = random.Random(0)
    syllables = [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "ol")]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(3 * flags.vocab)]
    texts = [
        json.dumps({"ingredients": draw.choices(words, k=30), "minutes": draw.randint(1, 90)}) for _ in range(3000)
    ]
    tokenizer = train_tokenizer(texts, vocab_size=flags.vocab, chat_template="{{ messages }}")
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=flags.width, intermediate_size=3 * flags.width, head_dim=64,
        num_hidden_layers=flags.layers, num_attention_heads=flags.width // 64, num_key_value_heads=flags.width // 64,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    return Qwen3ForCausalLM._from_config(config, dtype=torch.float32).eval(), tokenizer


def decode(model: Any, tokenizer: Any, prompts: list[list[int]], restrictions: list[Any], **settings: Any) -> list[Any]:
    made = generate(
        model,
        prompts,
        settings=settings,
        eos_token_ids=[tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
        batch_size=len(prompts),
        restrictions=restrictions,
    )
    return list(made)


def valid(model: Any, tokenizer: Any, prompts: list[list[int]], restriction: Any) -> float:
    """The share of sampled answers that keep to the schema, of 4 x prompts with enough tokens."""
    kept = 0
    for number in range(4):
        moved = [[*prompt, 20 + number] for prompt in prompts]
        made = decode(model, tokenizer, moved, [restriction], max_new_tokens=700, do_sample=True, top_k=0)
        for one in made:
            try:
                parse_answer(tokenizer.decode(one.ids, skip_special_tokens=True), SCHEMA)
                kept += 1
            except InputError:
                pass
    return kept / (4 * len(prompts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [("width", 512, "hidden size"), ("layers", 6, "layers"), ("vocab", 16000, "tokens of the vocabulary")]
    add_numbers(parser, [*sizes, ("prompts", 4, "answers of the batch"), ("tokens", 96, "of each answer")])
    add_numbers(parser, [("threads", 2, "torch's threads"), ("repeat", 5, "timed rounds")])
    parser.add_argument("--json", type=Path, help="file for everything measured")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    model, tokenizer = build(flags)
    prompts = [list(range(30 + 10 * number, 62 + 10 * number)) for number in range(flags.prompts)]
    sides: dict[str, list[Any]] = {FREE: []}
    reading: dict[str, float] = {}
    for name, make in ((LLGUIDANCE, KeepsToSchema), (OUTLINES, ByOutlines)):
        begun = time.perf_counter()
        try:
            sides[name] = [make(SCHEMA, tokenizer)]
        except ImportError as error:
            print(f"{name} is left out: {error}")
            continue
        reading[name] = time.perf_counter() - begun

    def side(restrictions: list[Any]) -> Callable[[], list[Any]]:
        return lambda: decode(model, tokenizer, prompts, restrictions, max_new_tokens=flags.tokens)

    methods = {name: side(restrictions) for name, restrictions in sides.items()}
    # A batch is decoded until its last answer ends.
    steps = {name: max(len(one.ids) + one.finished for one in method()) for name, method in methods.items()}
    times = {
        name: {key: seconds / steps[name] for key, seconds in summary(found).items()}
        for name, found in interleaved(methods, repeat=flags.repeat).items()
    }
    rows: list[dict[str, Any]] = []
    for name, found in times.items():
        rows.append(
            {
                "decoding": name,
                "steps": steps[name],
                "ms a step": 1000 * found["median_s"],
                "x free": found["median_s"] / times[FREE]["median_s"],
                "x free, fastest": found["min_s"] / times[FREE]["min_s"],
                "schema read in s": reading.get(name),
                "valid": valid(model, tokenizer, prompts, sides[name][0]) if name != FREE else None,
            }
        )
    print(table(rows))
    write_json(flags.json, {**machine_facts(), "flags": {k: str(v) for k, v in vars(flags).items()}, "rows": rows})
    ours = next(row for row in rows if row["decoding"] == LLGUIDANCE)
    return 0 if ours["x free"] <= TARGET_RATIO and ours["valid"] == 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
