"""The same statistics from all logits at once: the definition the tiled engine is held to.

Also for heads that are no matrix, and for second derivatives. It keeps several arrays of positions x vocab.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lossmith.losses.formulas import Embeddings, Inputs, expected_over, term_sum
from lossmith.losses.head import Head
from lossmith.losses.reading import Plan, Reading
from lossmith.losses.shapes import Float


def dense(
    hidden: Float[Tensor, "rows width"],
    head: Head | Callable[[Tensor], Tensor],
    plan: Plan,
    *,
    coefficients: Float[Tensor, " terms"],
    embeddings: Embeddings | None,
) -> tuple[Tensor, Tensor, dict[str, dict[str, Tensor]]]:
    """Total, sums of the terms and their notes, every operation seen by autograd."""
    z = head.logits(hidden) if isinstance(head, Head) else head(hidden)
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    log_p = torch.log_softmax(z, dim=1)
    zero = (z * 0.0).sum() if z.numel() == 0 else z.new_zeros(())
    sums, notes = [], {}
    for reading in plan.readings:
        value = zero
        if reading.rows.numel():
            value, own = term_sum(reading, _inputs(reading, z, log_p, plan=plan, embeddings=embeddings))
            if own:
                notes[reading.term.name] = own
        sums.append(value)
    together = torch.stack(sums)
    total = (coefficients.to(together.dtype) * together).sum()
    # A call without positions still belongs to the graph.
    return total + hidden[:0].sum().to(total.dtype), together.detach(), notes


def _inputs(reading: Reading, z: Tensor, log_p: Tensor, *, plan: Plan, embeddings: Embeddings | None) -> Inputs:
    rows, needs = reading.rows, reading.term.needs
    labels, own = plan.labels[rows], log_p[rows]
    position = {}
    if "label_log_prob" in needs:
        position["label_log_prob"] = own.gather(1, labels[:, None])[:, 0]
    if "mean_log_prob" in needs:
        position["mean_log_prob"] = own.mean(1)
    if "expected_log_prob" in needs:
        p = own.exp()
        position["expected_log_prob"] = torch.where(p > 0, p * own, 0.0).sum(1)
    if "log_normalizer" in needs:
        position["log_normalizer"] = torch.logsumexp(z[rows], dim=1)
    pairs = None
    if reading.classes is not None:
        pairs = own[reading.classes.position, reading.classes.word[reading.classes.column]]
    return Inputs(position, labels, pairs, _expected(reading, own, embeddings), embeddings)


def _expected(reading: Reading, log_p: Tensor, embeddings: Embeddings | None) -> Tensor | None:
    if "expected_embedding" not in reading.term.needs or embeddings is None:
        return None
    matrix = embeddings.matrix.detach()
    if reading.term.top_k is None:
        return log_p.exp() @ matrix.to(log_p.dtype)
    words = log_p.detach().topk(min(reading.term.top_k, log_p.shape[1]), dim=1).indices
    return expected_over(words, log_p.gather(1, words), matrix)
