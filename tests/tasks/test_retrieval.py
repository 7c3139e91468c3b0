"""The retrieval task from prepared rows to predictions: stored vectors, evidence, criteria, saving and going on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

import lossmith
from lossmith.errors import ConfigError, InputError
from lossmith.models.precision import choose_precision
from lossmith.models.retrieval_files import load_retrieval
from lossmith.runs import RunFolder, read_jsonl
from lossmith.tasks.document_vectors import embed, text_vectors

WORDS = ["red", "blue", "green", "sun", "moon", "tree", "river", "stone", "road", "hill"]
CUES = {"colour of the sky": "storm", "sound of the sea": "thunder"}
TRAIN, TEST = 40, 12
EMPTY, LONG, UNSEEN = "empty", "long", "unseen"
Run = Callable[..., Path]


class Killed(TrainerCallback):
    """Ends the process's work in the middle of training, where it is armed."""

    armed = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if Killed.armed and state.global_step == 7:
            raise KeyboardInterrupt


def write_documents(file: Path) -> Path:
    """Documents of 4 to 30 words with the cue of a criterion or without; one is empty, one longer, one asked otherwise."""
    draw = random.Random(0)
    records = []
    for number in range(TRAIN + 2 * TEST):
        split = "train" if number < TRAIN else "validation" if number < TRAIN + TEST else "test"
        kind = list(CUES)[number % 2]
        there = number % 4 < 2
        words = draw.choices(WORDS, k=draw.randint(4, 30))
        words[draw.randrange(len(words))] = CUES[kind] if there else draw.choice(WORDS)
        records.append(
            {"id": f"d{number}", "text": " ".join(words), "criterion": kind, "label": int(there), "split": split}
        )
    long = " ".join([*draw.choices(WORDS, k=400), *CUES.values()])
    first = next(iter(CUES))
    for name, text, kind in ((EMPTY, "", first), (LONG, long, first), (UNSEEN, "red sun", "smell of the earth")):
        records.append({"id": name, "text": text, "criterion": kind, "label": 1, "split": "test"})
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that trains a named run on these documents."""
    folder = tmp_path_factory.mktemp("retrieval")
    file = write_documents(folder / "documents.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSMITH_CACHE", str(folder / "cache"))

        def train(name: str, *more: str, pair: bool = True, **flags: bool) -> Path:
            template = "{text: '{{ text }}', pair: '{{ criterion }}'}" if pair else "{text: '{{ text }}'}"
            given = [
                "model=tfidf-svd", f"data.files={file}", "data.label=label", "data.id=id", f"data.template={template}",
                "data.chunks={by: words, size: 3, overlap: 1}", "data.split={validation: 0, test: 0, column: split}",
                "task.queries=4", "task.k=3", "objective={binary_cross_entropy: 1, query_diversity: 1}",
                "train.num_train_epochs=6", "train.per_device_train_batch_size=8", "train.learning_rate=0.01",
                "train.early_stopping_patience=null", "train.logging_steps=2", "tracking.report_to=[]",
                f"runs_dir={folder / 'runs'}", f"name={name}", *more,
            ]  # fmt: skip
            return lossmith.train("retrieval", given, quiet=True, **flags).path

        yield train


def predicted(run: Path, split: str = "test") -> dict[str, dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(lossmith.predict(run, split=split)).to_pylist()
    return {row["id"]: row for row in rows}


def test_every_document_is_judged_the_empty_and_the_long_one_too(trained: Run):
    rows = predicted(trained("pairs"))
    assert len(rows) == TEST + 3
    assert all(row["error"] is None and 0 < row["score.1"] < 1 for row in rows.values())
    assert rows[EMPTY]["evidence"] == []
    assert len(rows[LONG]["evidence"]) == 5
    for row in rows.values():
        importance = [each["importance"] for each in row["evidence"]]
        assert importance == sorted(importance, reverse=True)
        assert all(row["prompt"][each["start"] : each["end"]].strip() for each in row["evidence"])


def test_the_importance_of_a_chunk_is_what_the_logit_loses_without_it(trained: Run):
    run = trained("pairs")
    rows = predicted(run)
    model = load_retrieval(run / "model", precision=choose_precision(device="cpu", dtype="float32"))
    assert model.encoder is not None
    model.eval()
    row = next(row for row in rows.values() if row["predicted"] == "0" and row["evidence"])
    prepared = Path(RunFolder(run).manifest()["data"]["folder"]) / "test.parquet"
    number = pq.read_table(prepared, columns=["id"]).column("id").to_pylist().index(row["id"])
    held = embed(prepared, model.encoder)
    vectors = torch.from_numpy(held.rows(number))
    pair = torch.from_numpy(np.array(held.pair(number)))[None]

    @torch.no_grad()
    def logit(kept: list[int]) -> float:
        return float(model(vectors[kept][None], torch.ones(1, len(kept), dtype=torch.bool), pair).logits[0, 0])

    for each in row["evidence"]:
        # Windows of three words share one with the window before and the one after.
        apart = [chunk for chunk in range(len(vectors)) if abs(chunk - each["chunk"]) != 1]
        without = [chunk for chunk in apart if chunk != each["chunk"]]
        assert each["importance"] == pytest.approx(logit(apart) - logit(without), abs=1e-5)
        assert held.units(number)[each["chunk"]].tolist() == [each["start"], each["end"]]


def test_a_saved_model_needs_nothing_of_what_it_was_trained_with(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = trained("pairs")
    before = predicted(run, "validation")
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "another"))
    after = predicted(run, "validation")
    for name, row in before.items():
        assert after[name]["score.1"] == pytest.approx(row["score.1"], abs=1e-6)
        assert [e["chunk"] for e in after[name]["evidence"]] == [e["chunk"] for e in row["evidence"]]


def test_a_criterion_of_no_training_record_has_a_score_by_its_text_and_an_error_without(trained: Run):
    assert predicted(trained("pairs"))[UNSEEN]["error"] is None
    rows = predicted(trained("heads", "task.criterion=heads"))
    assert "the criterion is none of those of training" in rows[UNSEEN]["error"]
    assert rows[UNSEEN]["score.1"] is None
    assert rows[UNSEEN]["evidence"] is None
    assert sum(row["error"] is not None for row in rows.values()) == 1


def test_criteria_that_the_encoder_cannot_tell_apart_have_no_classifiers_of_their_own(trained: Run):
    with pytest.raises(ConfigError, match="cannot tell the criteria"):
        trained(
            "same",
            "task.criterion=heads",
            "data.template={text: '{{ text }}', pair: '{{ criterion[:3] }}#'}",
            "model.vocab_size=12",
        )


def test_training_that_was_killed_goes_on_as_if_it_had_not_been(trained: Run, monkeypatch: pytest.MonkeyPatch):
    more = ("train.save_strategy=steps", "train.save_steps=4", "train.callbacks=[tests.tasks.test_retrieval:Killed]")
    whole = trained("whole", *more)
    monkeypatch.setattr(Killed, "armed", True)
    with pytest.raises(KeyboardInterrupt):
        trained("killed", *more)
    monkeypatch.setattr(Killed, "armed", False)
    killed = trained("killed", *more, resume=True)
    one, other = (load_file(run / "model" / "retrieval.safetensors") for run in (whole, killed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    histories = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in read_jsonl(RunFolder(run).history)]
        for run in (whole, killed)
    ]
    assert histories[0] == histories[1]


def test_history_tells_accuracy_and_every_terms_share_of_the_gradient_on_the_queries(trained: Run):
    lines = [line for line in read_jsonl(RunFolder(trained("pairs")).history) if "terms" in line]
    assert all(0 <= line["accuracy"] <= 1 for line in lines)
    shares = [{name: term["share"] for name, term in line["terms"].items()} for line in lines]
    measured = [share for share in shares if share["binary_cross_entropy"] is not None]
    assert measured
    assert all(sum(share.values()) == pytest.approx(1) for share in measured)


def test_queries_begin_as_they_are_asked_to(trained: Run):
    texts = "task.query_texts=[a storm over the hill]"
    run = trained("texts", "task.query_init=texts", texts, "train.max_steps=1", "train.learning_rate=1e-9", pair=False)
    model = load_retrieval(run / "model", precision=choose_precision(device="cpu", dtype="float32"))
    assert model.encoder is not None
    expected = text_vectors(model.encoder, ["a storm over the hill"])[0]
    np.testing.assert_allclose(model.queries[0].detach(), expected, atol=1e-5)
    assert "vectors of task.query_texts (1)" in RunFolder(run).log.read_text()


def test_a_model_goes_on_from_the_weights_of_a_run(trained: Run):
    first = trained("pairs")
    run = trained("further", f"train.init_from={first}", "train.max_steps=1", "train.learning_rate=1e-9")
    one, other = (load_file(folder / "model" / "retrieval.safetensors") for folder in (first, run))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_an_encoder_alone_cannot_be_asked(trained: Run):
    config = trained("pairs") / "config.yaml"
    with pytest.raises(InputError, match="no queries"):
        lossmith.run(config, ["train=null", "name=alone", "evaluate.baselines=none"], quiet=True)
