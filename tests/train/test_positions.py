"""Positions that count: the same however a batch is padded, the end of the answer among them, and never none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import lossmith
from lossmith.errors import DataError
from lossmith.losses import Objective
from lossmith.tasks.causal import Collator
from lossmith.tasks.positions import check_positions
from lossmith.tasks.prepare import prepared_tokenizer
from lossmith.tasks.token_forward import TokenForward

from .building import PLAIN, Built, relative, row

TERMS = {
    "cross_entropy": 0.5,
    "focal": {"weight": 0.3, "span": "items"},
    "generalized_dice": 0.2,
    "lovasz_softmax": {"weight": 0.2, "span": ["answer", "-items"]},
    "sinkhorn": {"weight": 0.4, "span": "items"},
}


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "row": number} for number, each in enumerate(rows)]


def outcome(built: Built, collate: Collator, batches: list[list[dict[str, Any]]]) -> tuple[float, dict[str, Tensor]]:
    """Value and gradient of one window, cut into these batches."""
    model, objective = built.loaded.model, Objective(TERMS)
    forward = TokenForward(model, real_tokens=300, needs_embeddings=True)
    collated = [collate(batch) for batch in batches]
    window = dict.fromkeys(TERMS, 0.0)
    for batch in collated:
        for name, count in objective.counts(batch["labels"], batch["spans"], batch["examples"]).items():
            window[name] += count
    model.zero_grad()
    total = 0.0
    for batch in collated:
        positional, named = forward(model, batch).arguments()
        value = objective(*positional, **named, counts=window)
        value.total.backward()
        total += float(value.total.detach())
    return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def unsupervised(length: int) -> dict[str, Any]:
    """A long row without a position: it pads the others, and must change nothing."""
    return {**row(99, prompt=length, answer=0), "supervised": []}


def test_values_and_gradients_do_not_depend_on_padding(build: Callable[..., Built]):
    built = build("padding", f"objective={json.dumps(TERMS)}".replace('"', ""), **PLAIN)
    built.loaded.model.eval()
    rows = numbered([row(n, prompt=1 + n, answer=a, items=min(a, 6)) for n, a in enumerate([1, 60, 9, 30, 2])])
    names = ("items",)
    alone, truth = outcome(built, Collator(0, names), [[each] for each in rows])
    eos = prepared_tokenizer(built.prepared).eos_token_id
    cuts = {
        "together": (Collator(0, names), [rows]),
        "two batches": (Collator(0, names), [rows[:2], rows[2:]]),
        "other order": (Collator(0, names), [rows[::-1]]),
        "beside a long row": (Collator(0, names), [[*rows, {**unsupervised(200), "row": 5}]]),
        "padded with the end token": (Collator(eos, names), [rows]),
        "padded with a common token": (Collator(100, names), [rows]),
    }
    for how, (collate, batches) in cuts.items():
        value, gradient = outcome(built, collate, batches)
        assert value == pytest.approx(alone, rel=1e-6), how
        assert relative(gradient, truth) < 2e-6, how


def test_positions_are_the_supervised_tokens_and_the_hidden_state_before_each():
    rows = numbered([row(0, prompt=3, answer=4, items=2), row(1, prompt=1, answer=2)])
    batch = Collator(0, ("items",))(rows)
    assert batch["labels"].tolist() == [*rows[0]["input_ids"][3:], *rows[1]["input_ids"][1:]]
    assert batch["mask"].nonzero().tolist() == [[0, 2], [0, 3], [0, 4], [0, 5], [1, 0], [1, 1]]
    assert batch["spans"]["items"].tolist() == [0, 0, -1, -1, -1, -1]
    assert batch["examples"].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch["tokens"] == 10


@pytest.fixture
def padded_with_eos(overrides: Callable[..., list[str]], tmp_path: Path) -> Path:
    """A model folder whose tokenizer pads with its end token."""
    base = lossmith.train("causal", overrides("base", max_steps=1, **PLAIN), quiet=True)
    folder = tmp_path / "padded-with-eos"
    (base.path / "model").rename(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["pad_token"] = settings["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_the_end_token_is_supervised_where_it_is_the_padding_too(build: Callable[..., Built], padded_with_eos: Path):
    built = build(
        "ends", f"model.base={padded_with_eos}", "model.adapter=none", "model.vocab_size=null",
        "model.hidden_size=null", "model.num_hidden_layers=null", "model.num_attention_heads=null", **PLAIN,
    )  # fmt: skip
    rows, collate = built.trainer.work.train, built.trainer.work.collate
    assert isinstance(collate, Collator)
    ends = {rows[number]["input_ids"][-1] for number in range(len(rows))}
    assert ends == {collate.pad_token_id}
    split = built.prepared.audit["splits"]["train"]
    assert split["end_supervised"] == split["records"] == len(rows)
    batch = collate([rows[number] for number in range(len(rows))])
    assert int((batch["labels"] == collate.pad_token_id).sum()) == len(rows)
    assert len(batch["labels"]) == split["supervised_tokens"]


def test_a_training_split_without_answers_is_refused(overrides: Callable[..., list[str]], tmp_path: Path):
    # Prompts fill max_length alone, so that cutting the answers leaves none of them.
    file = tmp_path / "long.jsonl"
    records = [{"p": f"{number} " * 60, "a": "xyz", "b": "", "split": "train"} for number in range(8)]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    given = overrides("none", f"data.files={file}", "data.max_length=12", "data.truncation=cut_answer", **PLAIN)
    with pytest.raises(DataError, match="no record is left to train on") as caught:
        lossmith.train("causal", given, quiet=True)
    assert "8 dropped for their length" in str(caught.value.got)


def test_a_training_split_without_positions_is_refused_with_its_numbers(build: Callable[..., Built]):
    found, terms = build("whole", **PLAIN).prepared.audit["splits"]["train"], Objective({"cross_entropy": 1}).terms
    check_positions(found, terms)
    with pytest.raises(DataError, match="no supervised position in the training split") as caught:
        check_positions({**found, "supervised_tokens": 0}, terms)
    assert caught.value.got == f"20 records, {found['tokens']} tokens, 0 supervised"


@pytest.mark.parametrize(
    ("span", "refused"),
    [
        (["answer"], False),
        (["items"], False),
        (["rationale", "items"], False),
        (["answer", "-rationale"], False),
        (["-rationale"], False),
        (["prompt"], False),
        (["rationale"], True),
        (["rationale", "evidence"], True),
        (["rationale", "-items"], True),
    ],
)
def test_what_a_term_reads_must_be_somewhere(build: Callable[..., Built], span: list[str], refused: bool):
    found, terms = (
        build("spans", **PLAIN).prepared.audit["splits"]["train"],
        Objective({"focal": {"span": span}}).terms,
    )
    if not refused:
        check_positions(found, terms)
        return
    with pytest.raises(DataError, match="'focal' is absent"):
        check_positions(found, terms)


def test_a_term_whose_span_is_nowhere_is_refused_by_name(overrides: Callable[..., list[str]]):
    given = overrides("absent", "objective={cross_entropy: 1, focal: {weight: 1, span: rationale}}", **PLAIN)
    with pytest.raises(DataError, match="the span of the term 'focal' is absent") as caught:
        lossmith.train("causal", given, quiet=True)
    assert "rationale" in str(caught.value.got)
    assert "items" in str(caught.value.expected)
