"""How the chunks of one record look in a terminal: a row for each, with its characters and its text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.cli.inspect_labels import print_labelled
from lossmith.cli.visible_text import visible
from lossmith.doctor.inspection import Document, Inspection

_FOLDED_ROWS, _HEAD_ROWS, _TAIL_ROWS = 24, 12, 8
_FOLDED_CHARACTERS = 240


def print_document(console: Console, found: Inspection, *, whole: bool) -> None:
    """The criterion, the chunks as a table, the label, and which terms read what.

    Without `whole`, chunks in the middle and the middle of long ones are folded.
    """
    document = found.document
    assert document is not None
    if document.pair is not None:
        console.print(Text(f"criterion: {visible(document.pair)}", "blue"))
    cut = document.cut
    shared = f", {cut['overlap']} shared with the one before" if cut["overlap"] else ""
    told = f"{len(document.chunks)} chunks of {cut['size']} {cut['by']}{shared}"
    console.print(Text(f"{len(document.text):,} characters, {told}"))
    if document.chunks:
        console.print(_table(document, whole=whole), "")
    if found.labelled is not None:
        print_labelled(console, found.labelled)
    for sentence in found.disagreements:
        console.print(Text(f"! {visible(sentence)}", "bold red"))
    for term in found.terms:
        reads = "queries" if term.span == ("queries",) else "outputs" if term.positions > 1 else "output"
        console.print(Text(f"term {term.name}, weight {term.weight:g}, reads {term.positions} {reads}"))


def _table(document: Document, *, whole: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("chunk", "from", "to", "characters"):
        table.add_column(name, justify="right")
    table.add_column("text", overflow="fold")
    count = len(document.chunks)
    folded = 0 if whole or count <= _FOLDED_ROWS else count - _HEAD_ROWS - _TAIL_ROWS
    for number, (start, end) in enumerate(document.chunks):
        if folded and number == _HEAD_ROWS:
            table.add_row("…", "", "", "", f"{folded} chunks folded (--all shows them)")
        if not folded or not _HEAD_ROWS <= number < _HEAD_ROWS + folded:
            text = visible(_short(document.text[start:end], whole=whole))
            table.add_row(str(number), str(start), str(end), str(end - start), Text(text, "cyan"))
    return table


def _short(text: str, *, whole: bool) -> str:
    if whole or len(text) <= _FOLDED_CHARACTERS:
        return text
    return f"{text[: _FOLDED_CHARACTERS * 2 // 3]} … {text[-_FOLDED_CHARACTERS // 3 :]}"
