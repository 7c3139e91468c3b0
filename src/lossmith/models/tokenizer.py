"""A byte-level BPE tokenizer trained on the run's own text: any text comes back as it was, nothing is downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lossmith.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

PAD, END, START = "<|pad|>", "<|im_end|>", "<|im_start|>"
# By transformers' names for them.
ENCODER_SPECIAL = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
_SPECIAL = re.compile(r"<\|[A-Za-z_]+\|>|\[(?:PAD|CLS|SEP|MASK)\]")
_CHAT_TOKEN = re.compile(r"<\|[A-Za-z_]+\|>")
_BYTES = 256
# Characters of a text without a blank (or of blanks alone) that merges are learned from at once: what they cost grows
# with the square of a word's length, and base64, a long line of one sign or megabytes of blanks are one word each.
_LONGEST_WORD = 1000


def special_tokens(chat_template: str | None, *, vocab_size: int) -> list[str]:
    """The tokens that stand beside the bytes: pad, end and start of turn, and what else the chat template writes.

    Raises ConfigError where `vocab_size` has no room for them.
    """
    found = [token for token in _CHAT_TOKEN.findall(chat_template or "") if token not in (PAD, END, START)]
    special = [PAD, END, START, *dict.fromkeys(found)]
    _require_room(special, vocab_size)
    return special


def _require_room(special: Sequence[str], vocab_size: int) -> None:
    if vocab_size < _BYTES + len(special):
        raise ConfigError(
            "the vocabulary of a scratch base is too small for a byte-level tokenizer",
            got=f"model.vocab_size={vocab_size}",
            expected=f"at least {_BYTES + len(special)}: {_BYTES} bytes and {len(special)} special tokens",
        )


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, chat_template: str | None) -> PreTrainedTokenizerFast:
    """A tokenizer of at most `vocab_size` tokens: 256 bytes, special tokens, and merges learned from `texts`.

    Pad, end of turn (also EOS) and start of turn are tokens of their own, as is every other `<|name|>` that the chat
    template writes. Digits stand alone, so that numbers are written digit by digit. The same texts in the same order
    give the same tokenizer. Raises ConfigError for a vocabulary too small for the bytes, DataError for no text.

    >>> tokenizer = train_tokenizer(["flour and butter", "flour"] * 9, vocab_size=300, chat_template=None)
    >>> tokenizer.decode(tokenizer("butter, 250 g ½ crème")["input_ids"])
    'butter, 250 g ½ crème'
    """
    from transformers import PreTrainedTokenizerFast

    special = special_tokens(chat_template, vocab_size=vocab_size)
    return PreTrainedTokenizerFast(
        tokenizer_object=_trained(texts, special, vocab_size=vocab_size),
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[token for token in special if token not in (PAD, END)],
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )


def train_encoder_tokenizer(texts: Iterable[str], *, vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer like `train_tokenizer`'s for an encoder: [CLS] before a text, [SEP] after it and after a second one.

    The token of padding and that of hidden words are there too.

    >>> tokenizer = train_encoder_tokenizer(["flour and butter", "flour"] * 9, vocab_size=300)
    >>> tokenizer.decode(tokenizer("flour", "butter")["input_ids"])
    '[CLS]flour[SEP]butter[SEP]'
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    special = [*ENCODER_SPECIAL.values()]
    _require_room(special, vocab_size)
    tokenizer = _trained(texts, special, vocab_size=vocab_size)
    cls, sep = ENCODER_SPECIAL["cls_token"], ENCODER_SPECIAL["sep_token"]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{cls} $A {sep}",
                pair=f"{cls} $A {sep} $B {sep}",
                special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, padding_side="right", **ENCODER_SPECIAL
    )


def _trained(texts: Iterable[str], special: Sequence[str], *, vocab_size: int) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    seen = 0

    def counted() -> Iterable[str]:
        nonlocal seen
        for text in texts:
            seen += len(text)
            # A special token inside the text must not become merges of its letters.
            yield _SPECIAL.sub(" ", text)

    tokenizer = Tokenizer(models.BPE())
    words = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    longest = Regex(f"\\S{{{_LONGEST_WORD}}}|\\s{{{_LONGEST_WORD}}}")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(longest, "isolated"), *words])
    tokenizer.decoder = decoders.ByteLevel()
    # Offsets keep the blank before a word, so that every character belongs to a token.
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(counted(), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)
    if not seen:
        raise DataError(
            "there is no text to train the tokenizer of the scratch base on",
            got="an empty training split",
            expected="training records with text",
        )
    return tokenizer
