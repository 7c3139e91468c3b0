"""How one record's tokens look in a terminal; marks carry all that colours do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.cli.inspect_chunks import print_document
from lossmith.cli.inspect_labels import print_labelled
from lossmith.cli.visible_text import visible
from lossmith.doctor.inspection import Batch, Inspection, Position, Token
from lossmith.doctor.round_trip import Comparison

_STYLES: Mapping[str, str] = {
    "text": "cyan",
    "pair": "blue",
    "system": "blue",
    "user": "cyan",
    "prompt": "cyan",
    "source": "cyan",
    "assistant": "yellow",
    "template": "bright_black",
    "special": "bright_black",
    "answer": "green",
    "target": "green",
    "end": "magenta",
}
_SPAN_STYLE = "yellow"
_FOLDED_CHARACTERS, _HEAD_CHARACTERS, _TAIL_CHARACTERS = 480, 220, 140
_FOLDED_ROWS, _HEAD_ROWS, _TAIL_ROWS = 12, 4, 4


def print_inspection(found: Inspection, *, whole: bool = False) -> None:
    """The record: its text by role, its tokens as a table, and whether ids lead back to text; or its chunks.

    Without `whole`, long stretches that are not learned are folded.
    """
    console = Console(highlight=False)
    place = f"{found.split} split" if found.split else "in no split"
    times = f", written {found.copies} times" if found.copies > 1 else ""
    console.print(Text(f"record {visible(found.record)}", style="bold"), Text(f"{place}{times}"))
    if found.reason is not None:
        _say(console, f"! {visible(found.reason)}", style="bold red")
    if found.document is not None:
        print_document(console, found, whole=whole)
    if found.tokens:
        letters = {term.name: chr(ord("a") + n) if n < 26 else f"t{n}" for n, term in enumerate(found.terms)}
        console.print(_legend(found, letters), "")
        console.print(_flow(found.tokens, whole=whole), "")
        console.print(_table(found, letters, whole=whole), "")
        if found.labelled is not None:
            print_labelled(console, found.labelled)
        _conclude(console, found, letters)
    for note in found.notes:
        _say(console, f"note: {note}")


def print_batch(found: Inspection, *, whole: bool = False) -> None:
    """The collated batch: shapes, then each position with the hidden state that is read and the label it predicts."""
    batch = found.batch
    assert batch is not None
    console = Console(highlight=False)
    console.print()
    shapes = _grid(("tensor", "left"), ("shape", "left"), ("holds", "left"))
    told = {
        "mask": f"{sum(batch.mask)} of {len(batch.mask)} hidden states predict a label",
        "labels": _labels_told(batch),
        "targets": "what the decoder writes",
        "decoder_input_ids": "what it is fed: its first token, then the targets up to the last",
        "attention_mask": f"{sum(batch.attention_mask)} tokens, no padding",
        "token_type_ids": "which of the two texts a token is of",
    }
    for name, shape in batch.shapes.items():
        shapes.add_row(name, str(shape), told.get(name, ""))
    console.print(shapes, "")
    if not batch.positions:
        return
    names = [name for name, _ in batch.positions[0].spans]
    lossy = [("loss", "right")] if found.mean_loss is not None else []
    heads = [("position", "right"), ("hidden at", "right"), ("token there", "left"), ("predicts", "right")]
    table = _grid(*heads, ("id", "right"), ("label", "left"), *((name, "right") for name in names), *lossy)
    left_out = 0 if whole else max(0, len(batch.positions) - 2 * _FOLDED_ROWS)
    for number, at in enumerate(batch.positions):
        if left_out and number == _FOLDED_ROWS:
            table.add_row("…", "", f"{left_out} more (--all)")
        if left_out and _FOLDED_ROWS <= number < _FOLDED_ROWS + left_out:
            continue
        there = found.tokens[at.token]
        cells = [str(at.position), str(at.hidden), _read_at(found, at), str(there.index), str(at.label), _quoted(there)]
        cells += [str(item) if item >= 0 else "" for _, item in at.spans]
        table.add_row(*(Text(cell) for cell in cells), *([_number(there.loss)] if lossy else []))
    console.print(table)


def _labels_told(batch: Batch) -> str:
    if not batch.positions:
        return "the label, as the head has it"
    return "the token after each marked hidden state" if batch.targets is None else "the targets that are learned"


def _read_at(found: Inspection, at: Position) -> str:
    """What stands where a hidden state is read: a token, or what the decoder is fed there."""
    assert found.batch is not None
    fed = found.batch.decoder_input_ids
    if fed is None:
        return _quoted(found.tokens[at.hidden])
    return f"begins (id {fed[0]})" if at.hidden == 0 else _quoted(found.tokens[at.token - 1])


def _legend(found: Inspection, letters: Mapping[str, str]) -> Text:
    legend = Text("roles: ")
    for role in dict.fromkeys(token.role for token in found.tokens):
        legend.append(role, _style(role, supervised=False)).append("  ")
    if any(token.supervised for token in found.tokens):
        legend.append("\n* ").append("learned", "bold underline").append(" (supervised)")
    else:
        legend.append("\nno token is learned: a head answers")
    if any(token.spans for token in found.tokens):
        legend.append("   ").append("⟦name#item ", _SPAN_STYLE).append("…").append("⟧", _SPAN_STYLE).append(" span")
    legend.append("   · blank  ↵ new line  ⇥ tab")
    if any(token.bytes for token in found.tokens):
        legend.append("  ‹c3› bytes of a split character")
    for term in found.terms:
        reads = ", ".join(term.span)
        legend.append(f"\nterm {letters[term.name]}: {term.name}, weight {term.weight:g}, reads {reads}: ")
        legend.append(f"{term.positions} {_what(found)}")
    return legend


def _what(found: Inspection) -> str:
    return "positions" if found.supervised else "outputs"


@dataclass(frozen=True)
class _Fold:
    """Tokens that are not shown."""

    count: int


def _flow(tokens: Sequence[Token], *, whole: bool) -> Table:
    """The text, a row for each stretch of one role that is learned or not as a whole."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1, style="bold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for (role, supervised), run in groupby(tokens, key=_stretch):
        text = Text()
        open_spans: list[tuple[str, int]] = []
        for token in _fold_text(list(run), keep=whole or supervised):
            if isinstance(token, _Fold):
                _change_spans(text, open_spans, ())
                text.append(f" … {token.count} tokens folded (--all shows them) … ", "italic")
                continue
            _change_spans(text, open_spans, token.spans)
            text.append(_shown(token).replace("↵", "↵\n"), _style(role, supervised=supervised))
        _change_spans(text, open_spans, ())
        if text.plain.endswith("\n"):
            text.right_crop(1)
        table.add_row("*" if supervised else "", Text(role, _style(role, supervised=False)), text)
    return table


def _stretch(token: Token) -> tuple[str, bool]:
    """What one row of the text holds together: what a chat template writes is one, its special tokens among it."""
    return ("template" if token.role == "special" else token.role), token.supervised


def _change_spans(text: Text, held: list[tuple[str, int]], now: Sequence[tuple[str, int]]) -> None:
    """Close the spans that end here and open those that begin; what was opened last is closed first."""
    common = 0
    while common < min(len(held), len(now)) and held[common] == now[common]:
        common += 1
    text.append("⟧" * (len(held) - common), _SPAN_STYLE)
    for name, item in now[common:]:
        text.append(f"⟦{name}#{item} ", _SPAN_STYLE)
    held[:] = now


def _fold_text(run: list[Token], *, keep: bool) -> Iterator[Token | _Fold]:
    if keep or sum(len(token.text) for token in run) <= _FOLDED_CHARACTERS:
        yield from run
        return
    head = _tokens_within(run, _HEAD_CHARACTERS)
    tail = _tokens_within(run[::-1], _TAIL_CHARACTERS)
    yield from run[:head]
    yield _Fold(len(run) - head - tail)
    yield from run[len(run) - tail :]


def _tokens_within(run: Sequence[Token], characters: int) -> int:
    """How many tokens of the beginning hold that many characters, fewer than half of them."""
    held = 0
    for count, token in enumerate(run):
        held += len(token.text)
        if held > characters or count >= len(run) // 2:
            return count
    return 0


def _table(found: Inspection, letters: Mapping[str, str], *, whole: bool) -> Table:
    lossy = any(token.loss is not None for token in found.tokens)
    heads = [("token", "right"), ("id", "right"), ("text", "left"), ("role", "left"), ("*", "left")]
    table = _grid(*heads, ("spans", "left"), ("terms", "left"), *([("loss", "right")] if lossy else []))
    for token in _fold_rows(found.tokens, whole=whole):
        if isinstance(token, _Fold):
            table.add_row("…", "", f"{token.count} tokens folded (--all shows them)")
            continue
        style = _style(token.role, supervised=False)
        cells = [
            Text(str(token.index)),
            Text(str(token.id)),
            Text(_shown(token, blanks=True), style),
            Text(token.role, style),
            Text("*" if token.supervised else ""),
            Text(" ".join(f"{name}#{item}" for name, item in token.spans)),
            Text("".join(letters[name] for name in token.terms)),
        ]
        table.add_row(*cells, *([Text(_number(token.loss))] if lossy else []))
    return table


def _fold_rows(tokens: Sequence[Token], *, whole: bool) -> Iterator[Token | _Fold]:
    for supervised, group in groupby(tokens, key=lambda token: token.supervised):
        run = list(group)
        if whole or supervised or len(run) <= _FOLDED_ROWS:
            yield from run
            continue
        yield from run[:_HEAD_ROWS]
        yield _Fold(len(run) - _HEAD_ROWS - _TAIL_ROWS)
        yield from run[-_TAIL_ROWS:]


def _conclude(console: Console, found: Inspection, letters: Mapping[str, str]) -> None:
    if found.answer is not None:
        _judge(console, found.answer, "the supervised tokens decode to the answer and its end of turn")
    if found.text is not None:
        _judge(console, found.text, "all tokens decode to the rendered text")
    for sentence in found.disagreements:
        _say(console, f"! {visible(sentence)}", style="bold red")
    read = ", ".join(f"{letters[term.name]} {term.name} {term.positions}" for term in found.terms)
    learned = f"supervised {found.supervised}, read by {read}" if found.supervised else f"outputs read by {read}"
    _say(console, f"tokens {len(found.tokens)}, {learned}")
    unread = sum(token.supervised and not token.terms for token in found.tokens)
    if unread:
        _say(console, f"! {unread} supervised tokens are read by no term", style="bold")
    if found.mean_loss is not None:
        _say(console, f"mean loss {found.mean_loss:.4g} nats over {found.supervised} tokens")


def _judge(console: Console, compared: Comparison, sentence: str) -> None:
    if compared.ok:
        _say(console, f"round trip: yes, {sentence}", style="green")
        return
    _say(console, f"round trip: NO, not so that {sentence}", style="bold red")
    _say(console, f"  {compared.difference}")


def _grid(*heads: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in heads:
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    return table


def _say(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style))


def _style(role: str, *, supervised: bool) -> str:
    return f"{'bold underline ' if supervised else ''}{_STYLES.get(role, 'cyan')}"


def _shown(token: Token, *, blanks: bool = False) -> str:
    text = visible(token.text, blanks=blanks)
    if token.bytes is not None:
        return f"{text}‹{token.bytes}›"
    return text if text or not blanks else "∅"


def _quoted(token: Token) -> str:
    return _shown(token, blanks=True)


def _number(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.3f}"
