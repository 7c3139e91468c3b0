"""Pairs of positions and present classes: against loops, and the losses that walk over them in pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossmith.losses import Statistics, lovasz_softmax
from lossmith.losses.classes import pair_with_present_classes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=20))
def test_pairs_are_those_of_a_loop(rows: list[tuple[int, int]]) -> None:
    names = sorted({example for example, _ in rows})
    example = torch.tensor([names.index(example) for example, _ in rows], dtype=torch.int64)
    labels = torch.tensor([label for _, label in rows], dtype=torch.int64)
    pairs = pair_with_present_classes(labels, example, len(names))
    expected = []
    for number in range(len(names)):
        own = [n for n in range(len(rows)) if example[n] == number]
        for n in own:
            expected += [(number, n, word) for word in sorted({int(labels[m]) for m in own})]
    word, of = pairs.word[pairs.column], pairs.column_example[pairs.column]
    assert list(zip(of.tolist(), pairs.position.tolist(), word.tolist(), strict=True)) == expected
    assert pairs.is_label.tolist() == [int(labels[n]) == word for _, n, word in expected]
    values = torch.arange(1.0, len(expected) + 1, dtype=torch.float64)
    by_class, at_labels = {}, {}
    for value, (number, n, word) in zip(values.tolist(), expected, strict=True):
        by_class[number, word] = by_class.get((number, word), 0.0) + value
        at_labels[number, word] = at_labels.get((number, word), 0.0) + value * (int(labels[n]) == word)
    columns = list(zip(pairs.column_example.tolist(), pairs.word.tolist(), strict=True))
    assert pairs.sum_by_class(values).tolist() == [by_class[column] for column in columns]
    assert pairs.sum_at_labels(values).tolist() == [at_labels[column] for column in columns]
    assert pairs.label_count.tolist() == [
        sum((int(example[n]), int(labels[n])) == column for n in range(len(rows))) for column in columns
    ]


def statistics(positions: int, *, seed: int) -> Statistics:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (positions,), generator=draw)
    example = torch.randint(0, 3, (positions,), generator=draw).unique(return_inverse=True)[1]
    pairs = pair_with_present_classes(labels, example, int(example.max()) + 1)
    logits = torch.randn(positions, 9, generator=draw, dtype=torch.float64)
    log_p = torch.log_softmax(logits, 1)[pairs.position, pairs.word[pairs.column]]
    return Statistics(classes=pairs, class_log_probs=log_p.requires_grad_())


def test_lovasz_sorted_in_pieces_is_lovasz_sorted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = statistics(40, seed=1)
    whole = lovasz_softmax.lovasz_softmax(stats)
    monkeypatch.setattr(lovasz_softmax, "SORTED_AT_ONCE", {"cpu": 30})
    pieces = lovasz_softmax.lovasz_softmax(stats)
    torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=0.0)
    by_whole, by_pieces = (torch.autograd.grad(v.sum(), stats.class_log_probs)[0] for v in (whole, pieces))
    torch.testing.assert_close(by_pieces, by_whole, rtol=1e-12, atol=0.0)


def test_lovasz_may_be_differentiated_twice() -> None:
    stats = statistics(12, seed=2)

    def value(log_p: torch.Tensor) -> torch.Tensor:
        return lovasz_softmax.lovasz_softmax(Statistics(classes=stats.classes, class_log_probs=log_p))

    leaf = stats.class_log_probs.detach().requires_grad_()
    assert torch.autograd.gradcheck(value, (leaf,))
    assert torch.autograd.gradgradcheck(value, (leaf,))


def test_steps_of_many_positions_keep_their_digits_in_fp32() -> None:
    # One position of a class among many of another: the smallest step is about 1 / positions^2.
    positions = 20_000
    labels = torch.zeros(positions, dtype=torch.int64)
    labels[0] = 1
    pairs = pair_with_present_classes(labels, torch.zeros_like(labels), 1)
    p = torch.linspace(1e-4, 1 - 1e-4, positions, dtype=torch.float64)[:, None]
    log_p = torch.cat([torch.log1p(-p), p.log()], 1).flatten()
    gradients = []
    for dtype in (torch.float64, torch.float32):
        leaf = log_p.to(dtype).requires_grad_()
        value = lovasz_softmax.lovasz_softmax(Statistics(classes=pairs, class_log_probs=leaf))
        gradients.append(torch.autograd.grad(value.sum(), leaf)[0].double())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-12)
