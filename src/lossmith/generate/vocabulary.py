"""The bytes that each token of a tokenizer stands for, and those that stand for none."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BLANK = "▁"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """`tokens` by id: what a token adds to a text, empty for special ones, which a decoded text leaves out.

    With `blank_first` the first token of a text begins with a blank that decoding takes away.
    """

    tokens: tuple[bytes, ...]
    special: frozenset[int]
    blank_first: bool = False

    def __len__(self) -> int:
        return len(self.tokens)


_KNOWN: WeakKeyDictionary[Any, Vocabulary] = WeakKeyDictionary()


def vocabulary_of(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """The bytes of every token, found once for a tokenizer of so many tokens.

    Byte-level BPE, sentencepiece (with byte fallback or without) and word pieces are told apart by how the tokenizer
    decodes.
    """
    known = _KNOWN.get(tokenizer)
    if known is None or len(known) != _size(tokenizer):
        known = _KNOWN[tokenizer] = _read(tokenizer)
    return known


def _size(tokenizer: Any) -> int:
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def _read(tokenizer: Any) -> Vocabulary:
    tokens = [b""] * _size(tokenizer)
    added = {token: str(one.content) for token, one in tokenizer.added_tokens_decoder.items()}
    special = frozenset(int(token) for token in tokenizer.all_special_ids) | {
        token for token, one in tokenizer.added_tokens_decoder.items() if one.special
    }
    read = _reader(tokenizer)
    for text, token in tokenizer.get_vocab().items():
        if token not in special:
            tokens[token] = added[token].encode() if token in added else read(text)
    begun = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    return Vocabulary(tuple(tokens), special, bool(begun) and tokens[begun[0]][:1] == b" ")


def _reader(tokenizer: Any) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.loads(backend.to_str()).get("decoder") if backend is not None else {"type": "Metaspace"}
    kinds = _kinds(decoder)
    if "ByteLevel" in kinds:
        return _of_byte_level
    if kinds & {"Metaspace", "ByteFallback"} or _BLANK in json.dumps(decoder, ensure_ascii=False):
        return _of_sentencepiece
    prefix = (decoder or {}).get("prefix")
    # Decoding puts a blank between tokens, but before those that go on with a word.
    return lambda text: text[len(prefix) :].encode() if prefix and text.startswith(prefix) else f" {text}".encode()


def _kinds(decoder: dict[str, Any] | None) -> set[str]:
    if decoder is None:
        return set()
    return {decoder["type"]}.union(*(_kinds(one) for one in decoder.get("decoders", ())))


def _of_byte_level(text: str) -> bytes:
    # What is no sign of a byte was added to the vocabulary as it is.
    return bytes(_BYTE_OF[sign] for sign in text) if all(sign in _BYTE_OF for sign in text) else text.encode()


def _of_sentencepiece(text: str) -> bytes:
    if single := _BYTE.fullmatch(text):
        return bytes([int(single[1], 16)])
    return text.replace(_BLANK, " ").encode()


def _byte_signs() -> dict[str, int]:
    """The printable sign of each byte in byte-level vocabularies, as GPT-2 brought them about."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTE_OF = _byte_signs()
