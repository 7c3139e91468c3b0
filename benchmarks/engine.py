"""What an objective costs beside its peers: time, extra peak memory, and error against float64.

Time is measured with all methods of a head taking turns in one process; memory with each method in a process of its
own. Peers that are not installed (liger-kernel, cut-cross-entropy), or that this torch lacks, are left out with a line.

    python benchmarks/engine.py
    python benchmarks/engine.py --positions 8192 --width 2048 --dtype bfloat16 --device cuda --json engine.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

from lossmith.losses import Head, Objective, Statistics
from lossmith.losses.classes import pair_with_present_classes
from lossmith.losses.generalized_dice import generalized_dice
from lossmith.losses.lovasz_softmax import lovasz_softmax
from lossmith.losses.sinkhorn import sinkhorn
from measuring import (
    MIB,
    add_flags,
    extra_peaks,
    interleaved,
    machine_facts,
    print_extra_peak,
    summary,
    table,
    write_json,
)

EXAMPLE = 64
TERMS = {
    "cross-entropy": {"cross_entropy": 1.0},
    "cross-entropy + focal": {"cross_entropy": 0.6, "focal": 0.4},
    "five terms": {
        "cross_entropy": 0.4,
        "focal": 0.2,
        "generalized_dice": 0.2,
        "lovasz_softmax": 0.2,
        "sinkhorn": {"weight": 0.2, "span": "half"},
    },
}
FIVE = "five terms"


@dataclass
class Inputs:
    """One batch: examples of 64 positions whose labels are a quarter of them distinct; half of each is a span."""

    hidden: Tensor
    weight: Tensor
    labels: Tensor
    examples: Tensor
    half: Tensor

    @classmethod
    def drawn(cls, flags: argparse.Namespace) -> Inputs:
        draw = torch.Generator().manual_seed(0)
        positions, width, vocab = flags.positions, flags.width, flags.vocab
        example = torch.arange(positions) // EXAMPLE
        words = torch.randint(0, vocab, (positions // EXAMPLE + 1, EXAMPLE // 4), generator=draw)
        labels = words[example, torch.randint(0, EXAMPLE // 4, (positions,), generator=draw)]
        dtype = getattr(torch, flags.dtype)
        hidden = torch.randn(positions, width, generator=draw)
        weight = torch.empty(vocab, width)
        for block in weight.split(8192):  # a whole second copy would be the peak
            block.copy_(torch.randn(block.shape, generator=draw) * width**-0.5)
        # Half of the positions are confident of their label.
        known = torch.arange(positions) % 2 == 0
        hidden[known] = weight[labels[known]] * (12.0 / weight[labels[known]].square().sum(1, keepdim=True))
        half = torch.arange(positions) % EXAMPLE < EXAMPLE // 2
        made = (hidden.to(dtype), weight.to(dtype), labels, example, half)
        return cls(*(each.to(flags.device) for each in made))

    def leaves(self, trained: bool) -> tuple[Tensor, Tensor]:
        return self.hidden.detach().requires_grad_(), self.weight.detach().requires_grad_(trained)


def ours(inputs: Inputs, terms: str, trained: bool, tile_mib: int | None) -> list[Tensor]:
    hidden, weight = inputs.leaves(trained)
    objective = Objective(TERMS[terms], tile_bytes=tile_mib * MIB if tile_mib else None)
    keywords = {"spans": {"half": inputs.half}, "examples": inputs.examples, "embeddings": (inputs.weight, 1.0)}
    objective(hidden, Head(weight), inputs.labels, **keywords).total.backward()
    return gradients(hidden, weight)


def gradients(hidden: Tensor, weight: Tensor) -> list[Tensor]:
    return [each.grad for each in (hidden, weight) if each.grad is not None]


def products(inputs: Inputs, trained: bool) -> None:
    """The bare matrix products: logits, gradient by the hidden states, and by the head where it is trained."""
    z = inputs.hidden @ inputs.weight.t()
    _ = z @ inputs.weight
    _ = z.t() @ inputs.hidden if trained else None


def dense_cross_entropy(inputs: Inputs, trained: bool) -> list[Tensor]:
    hidden, weight = inputs.leaves(trained)
    functional.cross_entropy((hidden @ weight.t()).float(), inputs.labels).backward()
    return gradients(hidden, weight)


def linear_cross_entropy(inputs: Inputs, trained: bool) -> list[Tensor]:
    hidden, weight = inputs.leaves(trained)
    functional.linear_cross_entropy(hidden, weight, inputs.labels).backward()
    return gradients(hidden, weight)


def liger(inputs: Inputs, trained: bool) -> list[Tensor]:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    hidden, weight = inputs.leaves(trained)
    LigerFusedLinearCrossEntropyLoss()(weight, hidden, inputs.labels).backward()
    return gradients(hidden, weight)


def cce(inputs: Inputs, trained: bool) -> list[Tensor]:
    from cut_cross_entropy import linear_cross_entropy

    hidden, weight = inputs.leaves(trained)
    implementation = "cce" if inputs.hidden.is_cuda else "torch_compile"
    linear_cross_entropy(hidden, weight, inputs.labels, impl=implementation).backward()
    return gradients(hidden, weight)


def dense_focal(inputs: Inputs, trained: bool) -> list[Tensor]:
    hidden, weight = inputs.leaves(trained)
    log_p = torch.log_softmax((hidden @ weight.t()).float(), 1)
    own = log_p.gather(1, inputs.labels[:, None])[:, 0]
    (-0.6 * own.mean() - 0.4 * ((1 - own.exp()).square() * own).mean()).backward()
    return gradients(hidden, weight)


def dense_five(inputs: Inputs, trained: bool, *, shared: bool) -> list[Tensor]:
    """The five terms from all logits: with one log_softmax for all, or one in each loss as they are usually written.

    The formulas of the set losses are lossmith's own; what differs is how they come by their numbers.
    """
    hidden, weight = inputs.leaves(trained)
    z = (hidden @ weight.t()).float()
    once = torch.log_softmax(z, 1) if shared else None

    def log_p() -> Tensor:
        return torch.log_softmax(z, 1) if once is None else once

    def own() -> Tensor:
        return log_p().gather(1, inputs.labels[:, None])[:, 0]

    total = -0.4 * own().mean()
    labels = own()
    total = total - 0.2 * ((1 - labels.exp()).square() * labels).mean()
    examples = int(inputs.examples.max()) + 1
    pairs = pair_with_present_classes(inputs.labels, inputs.examples, examples)
    for formula in (generalized_dice, lovasz_softmax):
        present = log_p()[pairs.position, pairs.word[pairs.column]]
        total = total + 0.2 * formula(Statistics(classes=pairs, class_log_probs=present)).mean()
    cloud = Statistics(
        expected_embedding=log_p()[inputs.half].exp().to(inputs.weight.dtype) @ inputs.weight,
        label_embedding=inputs.weight[inputs.labels[inputs.half]],
        embedding_scale=1.0,
        example=inputs.examples[inputs.half],
        examples=examples,
        item=None,
        notes={},
    )
    total = total + 0.2 * sinkhorn(cloud).mean()
    total.backward()
    return gradients(hidden, weight)


def methods(flags: argparse.Namespace, trained: bool) -> dict[str, Callable[[Inputs], object]]:
    """Everything that is compared for one head, by name."""
    found: dict[str, Callable[[Inputs], object]] = {
        "matrix products alone": lambda inputs: products(inputs, trained),
        "dense cross-entropy": lambda inputs: dense_cross_entropy(inputs, trained),
        "dense cross-entropy + focal": lambda inputs: dense_focal(inputs, trained),
        "dense five terms, one log_softmax": lambda inputs: dense_five(inputs, trained, shared=True),
        "dense five terms, a log_softmax each": lambda inputs: dense_five(inputs, trained, shared=False),
    }
    if find_spec("liger_kernel") and flags.device == "cuda":
        found["liger"] = lambda inputs: liger(inputs, trained)
    if find_spec("cut_cross_entropy"):
        found["cut-cross-entropy"] = lambda inputs: cce(inputs, trained)
    if hasattr(functional, "linear_cross_entropy") and flags.torch_linear:
        found["torch linear_cross_entropy"] = lambda inputs: linear_cross_entropy(inputs, trained)
    for terms in TERMS:
        found[f"lossmith {terms}"] = lambda inputs, terms=terms: ours(inputs, terms, trained, None)
    if flags.tile_mib:
        name = f"lossmith five terms, {flags.tile_mib} MiB"
        found[name] = lambda inputs: ours(inputs, FIVE, trained, flags.tile_mib)
    return found


def truth(flags: argparse.Namespace, inputs: Inputs, terms: str, trained: bool) -> list[Tensor]:
    """Gradients of an objective from all logits in float64, a slice of examples at a time."""
    exact = Inputs(inputs.hidden.double(), inputs.weight.double(), inputs.labels, inputs.examples, inputs.half)
    hidden, weight = exact.leaves(trained)
    objective = Objective(TERMS[terms])
    spans = {"half": inputs.half}
    counts = objective.counts(inputs.labels, spans, inputs.examples)
    for start in range(0, flags.positions, 4 * EXAMPLE):
        at = slice(start, start + 4 * EXAMPLE)
        part = objective.dense(
            hidden[at],
            Head(weight),
            inputs.labels[at],
            spans={"half": inputs.half[at]},
            examples=inputs.examples[at],
            embeddings=(exact.weight, 1.0),
            counts=counts,
        )
        part.total.backward()
    return gradients(hidden, weight)


# What the error of each is measured on, beside lossmith's own.
DENSE = {
    "cross-entropy": "dense cross-entropy",
    "cross-entropy + focal": "dense cross-entropy + focal",
    FIVE: "dense five terms, one log_softmax",
}


def errors(flags: argparse.Namespace, inputs: Inputs, trained: bool) -> dict[str, float]:
    """Norm of the gradient's error over its norm, ours and dense at the same dtype, against float64."""
    found = {}
    every = methods(flags, trained)
    for terms, dense in DENSE.items():
        exact = truth(flags, inputs, terms, trained)
        for name in (dense, f"lossmith {terms}"):
            made = every[name](inputs)
            pairs = [(g.double() - t, t) for g, t in zip(made, exact, strict=True)]
            found[name] = max(float(difference.norm() / true.norm()) for difference, true in pairs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser, repeat=3)
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--vocab", type=int, default=151_936)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--head", choices=("frozen", "trained", "both"), default="both")
    parser.add_argument("--tile-mib", type=int, help="measure the five terms at this tile size as well")
    parser.add_argument("--torch-linear", action="store_true", help="torch's linear_cross_entropy too: slow on CPU")
    parser.add_argument(
        "--errors",
        action="store_true",
        help="errors against float64: a float64 head in memory; --repeat 0 measures nothing else",
    )
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    inputs = Inputs.drawn(flags)
    if flags.memory:
        method = methods(flags, flags.head == "trained")[flags.only]
        print_extra_peak(lambda: method(inputs), device=flags.device)
        return
    facts = {"sizes": vars(flags) | {"json": str(flags.json)}, "machine": machine_facts(flags.device), "heads": {}}
    for head in ("frozen", "trained") if flags.head == "both" else (flags.head,):
        facts["heads"][head] = measure(flags, inputs, head)
    write_json(flags.json, facts)


def measure(flags: argparse.Namespace, inputs: Inputs, head: str) -> list[dict[str, object]]:
    """Time, memory and error of every method for one head, printed as a table."""
    every = methods(flags, head == "trained")
    chosen = {name: every[name] for name in every if flags.only in (None, name)} if flags.repeat else {}
    calls = {name: lambda method=method: method(inputs) for name, method in chosen.items()}
    times = interleaved(calls, repeat=flags.repeat, device=flags.device) if calls else {}
    peaks = {} if flags.no_memory else extra_peaks(__file__, chosen, [*sys.argv[1:], "--head", head])
    error = errors(flags, inputs, head == "trained") if flags.errors else {}
    bare = min(times.get("matrix products alone", [float("nan")]))
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys([*times, *error]):
        row: dict[str, object] = {f"{head} head": name}
        if name in times:
            row |= {**summary(times[name]), "x products": min(times[name]) / bare}
        row |= {"extra MiB": peaks[name] / MIB if name in peaks else None, "error": error.get(name)}
        rows.append(row)
    print(table(rows), flush=True)
    return rows


if __name__ == "__main__":
    main()
