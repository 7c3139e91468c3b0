"""What the set losses cost beside what people use: time forward and backward, extra peak memory, error in float64.

Sinkhorn against geomloss called for each example and, where all clouds have one size, called once; Lovász and Dice
from logits, against the usual loop over the vocabulary and against one array of positions x vocabulary. Methods take
turns in one process; memory is measured with each method in a process of its own.

    python benchmarks/losses.py
    python benchmarks/losses.py --loss sinkhorn --points 400,10,10,10,10,10,10,10 --threads 1
    python benchmarks/losses.py --loss lovasz --positions 512 --vocab 32000 --repeat 1 --json lovasz.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

import torch
from geomloss import SamplesLoss
from torch import Tensor

from lossmith.losses import Statistics
from lossmith.losses.annealing import Clouds
from lossmith.losses.classes import pair_with_present_classes
from lossmith.losses.generalized_dice import generalized_dice
from lossmith.losses.lovasz_softmax import lovasz_softmax
from lossmith.losses.transport import sinkhorn_divergence
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

BLUR, SCALING = 0.2, 0.5
Method = Callable[[], Tensor]

# -- Sinkhorn ----------------------------------------------------------------------------------------------------------


def clouds(flags: argparse.Namespace) -> tuple[list[Tensor], list[Tensor]]:
    """Predicted and gold points as a model gives them: mixtures of words, and words, the words about 1 apart."""
    draw = torch.Generator().manual_seed(0)
    words = torch.randn(500, flags.width, generator=draw, dtype=torch.float64) / flags.width**0.5
    sizes = flags.points if len(flags.points) > 1 else flags.points * flags.examples
    xs, ys = [], []
    for size in sizes:
        mixture = torch.softmax(2.0 * torch.randn(size, len(words), generator=draw, dtype=torch.float64), 1)
        xs.append((mixture @ words).to(flags.device))
        ys.append(words[torch.randint(0, len(words), (size,), generator=draw)].to(flags.device))
    return xs, ys


def sinkhorn_methods(flags: argparse.Namespace, dtype: torch.dtype) -> dict[str, Method]:
    """Methods that return the gradient by all predicted points, of the sum of the divergences."""
    xs, ys = ([cloud.to(dtype) for cloud in side] for side in clouds(flags))
    geomloss = SamplesLoss("sinkhorn", p=2, blur=BLUR, scaling=SCALING, backend="tensorized")
    size = torch.tensor([len(x) for x in xs], device=flags.device)
    cloud = torch.arange(len(xs), device=flags.device).repeat_interleave(size)
    x, y = torch.cat(xs), torch.cat(ys)

    def ours() -> Tensor:
        leaf = x.clone().requires_grad_()
        a, b = Clouds(leaf, cloud), Clouds(y, cloud)
        value, _ = sinkhorn_divergence(a, b, p=2.0, blur=BLUR, scaling=SCALING)
        return torch.autograd.grad(value.sum(), leaf)[0]

    def one_by_one() -> Tensor:
        leaves = [each.clone().requires_grad_() for each in xs]
        value = torch.stack([geomloss(leaf, gold) for leaf, gold in zip(leaves, ys, strict=True)])
        return torch.cat(torch.autograd.grad(value.sum(), leaves))

    def batched() -> Tensor:
        leaf = torch.stack(xs).requires_grad_()
        return torch.autograd.grad(geomloss(leaf, torch.stack(ys)).sum(), leaf)[0].flatten(0, 1)

    methods = {"lossmith": ours, "geomloss, each example": one_by_one}
    return methods | ({"geomloss, one batch": batched} if len(set(size.tolist())) == 1 else {})


# -- Lovász and Dice ---------------------------------------------------------------------------------------------------


def from_logits(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The gradient by the logits."""
    leaf = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(torch.log_softmax(leaf, 1)), leaf)[0]


def ours(formula: Callable[[Statistics], Tensor], labels: Tensor, log_p: Tensor) -> Tensor:
    """One example of all positions."""
    pairs = pair_with_present_classes(labels, torch.zeros_like(labels), 1)
    asked = log_p[pairs.position, pairs.word[pairs.column]]
    return formula(Statistics(classes=pairs, class_log_probs=asked)).sum()


def jaccard_steps(truth: Tensor) -> Tensor:
    """Steps of the Jaccard loss down the columns of sorted labels (positions, classes)."""
    hits, false = truth.cumsum(0), (1.0 - truth).cumsum(0)
    loss = 1.0 - (truth.sum(0) - hits) / (truth.sum(0) + false)
    return torch.cat([loss[:1], loss[1:] - loss[:-1]])


def lovasz_loop(labels: Tensor, log_p: Tensor) -> Tensor:
    """Class after class of the vocabulary, as published."""
    p, losses = log_p.exp(), []
    for word in range(p.shape[1]):
        truth = (labels == word).to(p.dtype)
        if truth.sum() == 0:
            continue
        errors, order = (truth - p[:, word]).abs().sort(0, descending=True)
        losses.append(errors @ jaccard_steps(truth[order, None])[:, 0])
    return torch.stack(losses).mean()


def lovasz_dense(labels: Tensor, log_p: Tensor) -> Tensor:
    """All words at once, the present ones averaged."""
    p = log_p.exp()
    truth = torch.zeros_like(p).scatter_(1, labels[:, None], 1.0)
    errors, order = (truth - p).abs().sort(0, descending=True)
    per_class = (errors * jaccard_steps(truth.gather(0, order))).sum(0)
    return per_class[truth.any(0)].mean()


def dice_dense(labels: Tensor, log_p: Tensor) -> Tensor:
    """Over the whole vocabulary, absent words with weight 0."""
    p = log_p.exp()
    truth = torch.zeros_like(p).scatter_(1, labels[:, None], 1.0)
    count = truth.sum(0)
    weight = torch.where(count > 0, count.clamp_min(1.0).pow(-2), 0.0)
    overlap, size = (weight * (p * truth).sum(0)).sum(), (weight * (p.sum(0) + count)).sum()
    return 1.0 - (2.0 * overlap + 1e-5) / (size + 1e-5)


def drawn_logits(flags: argparse.Namespace, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Labels as frequent as words are, and logits that know half of them."""
    draw = torch.Generator().manual_seed(0)
    often = 1.0 / torch.arange(1, flags.vocab + 1, dtype=torch.float64)
    labels = torch.multinomial(often, flags.positions, replacement=True, generator=draw)
    logits = torch.randn(flags.positions, flags.vocab, generator=draw, dtype=torch.float64)
    logits[torch.arange(0, flags.positions, 2), labels[::2]] += 15.0
    return labels.to(flags.device), logits.to(flags.device, dtype)


def lovasz_methods(flags: argparse.Namespace, dtype: torch.dtype) -> dict[str, Method]:
    labels, logits = drawn_logits(flags, dtype)
    return {
        "lossmith": partial(from_logits, partial(ours, lovasz_softmax, labels), logits),
        "one array": partial(from_logits, partial(lovasz_dense, labels), logits),
        "loop over the vocabulary": partial(from_logits, partial(lovasz_loop, labels), logits),
    }


def dice_methods(flags: argparse.Namespace, dtype: torch.dtype) -> dict[str, Method]:
    labels, logits = drawn_logits(flags, dtype)
    return {
        "lossmith": partial(from_logits, partial(ours, generalized_dice, labels), logits),
        "one array": partial(from_logits, partial(dice_dense, labels), logits),
    }


# -- measuring ---------------------------------------------------------------------------------------------------------

LOSSES = {"sinkhorn": sinkhorn_methods, "lovasz": lovasz_methods, "dice": dice_methods}


def measured(loss: str, flags: argparse.Namespace) -> list[dict[str, object]]:
    """One row for each method."""
    methods = LOSSES[loss](flags, torch.float32)
    exact = LOSSES[loss](flags, torch.float64)["geomloss, each example" if loss == "sinkhorn" else "one array"]()
    errors = {name: float((method().double() - exact).norm() / exact.norm()) for name, method in methods.items()}
    times = interleaved(methods, repeat=flags.repeat, device=flags.device)
    peaks = {} if flags.no_memory else extra_peaks(__file__, methods, [*sys.argv[1:], "--loss", loss])
    return [
        {
            "loss": loss,
            "method": name,
            **summary(times[name]),
            "times_ours": summary(times[name])["min_s"] / summary(times["lossmith"])["min_s"],
            "extra_MiB": peaks[name] / MIB if name in peaks else None,
            "gradient_error": errors[name],
        }
        for name in methods
    ]


def sizes_of(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser, repeat=10)
    parser.add_argument("--loss", choices=(*LOSSES, "all"), default="all")
    parser.add_argument("--examples", type=int, default=16, help="pairs of clouds, where --points is one number")
    parser.add_argument(
        "--points",
        type=lambda text: [int(n) for n in text.split(",")],
        default=[40],
        help="of each cloud: 40, or 9,7,30",
    )
    parser.add_argument("--width", type=int, default=256, help="of the points")
    parser.add_argument("--positions", type=int, default=512, help="of Lovász and Dice")
    parser.add_argument("--vocab", type=int, default=4000, help="of Lovász and Dice")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    if flags.memory:
        # What libraries load and keep at their first call is no part of the peak.
        small = {"points": [3], "examples": 2, "width": 8, "positions": 8, "vocab": 16}
        LOSSES[flags.loss](argparse.Namespace(**(vars(flags) | small)), torch.float32)[flags.only]()
        print_extra_peak(LOSSES[flags.loss](flags, torch.float32)[flags.only], device=flags.device)
        return
    rows = [row for loss in (LOSSES if flags.loss == "all" else [flags.loss]) for row in measured(loss, flags)]
    print(table(rows))
    write_json(
        flags.json, {"machine": machine_facts(flags.device), "sizes": vars(flags) | {"json": None}, "rows": rows}
    )


if __name__ == "__main__":
    main()
