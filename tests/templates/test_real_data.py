"""Presets and public data sets as they are."""

from __future__ import annotations

import ast
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lossmith.config.data import DataConfig
from lossmith.config.load import load_config
from lossmith.data.chat_template import CHAT_TEMPLATE
from lossmith.data.encode import encode
from lossmith.data.record_text import BareRecord
from lossmith.data.template import Template
from lossmith.spans.characters import intervals_of

from .shapes import byte_level, for_shape


@pytest.mark.parametrize("shape", ["chatml", "llama", "thinking", "built in"])
def test_the_recipes_preset_marks_ingredients_in_an_answer_that_is_json(
    shape: str, recipes: list[dict[str, Any]]
) -> None:
    tokenizer = byte_level() if shape == "built in" else for_shape(shape)
    if shape == "built in":
        tokenizer.chat_template = CHAT_TEMPLATE
    template = Template.from_config(load_config("recipes/sinkhorn", ["data.files=x.jsonl"]).data)
    assert template.variables == {"title", "ingredients", "directions"}
    assert template.span_names == {"ingredients"}
    for record in recipes[::3]:
        rendered = template.render(record, tokenizer)
        answer = json.loads(rendered.target)
        assert answer == {"ingredients": record["ingredients"], "instructions": record["directions"]}
        marked = [json.loads(f'"{rendered.text[s.start : s.end]}"') for s in rendered.spans]
        assert marked == [line.strip() for line in record["ingredients"]]
        assert min(s.start for s in rendered.spans) > len(rendered.prompt)  # not the example in the prompt
        encoded = encode(rendered, tokenizer, max_length=100_000, truncation="error", predicting=False)
        for text, span in zip(marked, encoded.spans, strict=True):
            piece = tokenizer.decode(encoded.input_ids[span.start : span.end])
            assert json.dumps(text, ensure_ascii=False)[1:-1] in piece


def test_toxic_spans_are_the_marked_characters(shared_data: Path) -> None:
    csv.field_size_limit(1 << 20)
    with (shared_data / "toxic_spans" / "tsd_trial.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    data = DataConfig(
        template={"prompt": "Toxic or not?\n{{ text }}\n", "answer": "{{ label }}"},
        spans={"toxic": {"field": "text", "offsets": "spans"}},
    )
    template, tokenizer, seen = Template.from_config(data), byte_level(), 0
    for row in rows:
        intervals = intervals_of(ast.literal_eval(row["spans"]))
        record = BareRecord({"text": row["text"], "label": "yes"}, {"toxic": ("text", intervals)})
        rendered = template.render(record, tokenizer)
        expected = [row["text"][a:b].strip() for a, b in intervals if row["text"][a:b].strip()]
        assert [rendered.text[s.start : s.end] for s in rendered.spans] == expected
        encoded = encode(rendered, tokenizer, max_length=100_000, truncation="error", predicting=False)
        assert len(encoded.spans) == len(expected)
        seen += len(expected)
    assert seen > 500


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("gsm8k/test.jsonl", {"prompt": "{{ question }}\n", "answer": "{{ answer }}"}),
        ("svamp/SVAMP.jsonl", {"prompt": "{{ Body }} {{ Question }}\n", "answer": "{{ Equation }} = {{ Answer }}"}),
        ("dreams_miller/dream_pairs.jsonl", {"prompt": "{{ input }}\n", "answer": "{{ output }}"}),
        ("arxiv_physics/hepth_daily.jsonl", {"text": "{{ title }}\n\n{{ abstract }}"}),
    ],
)
def test_answers_of_other_sets_come_back_from_their_ids(shared_data: Path, path: str, form: Any) -> None:
    lines = (shared_data / path).read_text(encoding="utf-8").splitlines()
    template, tokenizer = Template.from_config(DataConfig(template=form)), byte_level()
    for line in lines[:: max(1, len(lines) // 60)]:
        rendered = template.render(json.loads(line), tokenizer)
        encoded = encode(rendered, tokenizer, max_length=100_000, truncation="error", predicting=False)
        ((start, end),) = encoded.supervised
        assert tokenizer.decode(encoded.input_ids[start:end]) == rendered.target + tokenizer.eos_token
        assert ".0\n" not in rendered.target + "\n"  # a count is written 145, not 145.0
