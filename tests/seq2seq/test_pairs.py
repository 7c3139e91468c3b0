"""Sources and targets as rows and as batches: which tokens there are, which are labels, and what is cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from lossmith.config.data import DataConfig
from lossmith.data.encode import Sides, encode, prompt_ids
from lossmith.data.rendered import Encoded
from lossmith.data.template import Template
from lossmith.errors import ConfigError, DataError
from lossmith.models.tokenizer import train_tokenizer
from lossmith.tasks.seq2seq import PairCollator

FORM = {"prompt": "Dream: {{ x }}", "answer": '{{ y }}{% span "part" %}{{ z }}{% endspan %}'}


def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    """One that adds nothing, one like T5's (EOS after a text), one like BART's (<s> before it, EOS after it)."""
    made = train_tokenizer(["Dream: a white horse means luck"] * 9, vocab_size=330, chat_template=None)
    end = (made.eos_token, made.eos_token_id)
    if kind == "t5":
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end[0]}", special_tokens=[end]
        )
    if kind == "bart":
        first = ("<|im_start|>", made.convert_tokens_to_ids("<|im_start|>"))
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first[0]} $A {end[0]}", special_tokens=[first, end]
        )
    return made


TOKENIZERS = {kind: tokenizer_of(kind) for kind in ("plain", "t5", "bart")}


def template(*, keep_end: bool = False, apart: bool = True, target: int = 1000) -> Template:
    data = DataConfig(template=FORM, end_of_cut_answer="keep" if keep_end else "drop")
    return Template.from_config(data).of_pairs(apart=apart, target_length=target)


def encoded(kind: str, record: dict[str, str], *, source: int = 1000, truncation: Any = "drop", **more: Any) -> Encoded:
    tokenizer, predicting = TOKENIZERS[kind], more.pop("predicting", False)
    made = template(**more)
    (found,) = made.encode(
        [made.render(record, tokenizer)], tokenizer, max_length=source, truncation=truncation, predicting=predicting
    )
    assert isinstance(found, Encoded)
    return found


def sides(row: Encoded) -> tuple[list[int], list[int]]:
    return row.input_ids[: row.prompt_length], row.input_ids[row.prompt_length :]


words = st.text("abc é🍳", min_size=1, max_size=8).filter(str.strip)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(x=words, y=words, z=words)
def test_both_sides_are_what_the_tokenizer_writes_alone_and_the_whole_target_is_learned(
    kind: str, x: str, y: str, z: str
):
    tokenizer = TOKENIZERS[kind]
    row = encoded(kind, {"x": x, "y": y, "z": z})
    source, target = sides(row)
    assert source == tokenizer(f"Dream: {x}")["input_ids"]
    own = tokenizer(text_target=y + z)["input_ids"]
    assert target == (own if own[-1] == tokenizer.eos_token_id else [*own, tokenizer.eos_token_id])
    assert target.count(tokenizer.eos_token_id) == 1
    assert row.supervised == [(len(source), len(row.input_ids))]
    (part,) = row.spans
    assert z.strip() in tokenizer.decode(row.input_ids[part.start : part.end])
    assert part.start >= len(source)
    assert (row.prompt, row.target) == (f"Dream: {x}", y + z)


LONG = {"x": "a b c d e f", "y": "1 2 3 ", "z": "4 5 6"}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_source_is_cut_on_its_right_and_keeps_what_the_tokenizer_adds(kind: str):
    whole, cut = (sides(encoded(kind, LONG, source=n, truncation="cut_prompt"))[0] for n in (1000, 9))
    added = {"plain": 0, "t5": 1, "bart": 1}[kind]
    assert len(cut) == 9 < len(whole)
    assert cut == [*whole[: 9 - added], *whole[len(whole) - added :]]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("keep_end", [False, True])
def test_a_cut_target_ends_as_the_policy_says(kind: str, keep_end: bool):
    whole = sides(encoded(kind, LONG))[1]
    row = encoded(kind, LONG, target=5, truncation="cut_answer", keep_end=keep_end)
    target = sides(row)[1]
    assert len(target) == 5 and row.truncation == "cut_answer"
    assert target == ([*whole[:4], whole[-1]] if keep_end else whole[:5])
    assert (TOKENIZERS[kind].eos_token_id in target) == keep_end
    assert row.supervised == [(row.prompt_length, len(row.input_ids))]


@pytest.mark.parametrize(
    ("limits", "policy"),
    [({"source": 5}, "drop"), ({"target": 5}, "drop"), ({"source": 5}, "cut_answer"), ({"target": 5}, "cut_prompt")],
)
def test_what_a_policy_does_not_cut_is_dropped(limits: dict[str, int], policy: str):
    assert encoded("t5", LONG, truncation=policy, **limits).truncation == "dropped"


@pytest.mark.parametrize("limits", [{"source": 5}, {"target": 5}])
def test_error_names_both_limits(limits: dict[str, int]):
    with pytest.raises(DataError, match="a record is longer than"):
        encoded("t5", LONG, truncation="error", **limits)


@pytest.mark.parametrize("policy", ["drop", "cut_prompt", "cut_answer", "error"])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_predicted_record_is_never_left_out_and_keeps_to_both_limits(kind: str, policy: str):
    whole = sides(encoded(kind, LONG))
    row = encoded(kind, LONG, source=6, target=3, truncation=policy, predicting=True)
    assert len(sides(row)[0]) == 6 and sides(row)[1] == whole[1][:3] and row.truncation == "cut_both"
    assert (row.target, row.supervised) == ("1 2 3 4 5 6", [(6, 9)])
    target = encoded(kind, LONG, target=3, truncation=policy, predicting=True, keep_end=True)
    assert sides(target)[1] == [*whole[1][:2], whole[1][-1]] and target.truncation == "cut_answer"
    source = encoded(kind, LONG, source=6, truncation=policy, predicting=True)
    assert sides(source)[1] == whole[1] and source.truncation == "cut_prompt"
    none = encoded("bart", LONG, source=2, truncation=policy, predicting=True)
    assert (none.truncation, none.input_ids) == ("prompt_too_long", [])


def test_what_is_asked_at_prediction_is_what_training_read():
    for kind, tokenizer in TOKENIZERS.items():
        made = template()
        asked = prompt_ids(made.render_prompt({"x": "a"}, tokenizer), tokenizer, sides=Sides(apart=True))
        assert asked == sides(encoded(kind, {"x": "a", "y": "b", "z": "c"}))[0]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("predicting", [False, True])
def test_an_empty_source_is_its_end_alone(kind: str, predicting: bool):
    tokenizer = TOKENIZERS[kind]
    made = Template.from_config(DataConfig(template={"prompt": "{{ x }}", "answer": "{{ y }}"}))
    made = made.of_pairs(apart=True, target_length=9)
    how: dict[str, Any] = {"max_length": 9, "truncation": "drop", "predicting": predicting}
    (row,) = made.encode([made.render({"x": "", "y": "b"}, tokenizer)], tokenizer, **how)
    assert isinstance(row, Encoded) and row.truncation is None
    source, target = sides(row)
    end = tokenizer.eos_token_id
    assert source == {"plain": [end], "t5": [end], "bart": tokenizer("")["input_ids"]}[kind]
    assert tokenizer.decode(target, skip_special_tokens=True) == "b"
    assert row.supervised == [(len(source), len(row.input_ids))]
    assert prompt_ids(made.render_prompt({"x": ""}, tokenizer), tokenizer, sides=made.sides) == source


def test_limits_of_their_own_hold_for_a_decoder_too():
    tokenizer = TOKENIZERS["plain"]
    made = template(apart=False, target=4)
    rendered = made.render(LONG, tokenizer)
    options: dict[str, Any] = {"max_length": 1000, "predicting": False}
    (dropped,) = made.encode([rendered], tokenizer, truncation="drop", **options)
    (cut,) = made.encode([rendered], tokenizer, truncation="cut_answer", **options)
    assert isinstance(dropped, Encoded) and isinstance(cut, Encoded)
    assert dropped.truncation == "dropped"
    assert len(cut.input_ids) - cut.prompt_length == 4
    assert (
        cut.input_ids
        == encode(
            rendered, tokenizer, max_length=cut.prompt_length + 4, truncation="cut_answer", predicting=False
        ).input_ids
    )


@pytest.mark.parametrize(
    ("form", "apart"),
    [({"text": "{{ x }}"}, True), ({"text": "{{ x }}"}, False),
     ({"messages": [{"role": "user", "content": "{{ x }}"}, {"role": "assistant", "content": "{{ y }}"}]}, True)],
)  # fmt: skip
def test_a_template_without_two_sides_is_refused(form: dict[str, Any], apart: bool):
    with pytest.raises(ConfigError, match=r"two texts|one text"):
        Template.from_config(DataConfig(template=form)).of_pairs(apart=apart, target_length=8)


def row_of(number: int, record: dict[str, str], task: str | None = None) -> dict[str, Any]:
    found = encoded("t5", record)
    return {
        "row": number, "task": task, "input_ids": found.input_ids, "prompt_length": found.prompt_length,
        "supervised": [{"start": a, "end": b} for a, b in found.supervised],
        "spans": [{"name": s.name, "start": s.start, "end": s.end, "item": s.item} for s in found.spans],
    }  # fmt: skip


def test_no_pad_is_ever_a_label_and_spans_stand_on_their_tokens():
    tokenizer = TOKENIZERS["t5"]
    rows = [row_of(0, {"x": "a", "y": "bb", "z": "c"}, "t"), row_of(1, {"x": "abc abc", "y": "d", "z": "eeee a b"})]
    batch = PairCollator(tokenizer.pad_token_id, ("part",), ("t",))(rows)
    targets = [row["input_ids"][row["prompt_length"] :] for row in rows]
    assert batch["labels"].tolist() == [token for target in targets for token in target]
    assert tokenizer.pad_token_id not in batch["labels"]
    assert batch["examples"].tolist() == [0] * len(targets[0]) + [1] * len(targets[1])
    assert (batch["targets"] != tokenizer.pad_token_id).sum() == len(batch["labels"])
    assert batch["attention_mask"].sum() == sum(row["prompt_length"] for row in rows)
    marked = [
        tokenizer.decode(batch["labels"][(batch["spans"]["part"] == 0) & (batch["examples"] == n)]) for n in (0, 1)
    ]
    assert marked == ["c", "eeee a b"]
    assert (batch["spans"]["task:t"] == 0).tolist() == [example == 0 for example in batch["examples"].tolist()]
    assert batch["tokens"] == sum(len(row["input_ids"]) for row in rows)
    assert torch.equal(batch["labels"], batch["targets"][batch["mask"]])
