"""Scoring three labels after long prompts, against one forward pass for each label.

    python benchmarks/label_words.py [--width 512 --layers 4 --vocab 32000 --length 512 --prompts 40] [--json FILE]

One Qwen3 of random weights in fp32, prompts of up to `length` tokens, labels of one to four tokens with the token that
ends them, two of which begin alike. All sides take turns in one process over the same prompts in the same batches:
lossmith's likelihood, a forward pass for each label as it is usually written (logits of all tokens, then log_softmax),
and one that makes the logits of the label's tokens alone. On the first batch all must agree to 1e-4 nats; then they
are timed.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from lossmith.generate.likelihood import log_likelihoods
from lossmith.generate.states import Asked, Scorer, one_by_one
from measuring import (
    MIB,
    add_flags,
    add_numbers,
    extra_peaks,
    interleaved,
    machine_facts,
    print_extra_peak,
    summary,
    table,
    write_json,
)

TARGET_RATIO = 3.0
END, PAD = 1, 0
LABELS = ((7, END), (7, 8, END), (9, 10, 11, END))
OURS, USUAL, KEPT = "lossmith", "forward per label, all logits", "forward per label, the label's logits"


def build(flags: argparse.Namespace) -> Any:
    config = Qwen3Config(
        vocab_size=flags.vocab,
        hidden_size=flags.width,
        intermediate_size=3 * flags.width,
        num_hidden_layers=flags.layers,
        num_attention_heads=flags.width // 64,
        num_key_value_heads=max(1, flags.width // 128),
        head_dim=64,
        max_position_embeddings=4 * flags.length,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        eos_token_id=END,
    )
    torch.manual_seed(0)
    return Qwen3ForCausalLM._from_config(config, dtype=torch.float32).eval().to(flags.device)


def prompts_of(flags: argparse.Namespace) -> list[list[int]]:
    draw = random.Random(0)
    shortest = int(flags.length * (1 - flags.spread))
    return [
        [draw.randrange(12, flags.vocab) for _ in range(draw.randint(shortest, flags.length))]
        for _ in range(flags.prompts)
    ]


def ours(model: Any, prompts: list[list[int]], batch: int) -> list[list[float]]:
    made = log_likelihoods(model, prompts, [LABELS] * len(prompts), pad_token_id=PAD, batch_size=batch)
    return [list(one.values) for one in made]


@torch.no_grad()
def usual(model: Any, prompts: list[list[int]], batch: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        for label in LABELS:
            texts = [[*prompts[row], *label] for row in rows]
            width = max(map(len, texts))
            ids = torch.tensor([text + [PAD] * (width - len(text)) for text in texts], device=model.device)
            mask = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in texts], device=model.device)
            logs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.log_softmax(-1)
            for place, row in enumerate(rows):
                start = len(prompts[row]) - 1
                found[row].append(sum(float(logs[place, start + k, token]) for k, token in enumerate(label)))
    return found


def kept(model: Any, prompts: list[list[int]], batch: int) -> list[list[float]]:
    scorer = Scorer(model, PAD)
    found: dict[int, list[float]] = {}
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        values = one_by_one(scorer, [Asked(prompts[row], LABELS) for row in rows])
        found |= {row: list(each) for row, each in zip(rows, values, strict=True)}
    return [found[row] for row in range(len(prompts))]


METHODS: dict[str, Callable[[Any, list[list[int]], int], list[list[float]]]] = {OURS: ours, USUAL: usual, KEPT: kept}


def sides(flags: argparse.Namespace) -> dict[str, Callable[..., list[list[float]]]]:
    """By name, what scores all prompts, or the first so many."""
    model, prompts = build(flags), prompts_of(flags)
    return {
        name: lambda first=None, method=method: method(model, prompts[:first], flags.batch)
        for name, method in METHODS.items()
    }


def measure(flags: argparse.Namespace) -> int:
    """Measure and tell; 1 where the target is missed."""
    methods = sides(flags)
    found = {name: torch.tensor(method(flags.batch)) for name, method in methods.items()}
    worst = max(float((values - found[USUAL]).abs().max()) for values in found.values())
    if worst > 1e-4:
        raise SystemExit(f"the sides differ by {worst:.1e} nats")
    times = interleaved(methods, repeat=flags.repeat, warmup=0, device=flags.device)
    peaks = {} if flags.no_memory else extra_peaks(__file__, METHODS, sys.argv[1:])
    rows: list[dict[str, Any]] = []
    for name, seconds in times.items():
        told = summary(seconds)
        ratio = told["min_s"] / min(times[OURS])
        rows.append({"side": name, **told, "x lossmith": ratio, "extra_MiB": peaks[name] / MIB if peaks else None})
    ratios = {row["side"]: row["x lossmith"] for row in rows}
    print(table(rows))
    print(f"largest difference {worst:.1e} nats; {ratios[USUAL]:.2f} times as fast (target {TARGET_RATIO:g})")
    sizes = {name: str(value) for name, value in vars(flags).items()}
    write_json(
        flags.json,
        {"machine": machine_facts(flags.device), "sizes": sizes, "rows": rows, "difference_nats": worst},
    )
    return int(ratios[USUAL] < TARGET_RATIO)


def read_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_numbers(
        parser,
        (
            ("width", 512, "of the model"),
            ("layers", 4, "of the model"),
            ("vocab", 32_000, "words"),
            ("length", 512, "tokens of the longest prompt"),
            ("prompts", 40, "records"),
            ("batch", 8, "records of a batch"),
        ),
    )
    parser.add_argument("--spread", type=float, default=0.25, help="prompts are up to this share shorter")
    add_flags(parser, repeat=2)
    return parser.parse_args()


def main() -> int:
    flags = read_flags()
    torch.set_num_threads(flags.threads)
    if flags.memory:
        print_extra_peak(sides(flags)[flags.only], device=flags.device)
        return 0
    return measure(flags)


if __name__ == "__main__":
    sys.exit(main())
