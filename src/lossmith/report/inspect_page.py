"""What the model sees of one record, token by token, as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lossmith.report.document import render
from lossmith.report.figures import number, percent
from lossmith.report.inspect_document import document_block
from lossmith.report.inspect_label import label_block
from lossmith.report.objective_words import span_words
from lossmith.report.palette import series
from lossmith.report.safe_text import plain, with_blanks
from lossmith.runs import write_text

_SHOWN = 20_000  # tokens drawn
_LISTED = 2_000  # tokens in the table
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_ROLES = ("prompt", "source", "text", "pair", "answer", "target", "end", "special", "padding")


@dataclass(frozen=True)
class Band:
    """One span over one token: its lane below the text, and whether an item begins or ends here."""

    lane: int
    colour: str
    begins: bool
    ends: bool


@dataclass(frozen=True)
class Token:
    """One token as it is drawn."""

    index: int
    classes: str
    text: Markup
    loss_share: float | None
    bands: Sequence[Band]
    breaks: bool


def write_inspection(inspection: Mapping[str, Any], out: Path) -> Path:
    """Write the page of what `lossmith inspect` found for one record; returns the file's path.

    `inspection`: record, split, tokens (index, id, text, role, supervised, spans of name and item, terms, loss or
    None, start, end), spans (names), terms (name, weight, span, positions), round_trip (ok, supervised_text, target),
    classification (what `doctor.label_facts.Labelled` holds, None for other tasks), document (text, pair, cut, and
    chunks of start, end and text, in place of tokens, None for other tasks).
    """
    tokens: Sequence[Mapping[str, Any]] = inspection["tokens"]
    lanes = _lanes(tokens, inspection.get("spans") or ())
    shown = tokens[:_SHOWN]
    write_text(
        out,
        render(
            "inspect.html.j2",
            {
                "title": f"Record {inspection['record']}",
                "split": inspection.get("split") or "",
                "counts": _counts(tokens),
                "tokens": _drawn(shown, lanes),
                "left_out": len(tokens) - len(shown),
                "facts": [_facts(token) for token in shown],
                "rows": [_row(token) for token in tokens[:_LISTED]],
                "rows_left_out": max(0, len(tokens) - _LISTED),
                "spans": _span_rows(tokens, lanes),
                "terms": _term_rows(inspection.get("terms") or (), tokens),
                "lanes": len(lanes),
                "losses": _loss_range(tokens),
                "roles": list(dict.fromkeys(_role(token) for token in tokens)),
                "round_trip": inspection.get("round_trip"),
                "label": label_block(inspection.get("classification")),
                "document": document_block(inspection.get("document")),
            },
        ),
    )
    return out


def visible(text: str) -> tuple[Markup, bool]:
    """A token's text with its white space to be seen, and whether the token is only part of a character.

    >>> str(visible(" salt")[0]), visible(chr(0xFFFD))[1]
    ('<span class="space">·</span>salt', True)
    """
    partial = "\ufffd" in text or bool(_BYTE.fullmatch(text))
    if not text:
        return Markup('<span class="space">∅</span>'), partial
    return with_blanks(text), partial


def _lanes(tokens: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[tuple[str, int], int]:
    """A lane for every span name, and one more for each depth to which items of one name nest."""
    depth: dict[str, int] = dict.fromkeys(names, 1)
    for token in tokens:
        for name, times in Counter(span["name"] for span in token["spans"]).items():
            depth[name] = max(depth.get(name, 1), times)
    places = [(name, level) for name, levels in depth.items() for level in range(levels)]
    return {place: lane for lane, place in enumerate(places)}


def _drawn(tokens: Sequence[Mapping[str, Any]], lanes: Mapping[tuple[str, int], int]) -> list[Token]:
    highest = max((token["loss"] for token in tokens if token.get("loss") is not None), default=0.0)
    names = list(dict.fromkeys(name for name, _ in lanes))
    held = [_items(token) for token in tokens]
    drawn = []
    for place, token in enumerate(tokens):
        text, partial = visible(str(token["text"]))
        before = held[place - 1] if place else frozenset()
        after = held[place + 1] if place + 1 < len(held) else frozenset()
        level: Counter[str] = Counter()
        bands = []
        for name, item in sorted(held[place]):
            bands.append(
                Band(
                    lanes[name, level[name]],
                    series(names.index(name)),
                    (name, item) not in before,
                    (name, item) not in after,
                )
            )
            level[name] += 1
        role = _role(token)
        loss = token.get("loss")
        drawn.append(
            Token(
                index=place,
                classes=" ".join(
                    ["tok", str(role), *(["sup"] if token["supervised"] else []), *(["partial"] if partial else [])]
                ),
                text=text,
                loss_share=None if loss is None or highest <= 0 else round(max(0.0, loss) / highest, 3),
                bands=bands,
                breaks="\n" in str(token["text"]) or _target_follows(tokens, place),
            )
        )
    return drawn


def _target_follows(tokens: Sequence[Mapping[str, Any]], place: int) -> bool:
    """Whether the source ends here: what a decoder of its own writes is another text."""
    roles = [_role(token) for token in tokens[place : place + 2]]
    return roles[1:] == ["target"] != roles[:1]


def _role(token: Mapping[str, Any]) -> str:
    return str(token["role"]) if token.get("role") in _ROLES else "prompt"


def _items(token: Mapping[str, Any]) -> frozenset[tuple[str, int]]:
    return frozenset((str(span["name"]), int(span["item"])) for span in token["spans"])


def _facts(token: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the hover tells of a token."""
    reads = ", ".join(str(term) for term in token["terms"]) or "no term reads it"
    spans = ", ".join(f"{span['name']} (item {span['item']})" for span in token["spans"]) or "none"
    facts = [
        ("token", f"{token['index']}, id {token['id']}, {_quoted(token)}"),
        ("role", f"{token.get('role', '')}, {'supervised' if token['supervised'] else 'not supervised'}"),
        ("read by", reads),
        ("spans", spans),
    ]
    if token.get("loss") is not None:
        facts.append(("loss", f"{number(token['loss'])} nats"))
    return [(name, plain(fact)) for name, fact in facts]


def _row(token: Mapping[str, Any]) -> tuple[str, ...]:
    start, end = token.get("start"), token.get("end")
    return (
        str(token["index"]),
        str(token["id"]),
        _quoted(token),
        str(token.get("role", "")),
        "yes" if token["supervised"] else "no",
        ", ".join(f"{span['name']} {span['item']}" for span in token["spans"]),
        ", ".join(str(term) for term in token["terms"]),
        number(token.get("loss")),
        "" if start is None else f"{start} to {end}",
    )


def _quoted(token: Mapping[str, Any]) -> str:
    """A token's text in quotes, with escapes for white space."""
    text = str(token["text"]).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f"“{text}”"


def _counts(tokens: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    roles = Counter(str(token.get("role", "")) for token in tokens)
    supervised = sum(bool(token["supervised"]) for token in tokens)
    unread = sum(token["supervised"] and not token["terms"] for token in tokens)
    share = percent(supervised / len(tokens)) if tokens else percent(None)
    rows = [
        ("Tokens", f"{len(tokens):,} ({', '.join(f'{role} {held:,}' for role, held in roles.items())})"),
        ("Supervised", f"{supervised:,} ({share})"),
    ]
    if unread:
        rows.append(("Supervised and read by no term", f"{unread:,}"))
    return rows


def _span_rows(
    tokens: Sequence[Mapping[str, Any]], lanes: Mapping[tuple[str, int], int]
) -> list[tuple[str, str, str, str]]:
    """Name, colour, items and tokens of each span."""
    rows = []
    for index, name in enumerate(dict.fromkeys(name for name, _ in lanes)):
        items = {item for token in tokens for held, item in _items(token) if held == name}
        length = sum(any(held == name for held, _ in _items(token)) for token in tokens)
        rows.append((name, series(index), f"{len(items):,}", f"{length:,}"))
    return rows


def _term_rows(terms: Sequence[Mapping[str, Any]], tokens: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for term in terms:
        name = str(term["name"])
        positions = term.get("positions")
        if positions is None:
            positions = sum(name in token["terms"] for token in tokens)
        rows.append((name, f"{term['weight']:g}", span_words(term.get("span")), f"{positions:,}"))
    return rows


def _loss_range(tokens: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Mean and highest loss of the tokens that have one."""
    losses = [token["loss"] for token in tokens if token.get("loss") is not None]
    return (number(sum(losses) / len(losses)), number(max(losses))) if losses else None
