"""The objective as a formula and each of its terms in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.config.objective import written_terms
from lossmith.names import LOSS_ALIASES, LOSSES, LossRow
from lossmith.report.figures import short
from lossmith.report.run_files import Run
from lossmith.runs import dead_terms


@dataclass(frozen=True)
class Term:
    """One term as it is shown.

    `reads` is the span and the task in words, `parameters` those that differ from the default, `unit` that of its
    value, empty where it has none.
    """

    name: str
    weight: float
    reads: str
    parameters: str
    about: str
    source: str
    unit: str
    notes: tuple[str, ...]


def terms(run: Run) -> list[Term]:
    """The terms of a run, from its manifest or, before training, from its configuration."""
    stated = run.manifest.get("objective")
    if not isinstance(stated, Sequence) or isinstance(stated, str) or not stated:
        objective = run.config.get("objective")
        stated = [vars(term) for term in written_terms(objective)] if isinstance(objective, Mapping) else []
    facts = [one for one in stated if isinstance(one, Mapping)]
    by_task = any(one.get("task") is not None for one in facts)
    dead = dead_terms(run.history)
    scratch = str(run.setting("model", "base") or "").startswith("scratch-")
    return [_term(one, scratch=scratch, by_task=by_task, dead=one.get("name") in dead) for one in facts]


def objective_formula(objective: Mapping[str, Any]) -> str:
    """The weighted sum of a written objective in one line.

    >>> objective_formula({"class_focal": {"weight": 0.5, "gamma": 1}})
    '0.5 × class_focal(class head; gamma = 1)'
    """
    stated = [vars(term) for term in written_terms(objective)]
    return " + ".join(_product(_term(one, scratch=False, by_task=False, dead=False)) for one in stated)


def formula(run: Run) -> str:
    """The weighted sum in one line.

    A run with `train: null` has none.
    """
    if not run.trained:
        return "none: the base model is measured as it is"
    return " + ".join(_product(term) for term in terms(run)) or "not stated"


def span_words(span: Any) -> str:
    """What a term reads: a union, less what is taken away.

    >>> span_words(["answer", "-rationale"]), span_words("ingredients"), span_words(None)
    ('answer without rationale', 'ingredients', 'answer')
    """
    names = [span] if isinstance(span, str) else [str(name) for name in span or ["answer"]]
    kept = [name for name in names if not name.startswith("-")]
    taken = [name[1:] for name in names if name.startswith("-")]
    words = " and ".join(kept or ["answer"])
    return f"{words} without {' and '.join(taken)}" if taken else words


def _term(facts: Mapping[str, Any], *, scratch: bool, by_task: bool, dead: bool) -> Term:
    name = str(facts.get("name"))
    loss = str(facts.get("loss", name))
    row = LOSSES.get(LOSS_ALIASES.get(loss, loss))
    given = facts.get("parameters")
    parameters = given if isinstance(given, Mapping) else {}
    weight = facts.get("weight", 1.0)
    return Term(
        name=name,
        weight=float(weight) if isinstance(weight, int | float) else float("nan"),
        reads=_reads(facts, row) + (_of_task(facts) if by_task else ""),
        parameters=", ".join(
            f"{key} = {_value(value)}" for key, value in _changed({**parameters, **_rules(facts)}, row)
        ),
        about=row.formula if row else f"a loss of your own: {loss}",
        source=row.source if row else "",
        unit=row.unit_of_value if row and row.unit_of_value != "1" else "",
        notes=(
            *(["dead: it had no share of the gradient and trained nothing"] if dead else []),
            *_notes(facts, parameters, row, scratch=scratch),
        ),
    )


def _reads(facts: Mapping[str, Any], row: LossRow | None) -> str:
    if row is not None and row.needs == ("queries",):
        return "queries"
    if row is not None and row.reads != "tokens":
        return row.reads
    return span_words(facts.get("span") or (row.span if row else None))


def _of_task(facts: Mapping[str, Any]) -> str:
    """The terms of a task are called after it; those beside are told for whom they are."""
    return ", all other tasks" if facts.get("task") is None else ""


def _notes(facts: Mapping[str, Any], parameters: Mapping[str, Any], row: LossRow | None, *, scratch: bool) -> list[str]:
    notes = []
    if (facts.get("scope") or parameters.get("scope")) == "batch":
        notes.append(
            "scope batch: exact within a micro-batch only, in training and in evaluation; "
            "its value depends on the batch size"
        )
    if row is not None and not row.selects_checkpoints:
        notes.append("its value is no measure of progress: the factor that weights easy tokens down is held fixed")
    if row is not None and row.name == "sinkhorn" and scratch:
        notes.append(
            "on a model with random embeddings all words lie equally far apart: "
            "here it matches tokens in any order, it does not compare meanings"
        )
    return notes


def _rules(facts: Mapping[str, Any]) -> dict[str, str]:
    """The rules by which weights were counted, in place of the numbers that they gave, and how examples are weighed."""
    found = {str(one.get("parameter")): str(one.get("rule")) for one in facts.get("counted") or ()}
    return found | ({"weights_by": str(facts["weights_by"])} if facts.get("weights_by") else {})


def _changed(parameters: Mapping[str, Any], row: LossRow | None) -> list[tuple[str, Any]]:
    defaults = {parameter.name: parameter.default for parameter in row.parameters} if row else {}
    return [(key, value) for key, value in parameters.items() if key not in defaults or defaults[key] != value]


def _value(value: Any) -> str:
    return short(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _product(term: Term) -> str:
    inside = f"{term.reads}; {term.parameters}" if term.parameters else term.reads
    return f"{short(term.weight)} × {term.name}({inside})"
