"""Public data sets through the presets' own templates: every record leads back to its text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lossmith.doctor.inspect import inspect_record

SMALL = ["model=scratch-tiny", "model.vocab_size=600", "data.limit=24"]
BEETON = ["data.fields={title: title, ingredients: ingredients, directions: mode}"]


@pytest.mark.parametrize("preset", ["recipes/sinkhorn", "recipes/mixed"])
def test_recipes_of_the_presets(shared_data: Path, preset: str) -> None:
    file = shared_data / "recipes" / "public_domain_recipes.jsonl"
    source = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    overrides = [f"data.files={file}", *SMALL, "data.max_length=4096"]
    for split in ("train", "validation", "test"):
        found = inspect_record(preset, overrides, split=split)
        assert found.split == split and found.answer is not None and found.text is not None
        assert found.answer.ok and found.text.ok and not found.disagreements and not found.notes
        lines = source[int(found.record.rpartition(":")[2]) - 1]["ingredients"]
        assert json.loads(found.answer.got.removesuffix("<|im_end|>"))["ingredients"] == lines
        reads = {term.name: term.positions for term in found.terms}
        assert 0 < reads["sinkhorn"] < reads["cross_entropy"] == found.supervised
        for item, line in enumerate(lines):
            text = "".join(token.text for token in found.tokens if ("ingredients", item) in token.spans)
            assert json.dumps(line, ensure_ascii=False)[1:-1].strip() in text


def test_word_problems_as_prompt_and_answer(shared_data: Path, configure: Callable[..., Path]) -> None:
    template = {"prompt": "{{ question }}\n", "answer": "{{ answer }}"}
    config = configure(data={"files": str(shared_data / "gsm8k" / "test.jsonl"), "template": template, "limit": 30})
    found = inspect_record(config)
    assert found.answer is not None and found.answer.ok and "####" in found.answer.got
    assert found.text is not None and found.text.ok and not found.disagreements
