"""Which positions each term reads: span names to rows, examples and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lossmith.errors import InputError
from lossmith.losses.classes import ClassPairs, pair_with_present_classes
from lossmith.losses.shapes import Bool, Int
from lossmith.losses.terms import Term


def task_span(task: str) -> str:
    """The name under which the positions of a task's records are given among the spans; no tag can have it.

    >>> task_span("maths")
    'task:maths'
    """
    return f"task:{task}"


@dataclass(frozen=True)
class Reading:
    """What one term reads of the kept rows.

    rows (positions,) ascending; example (positions,) numbers 0 .. examples-1; item (positions,) or None where a
    span of the term is a mask; classes where the term asks for them.
    """

    term: Term
    rows: Int[Tensor, " positions"]
    example: Int[Tensor, " positions"]
    examples: int
    item: Tensor | None = None
    classes: ClassPairs | None = None

    def within(self, at: slice) -> slice:
        """Which of the rows lie in a range."""
        edges = torch.tensor([at.start, at.stop], device=self.rows.device)
        return slice(*torch.searchsorted(self.rows, edges).tolist())

    @property
    def count(self) -> float:
        """The denominator of this call."""
        return float(count_units(self.term, self.rows.numel(), self.examples))


@dataclass(frozen=True)
class Plan:
    """The rows that are kept, in the order they are worked on, and what each term reads of them.

    kept (rows,) are positions, or None where all are kept in their order: first those of separable terms alone
    (`plain` of them), then those of set terms, among them `likely` rows whose likeliest words are asked for, at the
    end the `cloud` rows whose expected embedding over all words is.
    """

    kept: Tensor | None
    labels: Int[Tensor, " rows"]
    plain: int
    likely: int
    cloud: int
    readings: tuple[Reading, ...]


def count_units(term: Term, positions: int, examples: int) -> int:
    """How many units of its denominator a term reads."""
    return {"token": positions, "example": examples, "set": min(examples, 1)}[term.unit]


def read_mask(
    term: Term, spans: Mapping[str, Tensor], like: Int[Tensor, " positions"]
) -> tuple[Bool[Tensor, " positions"], Tensor | None]:
    """The positions of a term's spans, and their item numbers, distinct over the spans, where all are numbered.

    Names add up and `-name` takes away, in any order; names to take away alone start from the answer. What is left
    are the positions of the tasks that the term is for.
    """
    if term.reads != "tokens":
        raise InputError(
            f"the term '{term.name}' reads the outputs of a {term.reads}, not tokens",
            got="hidden states and labels of positions",
            expected="objective.on_outputs(Outputs(...))",
            fix="objective.split() gives an objective for tokens and one for outputs; their values can be added",
        )
    added = [name for name in term.span if not name.startswith("-")] or ["answer"]
    mask = torch.zeros_like(like, dtype=torch.bool)
    item: Tensor | None = torch.full_like(like, -1)
    for name in added:
        inside, numbers = _one_span(term, name, spans, like)
        if numbers is None or item is None:
            item = None
        else:
            # A position in two spans belongs to the item of the span named first.
            shifted = torch.where(inside, numbers + item.amax() + 1, -1) if item.numel() else numbers
            item = torch.where(item >= 0, item, shifted)
        mask = mask | inside
    for name in term.span:
        if name.startswith("-"):
            mask = mask & ~_one_span(term, name[1:], spans, like)[0]
    if term.task is not None:
        mask = mask & _one_span(term, task_span(term.task), spans, like)[0]
    for task in term.other_than:
        mask = mask & ~_one_span(term, task_span(task), spans, like)[0]
    return mask, item


def _one_span(term: Term, name: str, spans: Mapping[str, Tensor], like: Tensor) -> tuple[Tensor, Tensor | None]:
    if name not in spans:
        if name == "answer":
            return torch.ones_like(like, dtype=torch.bool), None
        raise InputError(
            f"the term '{term.name}' reads the span '{name}', which is not given",
            got=", ".join(sorted(spans)) or "no spans",
            expected=f"spans={{'{name}': mask}}",
        )
    span = spans[name]
    if span.shape != like.shape:
        raise InputError(
            f"the span '{name}' has another shape than the labels",
            got=tuple(span.shape),
            expected=tuple(like.shape),
        )
    if span.dtype == torch.bool:
        return span, None
    if span.dtype == torch.int64:
        return span >= 0, span
    raise InputError(
        f"the span '{name}' is neither a mask nor item numbers",
        got=span.dtype,
        expected="bool, or int64 item numbers with -1 outside",
    )


def make_plan(
    terms: Sequence[Term],
    labels: Int[Tensor, " positions"],
    *,
    spans: Mapping[str, Tensor],
    examples: Int[Tensor, " positions"] | None,
) -> Plan:
    """Keep the positions that a term reads, and order them by what has to be known of them."""
    masks = [read_mask(term, spans, labels) for term in terms]
    none = torch.zeros_like(labels, dtype=torch.bool)
    read, in_set, in_likely, in_cloud = none, none, none, none
    for term, (mask, _) in zip(terms, masks, strict=True):
        read = read | mask
        if term.kind == "set":
            in_set = in_set | mask
        if "expected_embedding" in term.needs and term.top_k is None:
            in_cloud = in_cloud | mask
        elif "expected_embedding" in term.needs:
            in_likely = in_likely | mask
    alone = (read & ~in_set, in_set & ~in_likely & ~in_cloud, in_likely & ~in_cloud, in_cloud)
    groups = [group.nonzero()[:, 0] for group in alone]
    order = torch.cat(groups)
    everything = order.numel() == labels.numel() and sum(g.numel() > 0 for g in groups) <= 1
    kept = None if everything else order
    kept_labels = labels if kept is None else labels[kept]
    examples = torch.zeros_like(labels) if examples is None else examples
    kept_examples = examples if kept is None else examples[kept]
    readings: list[Reading] = []
    pairs: dict[tuple[object, ...], ClassPairs] = {}
    for term, (mask, item) in zip(terms, masks, strict=True):
        rows = (mask if kept is None else mask[kept]).nonzero()[:, 0]
        example, count = _number_examples(kept_examples[rows], together=term.scope in (None, "batch"))
        classes = None
        if "class_log_probs" in term.needs:
            key = (term.span, term.task, term.other_than, term.scope)
            if key not in pairs:
                pairs[key] = pair_with_present_classes(kept_labels[rows], example, count)
            classes = pairs[key]
        kept_item = None if item is None else (item if kept is None else item[kept])[rows]
        readings.append(Reading(term, rows, example, count, kept_item, classes))
    plain, _, likely, cloud = (group.numel() for group in groups)
    return Plan(kept, kept_labels, plain, likely, cloud, tuple(readings))


def _number_examples(example: Tensor, *, together: bool) -> tuple[Tensor, int]:
    """Numbers 0 .. n-1 for whatever ids the examples have."""
    if together:
        return torch.zeros_like(example), int(example.numel() > 0)
    ids, number = torch.unique(example, return_inverse=True)
    return number, ids.numel()
