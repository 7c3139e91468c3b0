"""Shares of the gradient are measured on a few whole examples, on which every term that reads the batch is present."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lossmith.losses import Objective
from lossmith.tasks.token_parts import POSITIONS, TokenParts

from .building import PLAIN, Built, row

# 12 examples of 40 positions; the span stands in the last two alone.
ROWS = [row(n, prompt=2, answer=40, items=10 if n > 9 else 0) for n in range(12)]
TERMS = "objective={cross_entropy: 0.6, focal: {weight: 0.2, span: items}, lovasz_softmax: {weight: 0.2, scope: SCOPE}}"


def parts_of(built: Built) -> tuple[TokenParts, Objective]:
    trainer = built.trainer
    batch = trainer.data_collator([trainer.work.train[n] for n in range(len(ROWS))])
    return trainer.work.forward(built.loaded.model, batch), trainer.work.objective


def shares_on(parts: TokenParts, objective: Objective) -> dict[str, float]:
    positional, named = parts.arguments()
    return objective.shares(*positional, **named)


def test_a_few_whole_examples_stand_for_the_batch_and_hold_every_term(build: Callable[..., Built]):
    parts, objective = parts_of(build("few", TERMS.replace("SCOPE", "sequence"), rows=ROWS, **PLAIN))
    few = parts.few(objective)
    kept = few.examples.unique().tolist()
    # The first, the first with the span, and as many more as it takes.
    assert kept == [0, 1, 2, 10]
    assert POSITIONS <= len(few.labels) == 160 < len(parts.labels)
    assert all(int((few.examples == n).sum()) == 40 for n in kept)
    chosen = torch.isin(parts.examples, few.examples)
    assert torch.equal(few.hidden, parts.hidden[chosen])
    assert torch.equal(few.labels, parts.labels[chosen])
    assert torch.equal(few.spans["items"], parts.spans["items"][chosen])
    shares = shares_on(few, objective)
    assert list(shares) == ["cross_entropy", "focal", "lovasz_softmax"]
    assert sum(shares.values()) == pytest.approx(1)


def test_their_shares_are_near_those_of_the_whole_batch(build: Callable[..., Built]):
    rows = [row(n, prompt=2, answer=40, items=10) for n in range(len(ROWS))]
    parts, objective = parts_of(build("near", TERMS.replace("SCOPE", "sequence"), rows=rows, **PLAIN))
    few, whole = parts.few(objective), shares_on(parts, objective)
    assert len(few.labels) < len(parts.labels) / 2
    for name, share in shares_on(few, objective).items():
        assert share == pytest.approx(whole[name], rel=0.15)


def test_a_term_over_the_micro_batch_is_measured_on_all_of_it(build: Callable[..., Built]):
    parts, objective = parts_of(build("batch", TERMS.replace("SCOPE", "batch"), rows=ROWS, **PLAIN))
    assert parts.few(objective) is parts


def test_a_small_batch_is_measured_whole(build: Callable[..., Built]):
    built = build("small", TERMS.replace("SCOPE", "sequence"), rows=ROWS[-3:], **PLAIN)
    trainer = built.trainer
    batch = trainer.data_collator([trainer.work.train[n] for n in range(3)])
    parts = trainer.work.forward(built.loaded.model, batch)
    assert len(parts.few(trainer.work.objective).labels) == len(parts.labels) == 120
