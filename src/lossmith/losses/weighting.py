"""Weights of classes and labels, counted on the training split."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lossmith.errors import DataError, InputError, unknown_name

# b of (1-b) / (1-b^n): classes weigh alike once they have several times 1 / (1-b) examples.
EFFECTIVE_NUMBER_BETA = 0.999


@dataclass(frozen=True)
class LabelCounts:
    """How many training examples have each class, or each label.

    `positives` holds a count for each of `names`, out of `examples`. Classes exclude each other, so theirs add up to
    `examples`; labels do not. `declared`: the configuration names the classes, so one may be without examples.

    Raises InputError where counts and names do not fit.
    """

    names: tuple[str, ...]
    positives: tuple[int, ...]
    examples: int
    declared: bool = False

    def __post_init__(self) -> None:
        fits = len(self.names) == len(self.positives) > 0
        if not fits or not all(0 <= count <= self.examples for count in self.positives):
            raise InputError(
                "counts and names of the classes do not fit",
                got=f"{len(self.names)} names, counts {list(self.positives)} of {self.examples} examples",
                expected="a count for each name, from 0 to all examples",
            )


def weights_from_counts(parameter: str, rule: str, counts: LabelCounts) -> tuple[list[float], dict[str, Any]]:
    """The weights that a rule gives, one for each class or label, and what the manifest keeps of them.

    class_weight: balanced (inverse) n / (C n_c), C classes with examples; effective_number (1-b) / (1-b^n_c), b = .999,
    with mean 1 over classes with examples (Cui et al. 2019). pos_weight: auto n_neg / n_pos. alpha: inverse (auto)
    n_neg / n; prevalence n_pos / n, with a warning, since it gives the rare labels the small weight.

    Raises DataError, naming it, for a class without examples or a label without positive or negative ones, unless the
    classes are declared; then it weighs 0. InputError for an unknown rule.

    >>> weights_from_counts("class_weight", "balanced", LabelCounts(("no", "yes"), (30, 10), 40))[0]
    [0.6666666666666666, 2.0]
    """
    if rule not in RULES[parameter]:
        raise unknown_name(f"rule of {parameter}", rule, RULES[parameter])
    if not counts.examples:
        raise DataError(f"{parameter}: {rule} has no training example to count", got="0 examples", expected="1 or more")
    if not counts.declared:
        _require_both_kinds(parameter, rule, counts)
    weights = RULES[parameter][rule](counts)
    if rule == "prevalence":
        warnings.warn(
            f"{parameter}: prevalence multiplies the positives of rare labels by the small number "
            f"({min(weights):.3g} is the smallest); inverse gives them the large one",
            UserWarning,
            stacklevel=2,
        )
    facts = {
        "parameter": parameter,
        "rule": rule,
        "split": "train",
        "examples": counts.examples,
        "counts": dict(zip(counts.names, counts.positives, strict=True)),
        "weights": dict(zip(counts.names, weights, strict=True)),
    }
    return weights, facts


def count_weights(params: Mapping[str, Any], counts: LabelCounts) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The parameters of a term with every rule among them turned into numbers, and what the manifest keeps of each."""
    counted, facts = dict(params), []
    for parameter, rule in _rules(params).items():
        counted[parameter], found = weights_from_counts(parameter, rule, counts)
        facts.append(found)
    return counted, facts


def require_numbers(term: str, params: Mapping[str, Any]) -> None:
    """Raise InputError where a weight of a term is still a rule."""
    for parameter, rule in _rules(params).items():
        raise InputError(
            f"{parameter}: {rule} of the term '{term}' was not counted on the training split",
            got=rule,
            expected="numbers",
            fix="objective, facts = objective.weighted_by(LabelCounts(names, positives, examples))",
        )


def _rules(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: held for name, held in params.items() if isinstance(held, str) and held in RULES.get(name, ())}


def _require_both_kinds(parameter: str, rule: str, counts: LabelCounts) -> None:
    exclusive = parameter == "class_weight"
    for name, positives in zip(counts.names, counts.positives, strict=True):
        if positives and (exclusive or positives < counts.examples):
            continue
        kind = "no" if exclusive else "no positive" if not positives else "no negative"
        raise DataError(
            f"the {'class' if exclusive else 'label'} '{name}' has {kind} training example, so {parameter}: {rule} "
            "has no weight for it",
            got=f"{positives} of {counts.examples}",
            expected="both positive and negative examples" if not exclusive else "1 or more",
            fix="declare the classes (task.classes) to give it the weight 0, or write the weights as a list",
        )


def _balanced(counts: LabelCounts) -> list[float]:
    found = sum(count > 0 for count in counts.positives)
    return [counts.examples / (found * count) if count else 0.0 for count in counts.positives]


def _effective_number(counts: LabelCounts) -> list[float]:
    log_beta = math.log(EFFECTIVE_NUMBER_BETA)
    raw = [math.expm1(log_beta) / math.expm1(count * log_beta) if count else 0.0 for count in counts.positives]
    mean = sum(raw) / sum(weight > 0 for weight in raw)
    return [weight / mean for weight in raw]


def _negatives_per_positive(counts: LabelCounts) -> list[float]:
    return [(counts.examples - count) / count if count else 0.0 for count in counts.positives]


def _share_of_negatives(counts: LabelCounts) -> list[float]:
    return [(counts.examples - count) / counts.examples if count else 0.0 for count in counts.positives]


def _share_of_positives(counts: LabelCounts) -> list[float]:
    return [count / counts.examples for count in counts.positives]


RULES: Mapping[str, Mapping[str, Callable[[LabelCounts], list[float]]]] = {
    "class_weight": {"balanced": _balanced, "inverse": _balanced, "effective_number": _effective_number},
    "pos_weight": {"auto": _negatives_per_positive},
    "alpha": {"inverse": _share_of_negatives, "auto": _share_of_negatives, "prevalence": _share_of_positives},
}
