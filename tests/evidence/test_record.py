"""The evidence of one document as plain data."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lossmith.evidence.opened import Opened
from lossmith.evidence.reading import Judge, Reading, read_document
from lossmith.evidence.record import record_evidence
from lossmith.labels import Classes
from lossmith.models.precision import choose_precision
from lossmith.models.retrieval import RetrievalClassifier, RetrievalShape
from lossmith.tasks.classified import Decision
from lossmith.tasks.retrieval import UNKNOWN
from tests.evidence.documents import WIDTH, document_of, judge_of, model_of
from tests.evidence.plain_reader import unit_vectors

CPU = torch.device("cpu")


def explained(model, document, judge):
    return record_evidence(document, judge, read_document(model, document, judge, CPU), split="test")


def logit_without(model, document, gone: int | None) -> float:
    vectors = torch.from_numpy(np.delete(document.vectors, [] if gone is None else [gone], axis=0))[None]
    pair = None if document.pair is None else torch.from_numpy(document.pair)[None]
    with torch.no_grad():
        return float(model(vectors, torch.ones(vectors.shape[:2], dtype=torch.bool), pair).logits[0, 0])


@pytest.mark.parametrize("criterion", [None, "text"])
@pytest.mark.parametrize("seed", range(4))
def test_importance_is_the_fall_of_the_positive_logit_whatever_is_predicted(seed: int, criterion: str | None):
    model, document = model_of(seed, criterion=criterion), document_of(12, seed=seed, pair=criterion is not None)
    told = explained(model, document, judge_of())
    whole = logit_without(model, document, None)
    assert told["predicted"] == ("yes" if whole >= 0 else "no")
    assert told["about"] == ["yes"]
    assert told["scores"]["yes"] == pytest.approx(1 / (1 + np.exp(-whole)), abs=1e-6)
    assert 2 <= len(told["evidence"]) <= 6
    for one in told["evidence"]:
        fall = whole - logit_without(model, document, one["chunk"])
        assert one["importance"] == pytest.approx(fall, abs=1e-5)
        assert one["text"] == f"line {one['chunk']}" == document.row["prompt"][one["start"] : one["end"]]
    falls = [one["importance"] for one in told["evidence"]]
    assert falls == sorted(falls, reverse=True)
    json.dumps(told, allow_nan=False)


def test_weights_of_a_query_add_up_to_one_and_those_of_a_chunk_are_their_mean():
    model, document = model_of(k=4), document_of(20)
    told = explained(model, document, judge_of())
    assert [query["query"] for query in told["queries"]] == [0, 1, 2]
    for query in told["queries"]:
        weights = [one["weight"] for one in query["chunks"]]
        assert len(weights) == 4
        assert sum(weights) == pytest.approx(1, abs=1e-5)
        assert weights == sorted(weights, reverse=True)
        direction = torch.nn.functional.normalize(model.queries[query["query"]], dim=0).detach().numpy()
        for one in query["chunks"]:
            assert one["cosine"] == pytest.approx(float(direction @ document.vectors[one["chunk"]]), abs=1e-5)
    for one in told["evidence"]:
        own = {q["query"]: c["weight"] for q in told["queries"] for c in q["chunks"] if c["chunk"] == one["chunk"]}
        assert one["queries"] == sorted(own)
        assert one["weight"] == pytest.approx(sum(own.values()) / 3)
    assert {c["chunk"] for q in told["queries"] for c in q["chunks"]} == {one["chunk"] for one in told["evidence"]}


def test_a_document_that_a_threshold_misses_shows_the_same_evidence():
    model, document = model_of(2), document_of(9)
    score = explained(model, document, judge_of())["scores"]["yes"]
    yes, no = (explained(model, document, judge_of(threshold)) for threshold in (score - 0.01, score + 0.01))
    assert (yes["predicted"], no["predicted"]) == ("yes", "no")
    assert yes["evidence"] == no["evidence"]


def test_a_criterion_may_have_a_threshold_of_its_own():
    model = model_of(2, criterion="text")
    document = document_of(9, pair=True)
    document = replace(document, row={**document.row, "keep.criterion": "lines"})
    judge = replace(judge_of(0.0), decision=Decision(0.0, by_criterion={"lines": 1.0})).of(document.row)
    assert explained(model, document, judge)["predicted"] == "no"
    assert explained(model, document, judge)["criterion"] == "about lines"


def test_the_mean_of_all_chunks_is_evidence_without_queries():
    model, document = model_of(aggregate="mean"), document_of(7)
    told = explained(model, document, judge_of(has_queries=False))
    assert told["queries"] == []
    assert sorted(one["chunk"] for one in told["evidence"]) == list(range(7))
    assert all(one["weight"] == pytest.approx(1 / 7) and one["queries"] == [] for one in told["evidence"])
    whole = logit_without(model, document, None)
    first = told["evidence"][0]
    falls = [whole - logit_without(model, document, chunk) for chunk in range(7)]
    assert first["importance"] == pytest.approx(max(falls), abs=1e-5)


@pytest.mark.parametrize("chunks", [0, 1])
def test_a_document_of_one_chunk_or_none_is_explained(chunks: int):
    told = explained(model_of(), document_of(chunks), judge_of())
    assert len(told["document"]["chunks"]) == len(told["evidence"]) == chunks
    assert set(told["scores"]) == {"no", "yes"}
    assert [len(query["chunks"]) for query in told["queries"]] == [chunks] * 3


def test_a_row_that_failed_says_why_and_has_no_scores():
    told = record_evidence(document_of(3), judge_of(), "the criterion is unknown", split="test")
    assert (told["predicted"], told["error"], told["scores"]) == (None, "the criterion is unknown", {})
    assert (told["label"], told["about"], told["evidence"], told["queries"]) == ("yes", [], [], [])


def test_labels_that_do_not_exclude_each_other_are_told_by_name():
    model = model_of(outputs=("a", "b", "c"))
    document = document_of(8, label=[1, 0, 1])
    judge = Judge(Classes(("a", "b", "c"), multi_label=True), Decision(0.0), ("a", "b", "c"))
    told = explained(model, document, judge)
    assert (told["label"], told["predicted"]) == ("a, c", "a, b, c")
    assert told["about"] == ["a", "b", "c"]
    whole = read_document(model, document, judge, CPU)
    expected = (whole.left.whole - whole.left.without).mean(axis=1)
    for one in told["evidence"]:
        assert one["importance"] == pytest.approx(expected[one["chunk"]])


def test_what_was_not_read_stands_behind_all_evidence_by_its_cosine():
    reading = read_document(model_of(k=1), document_of(15), judge_of(), CPU)
    read = int(reading.left.read.sum())
    assert sorted(reading.order.tolist()) == list(range(15))
    assert reading.left.read[reading.order[:read]].all()
    far = reading.left.cosines.max(axis=0)[reading.order[read:]]
    assert far.tolist() == sorted(far, reverse=True)


def test_a_criterion_without_a_classifier_of_its_own_is_told_as_an_error():
    known = unit_vectors(2, WIDTH, seed=5)
    shape = RetrievalShape(WIDTH, ("yes",), "sigmoid", queries=2, k=2, criterion="heads", criteria=("a", "b"))
    model = RetrievalClassifier(shape, criteria=known).eval()
    given = SimpleNamespace(precision=choose_precision(device="cpu", dtype="auto"))
    opened = Opened(given, model, judge_of())
    unknown = document_of(4, pair=True)
    assert opened.read(unknown) == UNKNOWN
    reading = opened.read(replace(unknown, pair=known[1].numpy()))
    assert isinstance(reading, Reading)
    assert len(reading.left.whole) == 1
