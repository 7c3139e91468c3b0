"""Answers that keep to a JSON schema: only tokens by which one can still be completed are left to choose from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
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
_KNOWN: WeakKeyDictionary[Any, tuple[int, Any]] = WeakKeyDictionary()


class KeepsToSchema:
    """A restriction by llguidance: an answer is a JSON value of the schema, and ends only where it is whole.

    Keys come in the order of the schema. What is not bounded (a text without maxLength, a list without maxItems) may
    go on to the limit of new tokens, and is then cut: bounds in the schema, or a limit that is large enough, give whole
    answers always.
    """

    def __init__(self, schema: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> None:
        llguidance = require_llguidance()
        vocabulary = vocabulary_of(tokenizer)
        _check_signs(tokenizer, vocabulary)
        self._size = len(vocabulary)
        written = json.dumps({**schema, "x-guidance": _FORM})
        blank = '" "? ' if vocabulary.blank_first else ""
        grammar = llguidance.LLMatcher.grammar_from_lark(f"start: {blank}answer\nanswer: %json {written}")
        self._first = llguidance.LLMatcher(_read_tokenizer(tokenizer), grammar, log_level=0)
        if self._first.is_error():
            raise ConfigError(
                f"data.answer_schema cannot constrain what is generated: {self._first.get_error().splitlines()[0]}",
                expected="a schema that llguidance knows all keywords of",
                fix="generate.constrained=false, or take the keyword out of the schema",
            )
        self._special = np.zeros(self._size, dtype=bool)
        self._special[sorted(vocabulary.special)] = True

    def start(self) -> Any:
        """The matcher of an empty answer."""
        return self._first

    def after(self, state: Any, token: int) -> Any:
        """A matcher that has read one token more; the one before stays as it is."""
        following = state.deep_copy()
        following.consume_token(token)
        return following

    def open(self, state: Any, *, last: bool) -> np.ndarray:
        """The tokens by which an answer of the schema goes on."""
        if state.is_stopped():
            return np.zeros(self._size, dtype=bool)
        bits = np.zeros((self._size + 31) // 32, dtype=np.int32)
        state.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        allowed = np.unpackbits(bits.view(np.uint8), bitorder="little")[: self._size].astype(bool)
        return allowed & ~self._special

    def may_end(self, state: Any) -> bool:
        """Whether the answer is whole."""
        return bool(state.is_accepting())


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
