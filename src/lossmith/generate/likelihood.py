"""How likely a model holds continuations of a prompt: the prompt is computed once, its continuations as a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from lossmith.generate.batching import Batching, in_batches, out_of_memory, refusal
from lossmith.generate.states import Asked, Scorer, by_tree, one_by_one
from lossmith.generate.trie import Continuations, as_continuations, trie_of
from lossmith.models.hidden import family_of, unwrap
from lossmith.models.modes import evaluating
from lossmith.models.reach import attention_reach

# Largest difference between both ways that rounding explains, in nats, beside that share of the value itself.
_TOLERANCE = {4: 1e-3, 2: 0.05}


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """The log-likelihood of each continuation of prompt `index`, in nats, or why there is none."""

    index: int
    values: tuple[float, ...] = ()
    error: str | None = None


def log_likelihoods(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[Sequence[int]]],
    *,
    pad_token_id: int,
    batch_size: int = 16,
    tell: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Likelihoods]:
    """The log-likelihood in nats, summed over tokens, of each continuation after its prompt; in (-inf, 0].

    Prompts and continuations are token ids: `continuations[i]` are those of `prompts[i]`. A continuation's own end
    token is a token of it: with it "hate" and "hateful" exclude each other. A prompt is computed once, and all that its
    continuations share once after it, from the prompt's keys and values. Vocabulary-wide logits are made for the
    prompt's last token and the continuations' tokens alone, a bounded number at a time.

    The quick way is compared with the plain one (a forward pass for each continuation) before it is used, on the
    shortest prompt and on the longest continuation of the longest one. A model for which it does not hold (a state of
    its own instead of keys and values, an attention that takes no mask) and prompts longer than a sliding window go the
    plain way, and `tell` is told.
    A prompt that cannot be continued (empty, longer than the model's positions with its longest continuation, out of
    memory even alone) comes out with an `error`. Raises ValueError for a continuation without tokens.
    """
    inner = unwrap(model)
    asked = [as_continuations(each) for each in continuations]
    for each in set(asked):
        trie_of(each)
    scorer = Scorer(inner, pad_token_id)
    reasons = [refusal(inner, prompt, answers=each) for prompt, each in zip(prompts, asked, strict=True)]
    good = [index for index, reason in enumerate(reasons) if reason is None]
    with evaluating(inner):
        plain = _plain_ones(scorer, prompts, asked, good=good, tell=tell)

    def carry_out(batch: list[int]) -> list[Likelihoods]:
        way = one_by_one if batch[0] in plain else by_tree
        rows = [Asked(prompts[index], asked[index]) for index in batch]
        with evaluating(inner):
            found = way(scorer, rows)
        return [Likelihoods(index, values) for index, values in zip(batch, found, strict=True)]

    batching = Batching(
        refusal=lambda index: reasons[index],
        pool=lambda index: int(index in plain),
        carry_out=carry_out,
        failed=lambda index, reason: Likelihoods(index, error=reason),
    )
    return in_batches(batching, prompts, batch_size=batch_size, progress=progress)


def _plain_ones(
    scorer: Scorer,
    prompts: Sequence[Sequence[int]],
    asked: Sequence[Continuations],
    *,
    good: Sequence[int],
    tell: Callable[[str], None] | None,
) -> frozenset[int]:
    """The prompts whose continuations go through the model one by one."""
    say = tell or (lambda _: None)
    reach = attention_reach(scorer.model)
    lengths = {index: len(prompts[index]) + max(map(len, asked[index])) for index in good}
    far = [index for index in good if reach is not None and lengths[index] > reach]
    if far:
        say(
            f"{len(far)} of {len(prompts)} prompts are longer than the {reach} tokens that a layer of this "
            f"{family_of(scorer.model)} model looks back: each label is scored by a forward pass of its own, which is "
            "slower"
        )
    near = sorted(set(good) - set(far), key=lambda index: lengths[index])
    if not near:
        return frozenset(far)
    deepest = max(asked[near[-1]], key=len)
    reason = _difference(scorer, [Asked(prompts[near[0]], asked[near[0]]), Asked(prompts[near[-1]], (deepest,))])
    if reason is None:
        return frozenset(far)
    say(
        f"this {family_of(scorer.model)} model does not take the labels of a prompt together ({reason}): each is "
        "scored by a forward pass of its own, which is slower"
    )
    return frozenset(good)


def _difference(scorer: Scorer, rows: Sequence[Asked]) -> str | None:
    """Why the tree does not give these rows their likelihoods, or None where it does."""
    try:
        plain = [values for row in rows for values in one_by_one(scorer, [row])]
        quick = by_tree(scorer, rows)
    except (RuntimeError, MemoryError, TypeError, ValueError, LookupError, AttributeError) as error:
        # Memory is a matter of the batch, looked after there; an error of both ways comes up again in the plain one.
        return None if out_of_memory(error) else f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    ours, theirs = np.concatenate(quick), np.concatenate(plain)
    allowed = _TOLERANCE[scorer.bytes_a_number] * (1 + np.abs(theirs))
    worst = float(np.max(np.abs(ours - theirs) - allowed, initial=-1.0))
    return None if worst <= 0 else f"its values differ by {float(np.abs(ours - theirs).max()):.2g} nats"
