"""The objective of a run, term by term, with the formula of each loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.names import LOSSES, UNITS
from lossmith.release.card.markdown import number, section, table


def objective_section(manifest: Mapping[str, Any]) -> str:
    """The weighted sum, what each term reads, and its formula."""
    terms: Sequence[Mapping[str, Any]] = manifest.get("objective") or ()
    rows = [_row(term) for term in terms if term.get("weight")]
    if not rows:
        return ""
    total = " + ".join(f"{number(term['weight'])} × {term['name']}" for term in terms if term.get("weight"))
    return section("Objective", f"Training minimised `{total}`.", table(rows), _own(terms), _counted(terms))


def _row(term: Mapping[str, Any]) -> dict[str, Any]:
    row = LOSSES.get(term["loss"])
    span = " and ".join(term.get("span") or ())
    return {
        "term": f"`{term['name']}`",
        "weight": term["weight"],
        "reads": span or (row.reads if row else "answer"),
        "formula": f"`{row.formula}`" if row else f"a loss of its own: `{term['loss']}`",
        "mean over": UNITS.get(term["unit"], term["unit"]),
        "settings": ", ".join(f"{name} = {_told(value)}" for name, value in term.get("parameters", {}).items()) or "-",
        "source": row.source if row else "-",
        **({"task": term["task"]} if term.get("task") else {}),
    }


def _told(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(number, value))}]"
    return number(value)


def _own(terms: Sequence[Mapping[str, Any]]) -> str:
    own = [f"`{term['loss']}` (code {term['code']})" for term in terms if term.get("code")]
    return f"The code of {', '.join(own)} is not part of lossmith." if own else ""


def _counted(terms: Sequence[Mapping[str, Any]]) -> str:
    told = [
        f"`{one['parameter']}` of `{term['name']}` was counted on the {one['split']} split by the rule {one['rule']}."
        for term in terms
        for one in term.get("counted") or ()
    ]
    return " ".join(told)
