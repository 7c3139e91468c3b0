"""The objective as a formula and each of its terms in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.names import LOSS_ALIASES, LOSSES, LossRow
from lossmith.report.figures import short
from lossmith.report.run_files import Run


@dataclass(frozen=True)
class Term:
    """One term as it is shown: `reads` is the span in words, `parameters` those that differ from the default."""

    name: str
    weight: float
    reads: str
    parameters: str
    about: str
    source: str
    notes: tuple[str, ...]


def terms(run: Run) -> list[Term]:
    """The terms of a run, from its manifest or, before training, from its configuration."""
    stated = run.manifest.get("objective")
    if not isinstance(stated, Sequence) or isinstance(stated, str) or not stated:
        objective = run.config.get("objective")
        stated = [_body(name, value) for name, value in objective.items()] if isinstance(objective, Mapping) else []
    scratch = str(run.setting("model", "base") or "").startswith("scratch-")
    return [_term(facts, scratch=scratch) for facts in stated if isinstance(facts, Mapping)]


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


def _body(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        return {"name": name, "weight": value}
    known = {"weight", "span", "loss"}
    return {
        "name": name,
        "weight": value.get("weight", 1.0),
        "span": value.get("span"),
        "loss": value.get("loss", name),
        "parameters": {key: held for key, held in value.items() if key not in known},
    }


def _term(facts: Mapping[str, Any], *, scratch: bool) -> Term:
    name = str(facts.get("name"))
    row = LOSSES.get(LOSS_ALIASES.get(name, name))
    given = facts.get("parameters")
    parameters = given if isinstance(given, Mapping) else {}
    weight = facts.get("weight", 1.0)
    return Term(
        name=name,
        weight=float(weight) if isinstance(weight, int | float) else float("nan"),
        reads=_reads(facts, row),
        parameters=", ".join(f"{key} = {_value(value)}" for key, value in _changed(parameters, row)),
        about=row.formula if row else f"a loss of your own: {facts.get('loss', name)}",
        source=row.source if row else "",
        notes=tuple(_notes(facts, parameters, row, scratch=scratch)),
    )


def _reads(facts: Mapping[str, Any], row: LossRow | None) -> str:
    if row is not None and row.reads != "tokens":
        return row.reads
    return span_words(facts.get("span") or (row.span if row else None))


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


def _changed(parameters: Mapping[str, Any], row: LossRow | None) -> list[tuple[str, Any]]:
    defaults = {parameter.name: parameter.default for parameter in row.parameters} if row else {}
    return [(key, value) for key, value in parameters.items() if key not in defaults or defaults[key] != value]


def _value(value: Any) -> str:
    return short(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _product(term: Term) -> str:
    inside = f"{term.reads}; {term.parameters}" if term.parameters else term.reads
    return f"{short(term.weight)} × {term.name}({inside})"
