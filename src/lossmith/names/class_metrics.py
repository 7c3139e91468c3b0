"""The rows of the metrics of classification: of a confusion table, of scores, and across groups."""

from __future__ import annotations

from typing import Any, Literal

from lossmith.names.rows import MetricRow

_TABLE, _SCORES = ("label", "predicted"), ("label", "score")
_NO_SCORE = "no record has a score"
_BOTH = "the records with a score do not hold both positives and negatives"


def _row(name: str, direction: Literal["up", "down", "none"], about: str, undefined: str, **facts: Any) -> MetricRow:
    module = facts.pop("module")
    facts.setdefault("low", 0.0)
    facts.setdefault("high", 1.0)
    return MetricRow(name, f"lossmith.metrics.{module}:{name}", direction, about=about, undefined=undefined, **facts)


def _of_class(
    name: str, direction: Literal["up", "down", "none"], about: str, undefined: str, **facts: Any
) -> MetricRow:
    """Of one confusion table of two classes."""
    return _row(name, direction, about, undefined, module="confusion", columns=_TABLE, reads="class", **facts)


def _of_all(name: str, about: str, undefined: str, **facts: Any) -> MetricRow:
    """Of the confusion table of all classes."""
    return _row(name, "up", about, undefined, module="confusion", columns=_TABLE, reads="classes", **facts)


def _ranking(name: str, about: str, undefined: str, **facts: Any) -> MetricRow:
    return _row(name, "up", about, undefined, module="ranking", columns=_SCORES, **facts)


def _probability(name: str, about: str, high: float) -> MetricRow:
    return _row(name, "down", about, _NO_SCORE, module="probabilities", columns=_SCORES, reads="classes", high=high)


def _across(name: str, direction: Literal["up", "down"], about: str, reads: str = "class") -> MetricRow:
    columns = (*_TABLE, "group")
    return _row(name, direction, about, "no group has it", module="group_gaps", columns=columns, reads=reads)


def _group_ranking(name: str, about: str, reads: str) -> MetricRow:
    return _row(name, "up", about, _BOTH, module="group_ranking", columns=(*_SCORES, "group"), reads=reads)


CLASS_METRICS: tuple[MetricRow, ...] = (
    _of_all(
        "accuracy",
        "share of records whose class, or labels all together, are right",
        "there are no records",
        interval="wilson",
    ),
    _of_all("balanced_accuracy", "mean recall of the classes that occur", "fewer than two classes occur"),
    _of_class(
        "precision",
        "up",
        "share of the records said to be of the class that are",
        "no record is said to be",
        interval="wilson",
    ),
    _of_class(
        "recall",
        "up",
        "share of the records of the class that are said to be",
        "no record is of the class",
        interval="wilson",
    ),
    _of_class(
        "specificity",
        "up",
        "share of the records outside the class that are said to be",
        "no record is outside the class",
        interval="wilson",
    ),
    _of_class(
        "f1", "up", "harmonic mean of precision and recall of the class", "no record is of the class or said to be"
    ),
    _of_all("f1_macro", "mean F1 of the classes that occur among labels or predictions", "there are no records"),
    _of_all("f1_micro", "F1 of the counts of all classes added up", "no record has a class or is said to have one"),
    _of_all(
        "mcc",
        "correlation of labels and predictions (Matthews; Gorodkin for more than two classes)",
        "labels or predictions are all alike",
        low=-1.0,
    ),
    _of_class(
        "fpr",
        "down",
        "share of the records outside the class that are said to be of it",
        "no record is outside the class",
        interval="wilson",
    ),
    _of_class(
        "fnr",
        "down",
        "share of the records of the class that are missed",
        "no record is of the class",
        interval="wilson",
    ),
    _of_class(
        "tpr", "up", "recall by its other name, for figures by group", "no record is of the class", interval="wilson"
    ),
    _of_class(
        "selection_rate",
        "none",
        "share of all records said to be of the class",
        "there are no records",
        interval="wilson",
    ),
    _ranking(
        "roc_auc",
        "chance that a positive scores higher than a negative, a tie counting half",
        _BOTH,
        reads="class",
        macro="roc_auc_macro",
    ),
    _ranking("roc_auc_macro", "mean roc_auc of each class against the rest", _BOTH, reads="classes"),
    _ranking("roc_auc_micro", "roc_auc of all pairs of record and class together", _BOTH, reads="classes"),
    _ranking(
        "pr_auc",
        "average precision over falling scores",
        "no record with a score is of the class",
        reads="class",
        macro="pr_auc_macro",
    ),
    _ranking("pr_auc_macro", "mean pr_auc of each class against the rest", _NO_SCORE, reads="classes"),
    _ranking("pr_auc_micro", "pr_auc of all pairs of record and class together", _NO_SCORE, reads="classes"),
    _ranking(
        "wss95",
        "share of records not read at recall .95, less .05 (work saved over sampling)",
        "no record with a score is of the class",
        reads="class",
        low=-0.05,
        high=0.95,
    ),
    _probability(
        "brier", "squared distance of scores from the truth, with more than two classes summed over them", 2.0
    ),
    _probability("log_loss", "-log of the true class's score, nats, clipped at 1e-15", 34.6),
    _probability("ece", "distance of the top score from being right, over 15 bins of equal width", 1.0),
    _across("fpr_gap", "down", "largest less smallest false positive rate of a group"),
    _across("fnr_gap", "down", "largest less smallest false negative rate of a group"),
    _across("tpr_gap", "down", "largest less smallest true positive rate of a group"),
    _across("selection_rate_gap", "down", "largest less smallest selection rate of a group"),
    _across("equalized_odds_difference", "down", "the larger of fpr_gap and tpr_gap"),
    _across("bias_score", "up", "1 less the mean of (FPR + FNR) / 2 over groups; it does not measure gaps"),
    _across("worst_group_accuracy", "up", "the smallest accuracy of a group", reads="classes"),
    _across("worst_group_balanced_accuracy", "up", "the smallest balanced accuracy of a group", reads="classes"),
    _across("worst_group_f1_macro", "up", "the smallest f1_macro of a group", reads="classes"),
    _across("worst_group_f1", "up", "the smallest F1 of a group"),
    _across("worst_group_recall", "up", "the smallest recall of a group"),
    _across("worst_group_fpr", "down", "the largest false positive rate of a group"),
    _across("worst_group_fnr", "down", "the largest false negative rate of a group"),
    _group_ranking("subgroup_auc", "roc_auc of the records of a group", "group"),
    _group_ranking("bpsn_auc", "roc_auc of positives outside a group with negatives inside", "group"),
    _group_ranking("bnsp_auc", "roc_auc of negatives outside a group with positives inside", "group"),
    _group_ranking("worst_group_subgroup_auc", "the smallest subgroup_auc of a group", "class"),
    _group_ranking("worst_group_bpsn_auc", "the smallest bpsn_auc of a group", "class"),
    _group_ranking("worst_group_bnsp_auc", "the smallest bnsp_auc of a group", "class"),
)
