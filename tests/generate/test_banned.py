"""Banned phrases: never in an answer as whole words, however tokens cut it; longer words stay free."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossmith.generate.banned import BannedPhrases
from lossmith.generate.decode import generate
from lossmith.generate.phrases import phrase_finder
from lossmith.generate.restrict import Place, Restricted
from lossmith.generate.vocabulary import vocabulary_of

SAID = ["The artist's art: start, Art and ART.", "New  York, new yorkers; café 😀 x", "a b c d e ab ba art tart arty"]
PHRASES = ["art", "new york", "café", "😀", "C++"]
# The definition, where \w is what a word is made of.
BY_HAND = re.compile("|".join(rf"(?<!\w){re.escape(p)}(?!\w)".replace(r"\ ", r"\s+") for p in PHRASES[:3]), re.I)


def byte_level(vocab_size: int):
    from lossmith.models.tokenizer import train_tokenizer

    return train_tokenizer(SAID * 3, vocab_size=vocab_size, chat_template="{{ messages }}")


def sentencepiece():
    """A unigram tokenizer with byte fallback, as T5 and Llama have them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", "▁art", "art", "ist", "▁ART", "▁new", "▁york", "er", "s", "▁caf", "é", ",", ".", "t", "a", "b"]
    made = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {"bytes": lambda: byte_level(262), "merged": lambda: byte_level(420), "sentencepiece": sentencepiece}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


@pytest.mark.parametrize("text", [*SAID, "naïve — « 😀 »", "tab\tand\nline"])
def test_tokens_are_the_bytes_of_what_they_decode_to(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    held = b"".join(vocabulary_of(tokenizer).tokens[token] for token in ids).decode()
    assert held.removeprefix(" ") == tokenizer.decode(ids) == text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["art", "ART", "ist", " ", "  ", ".", "new", "york", "er", "café", "_", "ü", "1"])))
def test_the_finder_finds_what_the_expression_finds(parts):
    text = "".join(parts)
    assert phrase_finder(PHRASES).holds(text) == bool(BY_HAND.search(text)), text


def test_phrases_that_end_in_no_letter_are_whole_at_once():
    finder = phrase_finder(["C++", "😀", "...", "st."])
    assert [finder.holds(text) for text in ("in c++11", "xC++", "a😀b", "wait...", "st.", "first.", "st")] == [
        *(True, False, True, True, True, False, False)
    ]


def random_answers(tokenizer, restriction, *, rows: int, steps: int, seed: int) -> list[list[int]]:
    """Answers drawn evenly from the tokens that stay open, as a model without any sense would write them."""
    draw = torch.Generator().manual_seed(seed)
    end = tokenizer.eos_token_id
    processor = Restricted([restriction], Place(0, steps, (end,)))
    ids = torch.zeros((rows, 0), dtype=torch.int64)
    # Pieces of the phrases come up as often as all others together.
    likely = torch.zeros(len(tokenizer))
    likely[
        sorted({t for p in [*PHRASES, " art", " ART"] for t in tokenizer(p, add_special_tokens=False)["input_ids"]})
    ] = 4
    # Bytes that are no letter take the bytes beside them along when sentencepiece decodes, which no model writes.
    likely[[t for t, own in enumerate(vocabulary_of(tokenizer).tokens) if not own.isascii() and len(own) == 1]] = -20
    for _ in range(steps):
        scores = processor(ids, likely.expand(rows, -1).clone())
        new = torch.multinomial(scores.softmax(-1), 1, generator=draw)
        ids = torch.cat([ids, new], 1)
    return [row[: row.index(end)] if end in row else row for row in ids.tolist()]


def test_no_answer_holds_a_phrase_whatever_its_tokens_are(tokenizer):
    restriction = BannedPhrases(PHRASES, vocabulary_of(tokenizer))
    free = BannedPhrases(["never said at all"], vocabulary_of(tokenizer))
    finder = phrase_finder(PHRASES)
    held = longer = would = 0
    for seed in range(4):
        for ids in random_answers(tokenizer, restriction, rows=16, steps=30, seed=seed):
            text = tokenizer.decode(ids, skip_special_tokens=True)
            held += finder.holds(text)
            longer += bool(re.search(r"art\w|\wart|café\w", text, re.IGNORECASE))
        for ids in random_answers(tokenizer, free, rows=16, steps=30, seed=seed):
            would += finder.holds(tokenizer.decode(ids, skip_special_tokens=True))
    assert held == 0
    assert longer > 10, "words that only hold a phrase are free"
    assert would > 10, "the phrases would come up by themselves"


def test_only_what_would_make_a_phrase_whole_is_forbidden(tokenizer):
    """Over many beginnings, a token is open exactly when the text with it holds no phrase that its end decides."""
    vocabulary, finder = vocabulary_of(tokenizer), phrase_finder(PHRASES)
    restriction = BannedPhrases(PHRASES, vocabulary)
    tried = random.Random(0).sample(range(len(vocabulary)), 120)
    for said in ("", "the art", "art ", "start", "new york", "new", "caf", "C+", "the artist"):
        ids = tokenizer(said, add_special_tokens=False)["input_ids"]
        state = restriction.start()
        for token in ids:
            state = restriction.after(state, token)
        opened, at_end = restriction.open(state, last=False), restriction.open(state, last=True)
        for token in tried:
            own = vocabulary.tokens[token].decode("utf-8", errors="replace")
            if "\ufffd" in own:
                continue
            assert at_end[token] == (not finder.holds(said + own)), (said, own)
            # A letter that goes on with any word shows whether the phrase was whole before the end.
            assert opened[token] == (not finder.holds(said + own + "q")), (said, own)
        assert restriction.may_end(state) == (not finder.holds(said))


def test_letters_cut_in_two_by_tokens_are_read_whole():
    tokenizer = byte_level(262)
    restriction = BannedPhrases(["😀", "é"], vocabulary_of(tokenizer))
    for text, last in (("x 😀", False), ("x é", True)):
        *before, token = tokenizer(text, add_special_tokens=False)["input_ids"]
        state = restriction.start()
        for one in before:
            assert restriction.open(state, last=False)[one]
            state = restriction.after(state, one)
        assert not restriction.open(state, last=last)[token]


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"do_sample": True}, {"do_sample": True, "num_beams": 3}])
@pytest.mark.parametrize("family", ["qwen3", "t5"])
def test_decoders_and_encoder_decoders_keep_to_it(family, how):
    tokenizer = byte_level(300)
    model = _model(family, len(tokenizer), tokenizer)
    prompts = [tokenizer(text)["input_ids"][:12] for text in SAID] * 2

    def texts(*restrictions):
        made = generate(
            model,
            prompts,
            settings={"max_new_tokens": 16, **how},
            eos_token_ids=[tokenizer.eos_token_id],
            pad_token_id=tokenizer.pad_token_id,
            restrictions=restrictions,
        )
        return [tokenizer.decode(one.ids, skip_special_tokens=True) for one in made]

    letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
    free = texts()
    finder = phrase_finder(letters)
    assert any(finder.holds(text) for text in free)
    held = texts(BannedPhrases(letters, vocabulary_of(tokenizer)))
    assert not any(finder.holds(text) for text in held)
    assert held != free


def _model(family: str, size: int, tokenizer):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    if family == "t5":
        config = AutoConfig.for_model(
            "t5",
            vocab_size=size,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
            **ids,
        )
        model = AutoModelForSeq2SeqLM.from_config(config)
    else:
        config = AutoConfig.for_model(
            "qwen3", vocab_size=size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, **ids,
        )  # fmt: skip
        model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def test_where_nothing_may_follow_the_answer_ends():
    class Nothing:
        def start(self):
            return ()

        def after(self, state, token):
            return state

        def open(self, state, *, last):
            return np.zeros(5, dtype=bool)

        def may_end(self, state):
            return False

    scores = Restricted([Nothing()], Place(0, 4, (1,)))(torch.zeros((2, 0), dtype=torch.int64), torch.zeros((2, 6)))
    assert scores.isfinite().tolist() == [[False, True, False, False, False, False]] * 2
