"""What the page shows of one run of a classification, besides what every run has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossmith.errors import LossmithError
from lossmith.evaluate.predictions import Predictions
from lossmith.labels import Classes
from lossmith.report.classification.balance import Balance, balance
from lossmith.report.classification.before_after import BeforeAfter, before_after
from lossmith.report.classification.by_criterion import ByCriterion, by_criterion
from lossmith.report.classification.confusion import Confusion, LabelCounts, confusion, label_counts
from lossmith.report.classification.decision import decision_facts
from lossmith.report.classification.fairness import Fairness, fairness
from lossmith.report.classification.mistakes import Mistakes, mistakes
from lossmith.report.classification.outcomes import Outcomes, read_outcomes
from lossmith.report.classification.per_class import ClassTable, class_table
from lossmith.report.classification.precision_recall import precision_recall
from lossmith.report.classification.reliability import reliability
from lossmith.report.run_files import Run
from lossmith.report.square_chart import SquareChart


@dataclass(frozen=True)
class Section:
    """One run's part; what needs the predictions is empty where there are none, and `problem` says why."""

    label: str
    facts: Sequence[tuple[str, str]]
    balance: Balance
    confusion: Confusion | None
    label_counts: Sequence[LabelCounts]
    per_class: ClassTable | None
    charts: Sequence[SquareChart]
    before_after: Sequence[BeforeAfter]
    criteria: ByCriterion | None
    fairness: Fairness | None
    mistakes: Sequence[Mistakes]
    problem: str


def section(run: Run, predictions: Predictions | None) -> Section:
    """The part of one run, from its manifest, its metrics and, where there are, its predictions."""
    outcomes, problem = _outcomes(predictions)
    classes = outcomes.classes if outcomes is not None else _classes(run)
    charts = [precision_recall(outcomes), reliability(outcomes)] if outcomes is not None else []
    return Section(
        label=run.label,
        facts=decision_facts(run, outcomes, classes),
        balance=balance(run, classes),
        confusion=confusion(outcomes) if outcomes is not None else None,
        label_counts=label_counts(outcomes) if outcomes is not None else (),
        per_class=class_table(run, classes),
        charts=[chart for chart in charts if chart is not None],
        before_after=before_after(run),
        criteria=by_criterion(run),
        fairness=fairness(run),
        mistakes=mistakes(predictions, outcomes) if predictions is not None and outcomes is not None else (),
        problem=problem,
    )


def _outcomes(predictions: Predictions | None) -> tuple[Outcomes | None, str]:
    if predictions is None:
        return None, ""
    try:
        return read_outcomes(predictions), ""
    except (LossmithError, KeyError, TypeError, ValueError) as error:
        return None, f"The predictions cannot be read as a classification's: {error}"


def _classes(run: Run) -> Classes | None:
    """The classes by what metrics.json says of them, where there are no predictions."""
    names = (run.metrics or {}).get("classes")
    if not names:
        return None
    metrics = run.metrics or {}
    return Classes(tuple(names), positive=metrics.get("positive"), multi_label=bool(metrics.get("multi_label")))
