"""Answers that keep to a JSON schema: only tokens by which one can still be completed are left to choose from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from lossmith.errors import ConfigError, InputError
from lossmith.generate.vocabulary import Vocabulary, vocabulary_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# As templates write JSON (`tojson`): a model is asked for what it was taught, and cannot write blanks without end.
_FORM = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_SIGNS = '{"n": ["", 1]}'
_QUOTE, _ESCAPE, _DIGITS = 0x22, 0x5C, frozenset(b"0123456789")
# Of a whole number of 64 bits. A model that repeats itself would otherwise write one number to the end.
_MOST_DIGITS = 19
# Keywords of JSON Schema that hold schemas: by name, alone, as a list; and those that speak of keys not named.
_NAMED_PARTS = {"properties", "$defs", "definitions"}
_PARTS = {"items", "additionalProperties"}
_LISTED_PARTS = {"anyOf", "oneOf", "prefixItems"}
_OTHER_KEYS = {"additionalProperties", "patternProperties", "unevaluatedProperties", "anyOf", "oneOf", "if", "$ref"}
_KNOWN: WeakKeyDictionary[Any, tuple[int, Any]] = WeakKeyDictionary()


class KeepsToSchema:
    """A restriction by llguidance: an answer is a JSON value of the schema, and ends only where it is whole.

    Keys come in the order of the schema, and only those that it names are written, unless it says what others may be.
    A number has no more digits in a row than 64 bits can tell apart. What is not bounded otherwise (a text without
    maxLength, a list without maxItems) may go on to the limit of new tokens, and is then cut: bounds in the schema, or
    a limit that is large enough, give whole answers always.
    """

    def __init__(self, schema: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
        llguidance = require_llguidance()
        vocabulary = vocabulary_of(tokenizer)
        _check_signs(tokenizer, vocabulary)
        self._size = len(vocabulary)
        written = json.dumps({**closed(schema), "x-guidance": _FORM})
        blank = '" "? ' if vocabulary.blank_first else ""
        grammar = llguidance.LLMatcher.grammar_from_lark(f"start: {blank}answer\nanswer: %json {written}")
        first = llguidance.LLMatcher(_read_tokenizer(tokenizer), grammar, log_level=0)
        if first.is_error():
            raise ConfigError(
                f"data.answer_schema cannot constrain what is generated: {first.get_error().splitlines()[0]}",
                expected="a schema that llguidance knows all keywords of",
                fix="generate.constrained=false, or take the keyword out of the schema",
            )
        self._special = np.zeros(self._size, dtype=bool)
        self._special[sorted(vocabulary.special)] = True
        self._first, self._tokens = _Written(first), vocabulary.tokens
        self._digits = np.array([len(token) - len(token.lstrip(bytes(_DIGITS))) for token in vocabulary.tokens])

    def start(self) -> _Written:
        """The state of an empty answer."""
        return self._first

    def after(self, state: _Written, token: int) -> _Written:
        """A state that has read one token more; the one before stays as it is."""
        following = state.matcher.deep_copy()
        following.consume_token(token)
        return _read(state, self._tokens[token], following)

    def open(self, state: _Written, *, last: bool) -> np.ndarray:
        """The tokens by which an answer of the schema goes on."""
        if state.matcher.is_stopped():
            return np.zeros(self._size, dtype=bool)
        bits = np.zeros((self._size + 31) // 32, dtype=np.int32)
        state.matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        allowed = np.unpackbits(bits.view(np.uint8), bitorder="little")[: self._size].astype(bool) & ~self._special
        if not state.digits:
            return allowed
        shorter = allowed & ((self._digits == 0) | (state.digits + self._digits <= _MOST_DIGITS))
        # A schema that asks for more digits has them.
        return shorter if shorter.any() or self.may_end(state) else allowed

    def may_end(self, state: _Written) -> bool:
        """Whether the answer is whole."""
        return bool(state.matcher.is_accepting())


@dataclass(frozen=True)
class _Written:
    """An answer so far: what may follow it, whether its end is inside a text, and how many digits stand there."""

    matcher: Any
    quoted: bool = False
    escaped: bool = False
    digits: int = 0


def _read(state: _Written, piece: bytes, matcher: Any) -> _Written:
    """The state after the bytes of one token."""
    quoted, escaped, digits = state.quoted, state.escaped, state.digits
    for byte in piece:
        if quoted:
            quoted, escaped = escaped or byte != _QUOTE, not escaped and byte == _ESCAPE
        else:
            quoted = byte == _QUOTE
            digits = digits + 1 if byte in _DIGITS else 0
    return _Written(matcher, quoted, escaped, 0 if quoted else digits)


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema whose objects hold the keys that they name alone, where it does not say what other keys may be.

    Objects that are put together of several schemas stay as they are: each of those names a part of the keys.

    >>> closed({"type": "object", "properties": {"dish": {"type": "string"}}})["additionalProperties"]
    False
    """
    if '"allOf"' in json.dumps(schema):
        return dict(schema)
    found = dict(schema)
    for name in _NAMED_PARTS & set(found):
        found[name] = {key: _closed_part(one) for key, one in found[name].items()}
    for name in _PARTS & set(found):
        found[name] = _closed_part(found[name])
    for name in _LISTED_PARTS & set(found):
        found[name] = [_closed_part(one) for one in found[name]]
    if "properties" in found and not _OTHER_KEYS & set(found):
        found["additionalProperties"] = False
    return found


def _closed_part(part: Any) -> Any:
    return closed(part) if isinstance(part, Mapping) else part


def require_llguidance() -> Any:
    """llguidance; InputError where it is not installed."""
    try:
        import llguidance
    except ImportError as error:
        raise InputError(
            "generate.constrained needs llguidance, which is not installed",
            got=str(error),
            fix="pip install lossmith[structured]",
        ) from None
    return llguidance


def _check_signs(tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary) -> None:
    """Raise ConfigError for a vocabulary that JSON cannot be written in, as T5's, which has no braces."""
    ids = tokenizer(_SIGNS, add_special_tokens=False)["input_ids"]
    written = b"".join(vocabulary.tokens[token] for token in ids).decode("utf-8", errors="replace")
    if written.strip() != _SIGNS:
        lacking = dict.fromkeys(sign for sign in _SIGNS if sign not in written)
        raise ConfigError(
            "the tokenizer has no tokens for the signs of JSON",
            got=f"none for {' '.join(lacking)}" if lacking else f"{_SIGNS} becomes {written.strip()}",
            expected="tokens for braces, brackets, quotes, colons and commas",
            fix=f"model.add_tokens={json.dumps(list(lacking))}, and a training with them" if lacking else None,
        )


def _read_tokenizer(tokenizer: PreTrainedTokenizerBase) -> Any:
    """The tokenizer as llguidance reads it, once for so many tokens: with a large vocabulary that takes a second."""
    known = _KNOWN.get(tokenizer)
    if known is None or known[0] != len(tokenizer):
        backend = copy(tokenizer.backend_tokenizer)
        backend.no_padding()
        backend.no_truncation()
        llguidance = require_llguidance()
        try:
            read = llguidance.LLTokenizer(
                backend.to_str(), n_vocab=len(vocabulary_of(tokenizer)), eos_token=int(tokenizer.eos_token_id)
            )
        except ValueError as error:
            raise ConfigError(
                f"generate.constrained cannot read this tokenizer: {str(error)[:200]}",
                got=type(tokenizer).__name__,
                expected="byte-level BPE, or sentencepiece",
                fix="generate.constrained=false",
            ) from None
        known = _KNOWN[tokenizer] = (len(tokenizer), read)
    return known[1]
