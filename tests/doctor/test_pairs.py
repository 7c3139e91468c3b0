"""Records of an encoder-decoder: what its encoder reads, what its decoder is fed and learns, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, PreTrainedTokenizerBase

from lossmith.data.describe import Described, describe
from lossmith.data.encode import Sides
from lossmith.data.template import Template
from lossmith.data.template_form import read_form
from lossmith.doctor.inspect import inspect_record
from lossmith.doctor.inspection import Inspection
from lossmith.doctor.pair_round_trip import compare_pair, compare_target
from lossmith.report.inspect_page import write_inspection
from lossmith.train.run import train
from tests.command_line import in_this_process
from tests.doctor.conftest import TINY
from tests.seq2seq.test_pairs import TOKENIZERS
from tests.templates.shapes import byte_level, sentence_piece

FORM = {"prompt": "Cook {{ dish }}: ", "answer": '{% span "item" %}{{ items[0] }}{% endspan %}; {{ items[1] }}'}
OBJECTIVE = {"cross_entropy": 0.6, "focal": {"weight": 0.4, "span": "item"}}
Configure = Callable[..., Path]


@pytest.fixture
def config(configure: Configure, dishes: Path) -> Path:
    train = {"max_steps": 2, "learning_rate": 0.05, "device": "cpu", "eval_strategy": "no"}
    return configure(
        name="pairs",
        task={"kind": "seq2seq"},
        data={"files": str(dishes), "id": "key", "template": FORM},
        objective=OBJECTIVE,
        train={**train, "load_best_model_at_end": False},
        tracking={"report_to": []},
    )


def text(found: Inspection, role: str) -> str:
    return "".join(token.text for token in found.tokens if token.role == role)


def check_whole(found: Inspection) -> None:
    assert not found.disagreements and not found.notes
    assert found.answer is not None and found.answer.ok and found.text is not None and found.text.ok
    batch, ids = found.batch, [token.id for token in found.tokens]
    assert batch is not None and batch.targets is not None and batch.decoder_input_ids is not None
    assert [*batch.input_ids, *batch.targets] == ids
    assert batch.decoder_input_ids[1:] == batch.targets[:-1]
    for at in batch.positions:
        assert at.label == ids[at.token] == batch.targets[at.hidden] and found.tokens[at.token].supervised
    assert len(batch.positions) == len(batch.targets) == found.supervised


def test_a_pair_before_it_is_trained(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = inspect_record(config, id="dish-4")
    check_whole(found)
    assert text(found, "source") == "Cook egg 🥚 salad: " and text(found, "target") == "4 egg 🥚 salad; salt"
    assert [token.role for token in found.tokens][-1] == "end"
    assert {token.index for token in found.tokens if token.terms == ("cross_entropy", "focal")} == {
        token.index for token in found.tokens if token.spans
    }
    assert not any(token.terms for token in found.tokens if not token.supervised)
    page = write_inspection(found.as_page(), tmp_path / "pair.html").read_text()
    assert page.count("</span><br>") == 1, "source and target are two texts"
    assert "source, read by the encoder" in page and "target, supervised" in page
    shown = in_this_process(monkeypatch, capsys)("inspect", config, "--id", "dish-4", "--tensors", "--all").out
    assert "decoder_input_ids" in shown and "begins (id" in shown
    assert "round trip: yes" in shown and "NO" not in shown


def test_the_loss_of_a_target_is_that_of_its_token(config: Path) -> None:
    run = train(config, quiet=True).path
    found = inspect_record(run, id="dish-3")
    check_whole(found)
    batch = found.batch
    assert batch is not None
    model = AutoModelForSeq2SeqLM.from_pretrained(run / "model", dtype=torch.float64).eval()
    with torch.no_grad():
        truth = model(
            input_ids=torch.tensor([batch.input_ids]), decoder_input_ids=torch.tensor([batch.decoder_input_ids])
        ).logits[0].log_softmax(-1)  # fmt: skip
    losses = {token.index: token.loss for token in found.tokens if token.loss is not None}
    assert len(losses) == len(batch.positions)
    for at in batch.positions:
        assert losses[at.token] == pytest.approx(-float(truth[at.hidden, at.label]), rel=1e-4)


def test_a_decoder_on_the_same_pairs_is_shown_as_one(configure: Configure, dishes: Path) -> None:
    data = {"files": str(dishes), "template": FORM, "max_source_length": 60, "max_target_length": 60}
    model = {**TINY, "architecture": "qwen3"}
    found = inspect_record(configure(task={"kind": "seq2seq"}, data=data, model=model))
    assert found.answer is not None and found.answer.ok and not found.disagreements and not found.notes
    assert found.batch is not None and found.batch.targets is None and text(found, "prompt").startswith("Cook")


def test_a_pair_that_is_too_long_names_its_own_limits(configure: Configure, dishes: Path) -> None:
    data = {"files": str(dishes), "id": "key", "template": FORM, "max_source_length": 20, "max_target_length": 6}
    found = inspect_record(configure(task={"kind": "seq2seq"}, data=data), id="dish-4")
    assert found.status == "dropped" and found.answer is not None and found.answer.ok and not found.disagreements
    assert "data.max_source_length=20 and data.max_target_length=6" in str(found.reason)
    assert "data.max_length" not in str(found.reason)


TEXTS = ["2 eggs, salt", "  leading blank", "é 🥚 ½ cup\nnew line ", "ends in tab\t", "_"]
WRITERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    **{kind: lambda kind=kind: TOKENIZERS[kind] for kind in TOKENIZERS},
    "byte level": byte_level,
    **{f"blank {scheme}": lambda scheme=scheme: sentence_piece(scheme) for scheme in ("first", "always", "legacy")},
}


def row_of(seen: Described) -> dict[str, Any]:
    encoded = seen.encoded
    return {"input_ids": encoded.input_ids, "prompt_length": encoded.prompt_length, "target": encoded.target}


@pytest.mark.parametrize("name", WRITERS)
def test_whole_and_cut_pairs_lead_back_and_shifted_ones_do_not(name: str) -> None:
    tokenizer = WRITERS[name]()
    template = Template(read_form({"prompt": "{{ s }}", "answer": "{{ t }}"}))
    ends, cut = [tokenizer.eos_token_id], 0
    for source, target in zip(TEXTS, reversed(TEXTS), strict=True):
        rendered = template.render({"s": source, "t": target}, tokenizer)
        for truncation in ("drop", "cut_prompt", "cut_answer"):
            sides = Sides(apart=True, answer_length=6 if truncation == "cut_answer" else 500)
            length = 6 if truncation == "cut_prompt" else 500
            seen = describe(rendered, tokenizer, max_length=length, truncation=truncation, sides=sides)
            cut += bool(seen.encoded.truncation)
            row, edge = row_of(seen), seen.encoded.prompt_length
            ours = list(range(edge, len(row["input_ids"])))
            answer = compare_target(row, ours, seen, tokenizer=tokenizer, end_ids=ends)
            assert answer.ok and answer.difference is None, answer
            assert compare_pair(row, seen, tokenizer).ok
            if seen.encoded.truncation is None:
                # A lone blank has no text of its own.
                more = [[edge - 1, *ours]] if tokenizer.decode(row["input_ids"][edge - 1]).strip() else []
                for wrong in (ours[:-1], *more):
                    assert not compare_target(row, wrong, seen, tokenizer=tokenizer, end_ids=ends).ok
                assert compare_target(row, ours, None, tokenizer=tokenizer, end_ids=ends).ok
                other = {**row, "input_ids": [*row["input_ids"][:-2], 5, row["input_ids"][-1]]}
                assert not compare_pair(other, seen, tokenizer).ok
    assert cut
