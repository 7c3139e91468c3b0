"""One record as the model sees it, token by token, for people to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lossmith.config.data import Truncation
from lossmith.data.encode import JOINED, Sides, encode_layout
from lossmith.data.head_inputs import encode_input, lay_out_inputs
from lossmith.data.rendered import Encoded, HeadText, Rendered
from lossmith.spans.tokens import Offsets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>\Z")


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token of a record.

    `text` are its characters of the record; the texts of all tokens join to the record's text as far as it was kept.
    Of tokens that share a character the first holds it and `bytes` shows, in hexadecimal, which bytes of it are each
    one's. A token that stands for no text (BOS, EOS) shows its own name and has `start == end`. `role` is that of the
    message whose content it is part of, else "template"; `spans` are (name, item), the outer before the inner.
    """

    id: int
    text: str
    bytes: str | None
    start: int
    end: int
    role: str
    supervised: bool
    spans: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Described:
    """A record with its tokens; `tokens` are one to one with `encoded.input_ids`."""

    rendered: Rendered | HeadText
    encoded: Encoded
    tokens: list[TokenView]


def describe(
    rendered: Rendered | HeadText,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    truncation: Truncation = "drop",
    predicting: bool = False,
    roles: Sequence[tuple[str, int, int]] | None = None,
    sides: Sides = JOINED,
) -> Described:
    """Every token that a template's `encode` keeps of a record, with what it is.

    `roles` are (role, start, end) in characters, from the template's `roles`; without them the two roles are "prompt"
    and "answer". Raises RecordError and DataError as `encode` does.
    """
    limits: dict[str, Any] = {"max_length": max_length, "truncation": truncation, "predicting": predicting}
    if isinstance(rendered, HeadText):
        inputs = lay_out_inputs([rendered], tokenizer)[0]
        encoded, kept = encode_input(rendered, inputs, **limits)
        offsets, edge = inputs.offsets, len(rendered.text)
    else:
        layout = sides.lay_out([rendered], tokenizer)[0]
        encoded, kept = encode_layout(rendered, layout, **limits, sides=sides)
        offsets, edge = layout.offsets, len(rendered.prompt)
    names = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    if roles is None:
        roles = [("prompt", 0, edge), ("answer", edge, len(rendered.text))]
    pieces = _pieces(rendered.text, offsets, kept)
    tokens = []
    for index, (token, name, (text, start, end, shared)) in enumerate(
        zip(encoded.input_ids, names, pieces, strict=True)
    ):
        added = start == end and not text and not shared
        tokens.append(
            TokenView(
                id=token,
                text=str(name) if added else text,
                bytes=_bytes_of(str(name)) if shared else None,
                start=start,
                end=end,
                role=next((role for role, a, b in roles if start < b and a < max(end, start + 1)), "template"),
                supervised=any(a <= index < b for a, b in encoded.supervised),
                spans=tuple((s.name, s.item) for s in encoded.spans if s.start <= index < s.end),
            )
        )
    return Described(rendered, encoded, tokens)


def _pieces(text: str, offsets: Offsets, kept: Sequence[int]) -> Iterator[tuple[str, int, int, bool]]:
    """For every kept token its own characters, its start and end, and whether it shares them with a neighbour."""
    pairs = offsets.tolist()
    last, before = None, -1
    for index in kept:
        start, end = pairs[index]
        shared = any(
            0 <= other < len(pairs) and end > start and pairs[other] == [start, end] for other in (index - 1, index + 1)
        )
        if index > before + 1:
            last = start  # what was cut is not shown
        before = index
        begin = start if last is None else last
        if end > begin:
            yield text[begin:end], start, end, shared
            last = end
        else:
            yield "", start, end, shared


def _bytes_of(token: str) -> str | None:
    """The bytes that a token of a byte-level or byte-fallback vocabulary stands for."""
    if found := _BYTE.match(token):
        return found.group(1).lower()
    alphabet = _byte_alphabet()
    if all(character in alphabet for character in token):
        return bytes(alphabet[character] for character in token).hex(" ")
    return None


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """Character to byte as byte-level BPE writes bytes: printable Latin-1 as itself, the others from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
