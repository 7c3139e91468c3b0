"""The label of an inspected record on its page: the class, the answers that are scored, what a model says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.report.figures import number

_SHOWN = 60  # classes


@dataclass(frozen=True)
class ClassRow:
    """One class: whether the record has it, the tokens that are scored for it, and its score of 0 to 100."""

    name: str
    own: bool
    ways: Sequence[Sequence[str]]
    score: str
    width: float | None


@dataclass(frozen=True)
class LabelBlock:
    """The label as words, and a row for each class."""

    kind: str
    label: str
    facts: Sequence[tuple[str, str]]
    rows: Sequence[ClassRow]
    more: int
    scored: bool
    answered: bool


def label_block(found: Mapping[str, Any] | None) -> LabelBlock | None:
    """What the page shows of a label; None where the task has none."""
    if found is None:
        return None
    names = [str(name) for name in found["classes"]]
    scoring: Mapping[str, Any] = found.get("scoring") or {}
    scores: Mapping[str, float] = scoring.get("scores") or {}
    answers: Mapping[str, Sequence[Sequence[str]]] = found.get("answers") or {}
    label = [str(name) for name in found.get("label") or ()]
    rows = [
        ClassRow(
            name,
            name in label,
            answers.get(name) or (),
            number(scores[name], decimals=3) if name in scores else "",
            round(100 * scores[name], 1) if name in scores else None,
        )
        for name in names[:_SHOWN]
    ]
    return LabelBlock(
        kind="label" if found.get("multi_label") else "class",
        label=", ".join(label) or "none",
        facts=_facts(found, scoring, label),
        rows=rows,
        more=max(0, len(names) - _SHOWN),
        scored=bool(scores),
        answered=bool(answers),
    )


def _facts(found: Mapping[str, Any], scoring: Mapping[str, Any], label: Sequence[str]) -> list[tuple[str, str]]:
    facts = [
        ("Label", ", ".join(label) or "none"),
        ("Positive class", str(found.get("positive") or "")),
        ("Weight of the record", "" if found.get("weight") is None else number(found["weight"])),
        ("Second text", "" if found.get("pair_start") is None else f"from token {found['pair_start']} on"),
        ("Cut", str(found.get("cut") or "")),
    ]
    if scoring.get("error"):
        facts.append(("The model", f"gives no class: {scoring['error']}"))
    elif scoring:
        right = "right" if scoring.get("predicted") == ", ".join(label) else "wrong"
        facts.append(("The model says", f"{scoring.get('predicted') or 'nothing'}, which is {right}"))
    if scoring.get("loss") is not None:
        facts.append(("Loss of the label", f"{number(scoring['loss'])} nats"))
    return [(name, value) for name, value in facts if value]
