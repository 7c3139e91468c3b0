"""The trained tokenizer: every text comes back, the same texts give the same tokens, a saved one is the same one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.errors import ConfigError, DataError
from lossmith.models.tokenizer import train_tokenizer


def test_end_pad_and_start_are_tokens_of_their_own(tokenizer):
    ids = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_start|>")}
    assert len(ids) == 3
    turn = tokenizer.apply_chat_template([{"role": "user", "content": "eggs"}], tokenize=False)
    encoded = tokenizer(turn)["input_ids"]
    assert encoded[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert encoded.count(tokenizer.eos_token_id) == 1


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@given(st.text("ab é½ 1234\n\t☃", max_size=40))
def test_offsets_cover_every_character(tokenizer, text):
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert {i for start, end in offsets for i in range(start, end)} == set(range(len(text)))


def test_numbers_are_written_digit_by_digit(tokenizer):
    assert tokenizer.convert_ids_to_tokens(tokenizer("350")["input_ids"]) == ["3", "5", "0"]


def test_tokens_of_the_chat_template_become_special(texts):
    made = train_tokenizer(texts, vocab_size=300, chat_template="<|system|>{{ messages }}<|im_end|>")
    assert len(made("<|system|>")["input_ids"]) == 1


def test_special_tokens_inside_the_text_are_not_learned_as_letters():
    made = train_tokenizer(["<|im_end|> " * 50 + "eggs"], vocab_size=400, chat_template=None)
    assert not any("im" in token and token != "<|im_end|>" and token != "<|im_start|>" for token in made.get_vocab())


def test_a_text_that_is_one_endless_word_teaches_no_endless_token():
    endless = ["x" * 200_000, " " * 200_000, "flour and butter"]
    made = train_tokenizer(endless, vocab_size=400, chat_template=None)
    assert 500 <= max(map(len, made.get_vocab())) <= 1000
    assert all(made.decode(made(text)["input_ids"]) == text for text in endless)


def test_same_texts_same_tokenizer_in_another_process_and_thread_count(texts, tokenizer):
    program = (
        "import sys, hashlib, json\n"
        "from lossmith.models.tokenizer import train_tokenizer\n"
        "made = train_tokenizer(json.load(sys.stdin), vocab_size=340, chat_template=None)\n"
        "print(hashlib.sha256(made.backend_tokenizer.to_str().encode()).hexdigest())"
    )
    import hashlib
    import json

    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.stdout.strip() == hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def test_saved_and_reloaded_is_the_same(tokenizer, texts, bases):
    from transformers import AutoTokenizer

    # The folder of a whole model: transformers then chooses the class by the model's type.
    again = AutoTokenizer.from_pretrained(bases["tied"])
    assert again.chat_template == tokenizer.chat_template
    assert (again.eos_token, again.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)
    for text in [*texts, "½ crème 3.5\n", "<|im_start|>user\nhi<|im_end|>"]:
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_what_cannot_be_trained_is_refused(texts):
    with pytest.raises(ConfigError, match=r"at least 259: 256 bytes and 3 special"):
        train_tokenizer(texts, vocab_size=200, chat_template=None)
    with pytest.raises(DataError, match="empty training split"):
        train_tokenizer([], vocab_size=300, chat_template=None)


def test_real_recipes_take_fewer_tokens_than_bytes(shared_data: Path):
    import json

    with (shared_data / "recipes" / "public_domain_recipes.jsonl").open(encoding="utf-8") as file:
        texts = [json.dumps(json.loads(line), ensure_ascii=False) for line in file]
    made = train_tokenizer(texts, vocab_size=2048, chat_template=None)
    assert len(made) == 2048
    tokens = sum(len(ids) for ids in made(texts)["input_ids"])
    assert tokens < sum(len(text.encode()) for text in texts) / 2.5
    assert all(made.decode(ids) == text for ids, text in zip(made(texts)["input_ids"], texts, strict=True))
