"""The table of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from lossmith.errors import InputError, unknown_name
from lossmith.names.class_metrics import CLASS_METRICS
from lossmith.names.rows import INFINITY, MetricRow

Direction = Literal["up", "down", "one"]


def _text(name: str, direction: Direction, about: str, *, module: str = "text", **facts: Any) -> MetricRow:
    facts.setdefault("low", 0.0)
    facts.setdefault("high", 1.0)
    facts.setdefault("undefined", "there are no records")
    facts.setdefault("columns", ("prediction", "target"))
    return MetricRow(name, f"lossmith.metrics.{module}:{name}", direction, about=about, **facts)


def _recipe(name: str, about: str, undefined: str, **facts: Any) -> MetricRow:
    return _text(name, "up", about, module="recipes", undefined=undefined, **facts)


METRICS: Mapping[str, MetricRow] = {
    row.name: row
    for row in (
        _text(
            "exact_match",
            "up",
            "share of predictions equal to the target, white space collapsed, case kept",
            interval="wilson",
        ),
        _text("bleu", "up", "BLEU of the corpus, 0 to 100, by sacrebleu", module="overlap", high=100.0),
        _text("chrf", "up", "chrF2 of the corpus, 0 to 100, by sacrebleu", module="overlap", high=100.0),
        _text("rouge1", "up", "mean F-measure of shared words, by rouge-score", module="overlap"),
        _text("rouge2", "up", "mean F-measure of shared word pairs, by rouge-score", module="overlap"),
        _text(
            "rougeL",
            "up",
            "mean F-measure of the longest common word sequence, by rouge-score",
            module="overlap",
        ),
        _text("edit_distance", "down", "mean Levenshtein distance of characters over the longer text's length"),
        _text("word_edit_distance", "down", "mean Levenshtein distance of words over the longer text's length"),
        _text(
            "length_ratio",
            "one",
            "words predicted per word of the target",
            high=INFINITY,
            undefined="no target holds a word",
        ),
        _text(
            "repetition",
            "down",
            "mean share of a prediction's word 4-grams that it has said before",
            module="variety",
            columns=("prediction",),
        ),
        _text(
            "distinct_1",
            "up",
            "different words over words, all predictions together",
            module="variety",
            columns=("prediction",),
            undefined="no prediction holds a word",
        ),
        _text(
            "distinct_2",
            "up",
            "different word pairs over word pairs, all predictions together",
            module="variety",
            columns=("prediction",),
            undefined="no prediction holds two words",
        ),
        _recipe(
            "recipe_valid",
            "share of predictions that read as a recipe with ingredients and instructions",
            "there are no records",
            columns=("prediction",),
            interval="wilson",
        ),
        _recipe(
            "ingredient_precision",
            "share of the predicted ingredients that the target names",
            "no prediction holds an ingredient",
        ),
        _recipe(
            "ingredient_recall",
            "share of the target's ingredients that the prediction names",
            "no target reads as a recipe with ingredients",
        ),
        _recipe(
            "ingredient_f1",
            "harmonic mean of ingredient precision and recall, counts summed over records",
            "no target reads as a recipe with ingredients",
        ),
        _recipe(
            "ingredient_line_f1",
            "as ingredient_f1, a pair counting where its quantity is right too",
            "no target reads as a recipe with ingredients",
        ),
        _recipe(
            "quantity_accuracy",
            "share of matched ingredients whose quantity lies within 10 % of the target's",
            "no matched ingredient has a quantity in its target",
        ),
        _recipe(
            "quantity_score",
            "as quantity_accuracy, within 10 % counting 1 and within 20 % counting .5",
            "no matched ingredient has a quantity in its target",
        ),
        _text(
            "json_valid",
            "up",
            "share of predictions that are one JSON value and nothing else",
            module="structure",
            columns=("prediction",),
            interval="wilson",
        ),
        _text(
            "schema_valid",
            "up",
            "share of predictions that keep to data.answer_schema",
            module="structure",
            columns=("prediction", "schema"),
            interval="wilson",
        ),
        _text(
            "field_f1",
            "up",
            "mean F1 of fields: paths through the JSON object with the values at their ends",
            module="structure",
            undefined="no target is JSON",
        ),
        *CLASS_METRICS,
    )
}


def find_metric(name: str, *, where: str | None = None) -> MetricRow:
    """The row of a metric, or of one class of it, as `f1.CLASS`.

    Raises InputError with the nearest name for a misspelt one.

    >>> find_metric("rouge1").direction
    'up'
    >>> find_metric("fpr.hate").about
    'share of the records outside the class that are said to be of it, of hate alone'
    """
    if name in METRICS:
        return METRICS[name]
    row = METRICS.get(name.partition(".")[0])
    one = name.partition(".")[2]
    if row is not None and one and row.reads == "class":
        return replace(row, name=name, about=f"{row.about}, of {one} alone")
    raise unknown_name("metric", name, METRICS, where=where)


def known_metric(name: str) -> MetricRow | None:
    """The row that `find_metric` gives, None where it raises.

    >>> known_metric("rouge9") is None
    True
    """
    try:
        return find_metric(name)
    except InputError:
        return None


def compares_groups(name: str) -> bool:
    """Whether a metric compares groups of records, as a gap between their error rates does.

    >>> compares_groups("fpr_gap"), compares_groups("fpr"), compares_groups("subgroup_auc")
    (True, False, False)
    """
    row = known_metric(name)
    return row is not None and "group" in row.columns and row.reads != "group"
