"""How a score becomes a decision, in words: positive class, threshold and what it was chosen for, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmith.labels import Classes
from lossmith.report.classification.outcomes import Outcomes
from lossmith.report.figures import count, number
from lossmith.report.run_files import Run

METHODS: Mapping[str, str] = {
    "head": "a head on the model",
    "retrieval": "a classifier on chunks of the document",
    "label_words": "likelihood of each label's words",
    "json_answer": "a JSON answer, strictly read",
}


def decision_facts(run: Run, outcomes: Outcomes | None, classes: Classes | None) -> list[tuple[str, str]]:
    """Facts as (name, words), those that are not known left out."""
    method = "retrieval" if run.retrieves else str(run.setting("task", "method") or "head")
    facts = [
        ("Method", METHODS.get(method, method)),
        ("Labels" if classes and classes.multi_label else "Classes", ", ".join(classes.names) if classes else ""),
        ("Positive class", _positive(run, classes)),
        ("Decision", _rule(run, outcomes, classes)),
        ("Aim of the threshold", _aim(run)),
        ("Calibration", _calibration(run, outcomes)),
    ]
    return [(name, value) for name, value in facts if value]


def _positive(run: Run, classes: Classes | None) -> str:
    if classes is None or classes.positive is None:
        return ""
    named = run.setting("task", "positive") is not None
    return f"{classes.positive} ({'as task.positive says' if named else 'by its name, or as the rarer of the two'})"


def _rule(run: Run, outcomes: Outcomes | None, classes: Classes | None) -> str:
    threshold = outcomes.threshold if outcomes is not None else _stored(run).get("threshold")
    if isinstance(threshold, Mapping):
        values = ", ".join(f"{name} {number(float(value))}" for name, value in threshold.items())
        return f"each label from its own score on: {values}"
    if classes is None or not (classes.positive or classes.multi_label):
        return "the class with the highest score"
    if threshold is None:
        return "from the threshold of each fold on"
    own = (run.metrics or {}).get("criterion_thresholds") or {}
    apart = f"; {count(len(own), 'criterion', 'criteria')} from a score of {'its' if len(own) == 1 else 'their'} own"
    return f"{classes.positive or 'a label'} from a score of {number(float(threshold))} on{apart if own else ''}"


def _aim(run: Run) -> str:
    """What the threshold was chosen for and whether validation could give it; nothing where it is a plain number."""
    stored = _stored(run)
    aims: Mapping[str, Mapping[str, Any]] = stored.get("aim") or {}
    if not aims:
        asked = run.setting("evaluate", "threshold")
        return ", ".join(f"{key}: {value}" for key, value in asked.items()) if isinstance(asked, Mapping) else ""
    told = []
    for label, one in aims.items():
        who = f"{label}: " if len(aims) > 1 else ""
        reached = "reached" if one.get("reached", True) else f"NOT reached, since {one.get('reason') or 'unknown'}"
        told.append(f"{who}{one.get('aim')}, {reached}")
    by_criterion: Mapping[str, Mapping[str, Any]] = stored.get("aim_by_criterion") or {}
    missed = [name for name, one in by_criterion.items() if not one.get("reached", True)]
    if missed:
        told.append(f"none of its own for {', '.join(missed)}, judged as all are")
    return f"{'; '.join(told)}; on {_fitted_on(run)}"


def _fitted_on(run: Run) -> str:
    facts = _stored(run).get("fitted_on") or {}
    records = f" ({count(facts['records'], 'record')})" if facts.get("records") else ""
    return f"{facts.get('split') or 'validation'}{records}"


def _calibration(run: Run, outcomes: Outcomes | None) -> str:
    temperature = outcomes.temperature if outcomes is not None else _stored(run).get("temperature")
    if run.setting("evaluate", "calibration") != "temperature" or temperature is None:
        return "none"
    return f"scores divided by a temperature of {number(float(temperature))}, fitted on {_fitted_on(run)}"


def _stored(run: Run) -> Mapping[str, Any]:
    held = run.manifest.get("decision")
    return held if isinstance(held, Mapping) else {}
