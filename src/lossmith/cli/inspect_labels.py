"""How a record's label looks in a terminal: its class, the answers that are scored, what a model says of it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.cli.visible_text import visible
from lossmith.doctor.label_facts import Labelled, Scoring

_LISTED = 30  # classes


def print_labelled(console: Console, labelled: Labelled) -> None:
    """The label, then each class with the tokens that are scored for it and its score, where there are."""
    console.print(Text(f"label: {_label(labelled)}", style="bold"))
    if labelled.weight is not None:
        console.print(Text(f"weight: {labelled.weight:g}, which train.sampler=weighted draws by"))
    if labelled.pair_start is not None:
        console.print(Text(f"the second text begins at token {labelled.pair_start}"))
    if labelled.cut is not None:
        console.print(Text(f"! {labelled.cut}", style="bold"))
    scoring = labelled.scoring
    if labelled.answers or (scoring is not None and scoring.scores):
        console.print(_table(labelled), "")
    if scoring is not None:
        console.print(Text(_said(scoring, labelled)), "")


def _label(labelled: Labelled) -> str:
    names = ", ".join(map(visible, labelled.label)) or ("none of them" if labelled.multi_label else "none")
    kinds = "labels" if labelled.multi_label else "classes"
    shown = ", ".join(map(visible, labelled.classes[:_LISTED])) + (", …" if len(labelled.classes) > _LISTED else "")
    positive = f"; positive: {visible(labelled.positive)}" if labelled.positive is not None else ""
    return f"{names} (of {len(labelled.classes)} {kinds}: {shown}{positive})"


def _table(labelled: Labelled) -> Table:
    scores = labelled.scoring.scores if labelled.scoring is not None else {}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("label" if labelled.multi_label else "class")
    if labelled.answers:
        table.add_column("scored by these tokens", overflow="fold")
    if scores:
        table.add_column("score", justify="right")
    for name in labelled.classes[:_LISTED]:
        ways = " or ".join(
            " ".join(f"[{visible(piece, blanks=True)}]" for piece in way) for way in labelled.answers.get(name, ())
        )
        cells = ["*" if name in labelled.label else "", visible(name), *([ways] if labelled.answers else [])]
        table.add_row(*(Text(cell) for cell in cells), *([Text(f"{scores[name]:.3f}")] if scores else []))
    return table


def _said(scoring: Scoring, labelled: Labelled) -> str:
    if scoring.error is not None:
        return f"! the model gives no class: {visible(scoring.error)}"
    right = "right" if scoring.predicted == ", ".join(labelled.label) else "wrong"
    loss = f"; loss of the label {scoring.loss:.4g} nats" if scoring.loss is not None else ""
    return f"the model says {visible(scoring.predicted or 'nothing')}, which is {right}{loss}"
