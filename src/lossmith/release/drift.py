"""How far two copies of a model are apart in what they say, and whether that is within what rounding explains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossmith.release.asking import Said

# Largest difference of logits over the largest logit, by the number format that the weights were rounded to.
TOLERANCES: Mapping[str, float] = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 4e-2}


@dataclass(frozen=True)
class Drift:
    """What a copy says against its original, over all probes.

    logits: largest difference over the largest logit. kl_nats: mean divergence of the next token's distribution (of a
    classifier: of its outputs' softmax) at a position. same_first: share of positions with the same likeliest token.
    probes, positions: how much was compared. same_tokens: probes that both tokenizers write alike. same_written: probes
    that both go on with alike, of `asked_to_write`; `near_ties` others part at a token that the original itself hardly
    preferred, by less than twice the tolerance.
    """

    logits: float
    kl_nats: float
    same_first: float
    probes: int
    positions: int
    same_tokens: int
    same_written: int
    near_ties: int
    asked_to_write: int

    def as_json(self) -> dict[str, Any]:
        """Plain values; a figure without a value is null."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def drift(original: Sequence[Said], copy: Sequence[Said], *, tolerance: float) -> Drift:
    """Compare answers to the same probes, in their order; probes written in other tokens count as infinitely far.

    >>> import torch
    >>> said = Said((1,), torch.tensor([[4.0, 2.0]]), written=(0,), margins=(2.0,))
    >>> same = drift([said], [said], tolerance=1e-4)
    >>> same.logits, same.same_written, same.near_ties
    (0.0, 1, 0)
    """
    pairs = list(zip(original, copy, strict=False))
    alike = [(a, b) for a, b in pairs if a.ids == b.ids and a.logits.shape == b.logits.shape]
    largest = max((a.logits.abs().max().item() for a, _ in alike), default=0.0)
    apart = max((_apart(a, b) for a, b in alike), default=0.0)
    positions = sum(len(a.logits) for a, _ in alike)
    writers = [(a, b) for a, b in alike if a.written or b.written]
    ties = [_is_near_tie(a, b, below=2 * tolerance * largest) for a, b in writers if a.written != b.written]
    every = len(alike) == max(len(original), len(copy))
    return Drift(
        logits=apart / max(largest, 1e-12) if every else float("inf"),
        kl_nats=sum(_kl(a, b) for a, b in alike) / max(positions, 1),
        same_first=sum(int((a.logits.argmax(-1) == b.logits.argmax(-1)).sum()) for a, b in alike) / max(positions, 1),
        probes=max(len(original), len(copy)),
        positions=positions,
        same_tokens=len(alike),
        same_written=len(writers) - len(ties),
        near_ties=sum(ties),
        asked_to_write=len(writers),
    )


def _apart(a: Said, b: Said) -> float:
    found = (a.logits - b.logits).abs().max().item()
    return float("inf") if math.isnan(found) else found


def _kl(a: Said, b: Said) -> float:
    """Sum over positions of the divergence of the copy's distribution from the original's, in nats."""
    first, second = a.logits.double().log_softmax(-1), b.logits.double().log_softmax(-1)
    return max(0.0, float((first.exp() * (first - second)).sum()))


def _is_near_tie(a: Said, b: Said, *, below: float) -> bool:
    """Whether the original hardly preferred the token at which the two part."""
    both = min(len(a.written), len(b.written))
    place = next((at for at in range(both) if a.written[at] != b.written[at]), both)
    return place < len(a.margins) and a.margins[place] <= below


def complaints(found: Drift, *, tolerance: float) -> list[str]:
    """What is wrong, one sentence each; empty where the copy is the model."""
    told = []
    if found.same_tokens < found.probes:
        told.append(f"{found.probes - found.same_tokens} of {found.probes} probes are other tokens")
    if not found.logits <= tolerance:
        told.append(f"logits differ by {found.logits:.2e} of the largest, {tolerance:.0e} is allowed")
    other = found.asked_to_write - found.same_written - found.near_ties
    if other:
        told.append(f"{other} of {found.asked_to_write} probes are continued otherwise")
    return told
