"""Constrained decoding: what a model without any sense writes keeps to the schema, on every tokenizer and family."""

from __future__ import annotations

import json

import pytest
import torch

pytest.importorskip("llguidance", reason="llguidance is not installed; pip install lossmith[structured]")

from lossmith.answer_schema import parse_answer
from lossmith.config.generate import GenerateConfig
from lossmith.errors import ConfigError
from lossmith.generate.constrained import KeepsToSchema, closed
from lossmith.generate.decode import generate
from lossmith.generate.restrictions import restrictions_for
from tests.generate.test_banned import _model as model_of
from tests.generate.test_banned import byte_level, sentencepiece

# Bounded, so that every answer can be whole within the tokens that are given.
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["soup", "b\"r'ead", "½ cup"]},
        "lines": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 2},
        "eggs": {"type": "integer", "minimum": 0, "maximum": 99},
        "more": {"$ref": "#/$defs/More"},
    },
    "required": ["kind", "lines", "eggs"],
    "additionalProperties": False,
    "$defs": {"More": {"type": "object", "properties": {"hot": {"type": "boolean"}}, "additionalProperties": False}},
}
TOKENIZERS = {"bytes": lambda: byte_level(300), "sentencepiece": sentencepiece}


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"do_sample": True}, {"do_sample": True, "num_beams": 2}])
@pytest.mark.parametrize("family", ["qwen3", "t5"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_answer_keeps_to_the_schema(name, family, how):
    tokenizer = TOKENIZERS[name]()
    model = model_of(family, len(tokenizer), tokenizer)
    prompts = [tokenizer(text)["input_ids"][:9] for text in ("art", "new york", "a b c d", "The artist")] * 2
    ways = GenerateConfig(constrained=True, max_new_tokens=160, **how)

    def texts(schema=SCHEMA):
        made = generate(
            model,
            prompts,
            settings=ways.settings(),
            eos_token_ids=[tokenizer.eos_token_id],
            pad_token_id=tokenizer.pad_token_id,
            restrictions=restrictions_for(ways, tokenizer, schema=schema),
        )
        return [tokenizer.decode(one.ids, skip_special_tokens=True) for one in made]

    written = texts()
    for text in written:
        assert set(parse_answer(text, SCHEMA)) >= {"kind", "lines", "eggs"}
        # As templates write it: one blank after commas and colons, none elsewhere.
        assert text.strip() == json.dumps(json.loads(text), ensure_ascii=False) or "\\" in text


def test_numbers_and_keys_that_nobody_bounded_come_to_an_end():
    schema = {
        "type": "object",
        "properties": {
            "share": {"type": "number", "minimum": -1.5, "exclusiveMaximum": 2},
            "any": {"type": "number"},
            "count": {"type": "integer"},
            # As pydantic writes a class: other keys are not spoken of.
            "inner": {"type": "object", "properties": {"hot": {"type": "boolean"}}},
        },
        "required": ["share", "any", "count", "inner"],
    }
    tokenizer = byte_level(300)
    model = model_of("qwen3", len(tokenizer), tokenizer)
    for how in ({}, {"num_beams": 2}, {"do_sample": True}):
        ways = GenerateConfig(constrained=True, max_new_tokens=200, **how)
        made = generate(
            model,
            [[5, 6], [8, 9, 10], [11]],
            settings=ways.settings(),
            eos_token_ids=[tokenizer.eos_token_id],
            pad_token_id=tokenizer.pad_token_id,
            restrictions=restrictions_for(ways, tokenizer, schema=schema),
        )
        for one in made:
            assert one.finished
            found = parse_answer(tokenizer.decode(one.ids), schema)
            assert list(found) == ["share", "any", "count", "inner"]
            assert set(found["inner"]) <= {"hot"}


def test_what_a_schema_says_of_more_digits_and_other_keys_holds():
    tokenizer = byte_level(300)
    restriction = KeepsToSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, tokenizer)
    state = restriction.start()
    # As long as it is 0 it may not end.
    for token in tokenizer("0." + "0" * 25 + "7", add_special_tokens=False)["input_ids"]:
        assert restriction.open(state, last=False)[token]
        state = restriction.after(state, token)
    assert restriction.may_end(state)
    parts = {"type": "object", "properties": {"a": {"enum": [1]}}}
    assert closed({**parts, "additionalProperties": {"type": "null"}})["additionalProperties"] == {"type": "null"}
    together = {"allOf": [parts, {"type": "object", "properties": {"b": {"enum": [2]}}, "required": ["b"]}]}
    assert closed(together) == together


def test_what_training_taught_may_be_written_token_by_token():
    for make in TOKENIZERS.values():
        tokenizer = make()
        restriction = KeepsToSchema(SCHEMA, tokenizer)
        answer = '{"kind": "½ cup", "lines": ["a", "é"], "eggs": 3, "more": {"hot": true}}'
        state = restriction.start()
        for token in tokenizer(answer, add_special_tokens=False)["input_ids"]:
            assert not restriction.may_end(state)
            assert restriction.open(state, last=False)[token], tokenizer.decode([token])
            state = restriction.after(state, token)
        assert restriction.may_end(state)
        assert restriction.may_end(restriction.start()) is False, "states are shared by beams, and must not change"


def test_an_answer_that_is_cut_is_kept_as_it_is():
    tokenizer = byte_level(300)
    (made,) = generate(
        model_of("qwen3", len(tokenizer), tokenizer),
        [[5, 6]],
        settings={"max_new_tokens": 4},
        eos_token_ids=[tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
        restrictions=[KeepsToSchema(SCHEMA, tokenizer)],
    )
    assert (made.finished, len(made.ids), made.error) == (False, 4, None)
    assert tokenizer.decode(made.ids).startswith('{"ki')


def test_banned_phrases_and_a_schema_go_together():
    tokenizer = byte_level(300)
    ways = GenerateConfig(constrained=True, banned_phrases=["soup"], max_new_tokens=40)
    schema = {"type": "object", "properties": {"kind": {"enum": ["soup", "bread"]}}, "required": ["kind"]}
    restrictions = restrictions_for(ways, tokenizer, schema={**schema, "additionalProperties": False})
    for seed in range(3):
        torch.manual_seed(seed)
        made = generate(
            model_of("qwen3", len(tokenizer), tokenizer),
            [[5 + seed, 6], [8, 9 + seed]],
            settings={"max_new_tokens": 40, "do_sample": True},
            eos_token_ids=[tokenizer.eos_token_id],
            pad_token_id=tokenizer.pad_token_id,
            seed=seed,
            restrictions=restrictions,
        )
        # What begins with a forbidden word that the schema lets nothing else follow ends there.
        assert {tokenizer.decode(one.ids) for one in made} <= {'{"kind": "soup', '{"kind": "bread"}'}


def test_what_cannot_constrain_is_told():
    tokenizer = byte_level(300)
    with pytest.raises(ConfigError, match="needs a schema"):
        restrictions_for(GenerateConfig(constrained=True), tokenizer)
    with pytest.raises(ConfigError, match="cannot constrain what is generated"):
        KeepsToSchema({"type": "string", "format": "no-such-format"}, tokenizer)
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    letters = Tokenizer(models.BPE(vocab={"</s>": 0, "a": 1, "b": 2}, merges=[]))
    letters.decoder = decoders.ByteLevel()
    with pytest.raises(ConfigError, match="no tokens for the signs of JSON"):
        KeepsToSchema(SCHEMA, PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="</s>"))
