"""A document cut to chunks: windows of sentences, lines, words or tokens, as characters of its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from lossmith.config.data import ChunkConfig
from lossmith.data.leaks import UNSPACED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Interval = tuple[int, int]

_LINE = re.compile(r"[^\r\n]+")
# Scripts without blanks between words count by their characters.
_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
_WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")
_ENCLOSING = re.compile(r'["\u201c-\u201f\u00ab\u00bb\u300c-\u300f(){}\[\]]')
_LONG_SENTENCE = 500  # characters


def find_chunks(text: str, chunks: ChunkConfig, *, tokenizer: PreTrainedTokenizerBase | None = None) -> list[Interval]:
    """Where the chunks of a text are, in order: half-open intervals of its characters, none blank.

    A chunk holds `size` units and shares `overlap` with the one before; the last may be shorter. Blanks at its edges
    are left out. A text without units has no chunk. The time is linear in the text. `tokenizer` gives the units of
    `by: tokens`, and only these.

    >>> text = "Boil it. Salt it. Serve."
    >>> [text[a:b] for a, b in find_chunks(text, ChunkConfig(size=2, overlap=1))]
    ['Boil it. Salt it.', 'Salt it. Serve.']
    """
    if chunks.by == "tokens":
        assert tokenizer is not None, "tokens are those of the encoder's tokenizer"
        units = _tokens(text, tokenizer)
    elif chunks.by == "sentences":
        units = _sentences(text, chunks.language)
    else:
        units = UNITS[chunks.by](text)
    return windows(units, size=chunks.size, overlap=chunks.overlap)


def cutter(chunks: ChunkConfig) -> str:
    """What decides the units beside the configuration and a tokenizer, for fingerprints: the splitter of sentences."""
    return f"sentencex {version('sentencex')}" if chunks.by == "sentences" else chunks.by


def windows(units: Sequence[Interval], *, size: int, overlap: int) -> list[Interval]:
    """From the beginning of the first unit of each window to the end of its last.

    >>> windows([(0, 1), (2, 3), (4, 5), (6, 7)], size=3, overlap=2)
    [(0, 5), (2, 7)]
    """
    if not units:
        return []
    starts = range(0, max(1, len(units) - overlap), size - overlap)
    return [(units[first][0], units[min(first + size, len(units)) - 1][1]) for first in starts]


def _sentences(text: str, language: str) -> list[Interval]:
    # The splitter takes single bytes of wide blanks for characters and stops; to it they are blanks like any other.
    plain = text if text.isascii() else _WIDE_SPACE.sub(" ", text)
    found: list[Interval] = []
    for start, end in _split(plain, language):
        if end - start <= _LONG_SENTENCE:
            found.append((start, end))
            continue
        # It keeps together what stands in quotes and brackets; one that was never closed would take the rest with it.
        inner = _split(_ENCLOSING.sub(" ", plain[start:end]), language)
        found += [(start + first, start + last) for first, last in inner]
    return _trimmed(text, found)


def _split(text: str, language: str) -> list[Interval]:
    from sentencex import get_sentence_boundaries

    return [(one["start_index"], one["end_index"]) for one in get_sentence_boundaries(language, text)]


def _lines(text: str) -> list[Interval]:
    return _trimmed(text, (found.span() for found in _LINE.finditer(text)))


def _words(text: str) -> list[Interval]:
    return [found.span() for found in _WORD.finditer(text)]


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> list[Interval]:
    found = tokenizer(
        text,
        add_special_tokens=False,
        truncation=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return _trimmed(text, found["offset_mapping"])


def _trimmed(text: str, intervals: Iterable[Interval]) -> list[Interval]:
    """The intervals without blanks at their edges; those of blanks alone are left out."""
    kept = []
    for start, end in intervals:
        own = text[start:end]
        if inner := own.strip():
            begin = start + len(own) - len(own.lstrip())
            kept.append((begin, begin + len(inner)))
    return kept


UNITS: Mapping[str, Callable[[str], list[Interval]]] = {"lines": _lines, "words": _words}
