"""Labels: names in one order, a positive class by rule, and records without one refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lossmith.config.schema import Config
from lossmith.data.audit.labels import group_table
from lossmith.data.audit.table import audit_table, overlap_table
from lossmith.data.labelling import MOST_CLASSES, Labelling
from lossmith.data.prepare import Prepared
from lossmith.data.rejection import RecordError
from lossmith.errors import ConfigError, DataError, InputError
from lossmith.labels import Classes

Prepare = Callable[..., Prepared]
WriteJsonl = Callable[..., Path]
HEAD = {"kind": "classification"}


def labelling(label: Any = "y", **task: Any) -> Labelling:
    found = Labelling.of(Config(task={**HEAD, **task}, data={"label": label}))
    assert found is not None
    return found


def rows_of(prepared: Prepared, split: str = "train") -> list[dict[str, Any]]:
    file = prepared.split_file(split)
    assert file is not None
    return list(pq.read_table(file).to_pylist())


def rejected(prepared: Prepared) -> list[tuple[str, str]]:
    lines = (prepared.folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["reason"], row["detail"]) for row in map(json.loads, lines)]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([10, 9, 2.0, "1.5"], ("1.5", "2", "9", "10")),
        ([True, False], ("false", "true")),
        (["b", "a", " a "], ("a", "b")),
        (["x", 3, "nan", -1], ("-1", "3", "nan", "x")),
    ],
)
def test_names_are_text_and_numbers_come_by_value(values: list[Any], names: tuple[str, ...]) -> None:
    found = labelling()
    assert found.class_names(found.read({"y": value}) for value in values) == names


def test_declared_classes_keep_their_order_and_reject_others() -> None:
    found = labelling(classes=["normal", "offensive", "hate"])
    assert found.class_names(["hate"]) == ("normal", "offensive", "hate")
    with pytest.raises(RecordError, match="unknown label: 'offensiv'") as told:
        found.read({"y": "offensiv"})
    assert told.value.fix == "did you mean 'offensive'?"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "missing label"),
        ("  ", "missing label"),
        (float("nan"), "missing label"),
        (["a"], "bad label"),
        ({}, "bad label"),
    ],
)
def test_a_record_without_a_label_is_refused(cell: Any, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        labelling().read({"y": cell})


def test_flags_of_labels_that_do_not_exclude_each_other() -> None:
    found = labelling(["a", "b", "c"])
    assert found.read({"a": True, "b": "0", "c": 1.0}) == (1, 0, 1)
    told = found.fields((1, 0, 1))
    assert (told["label"], told["label_word"]) == ("a, c", "a, c")
    assert labelling(["a", "b"], classes=["b", "a"]).read({"a": "yes", "b": "No"}) == (0, 1)
    for cell, reason in (
        (None, "missing label: column 'b'"),
        (2, "bad label: column 'b'"),
        ("maybe", "neither 0 nor 1"),
    ):
        with pytest.raises(RecordError, match=reason):
            found.read({"a": 1, "b": cell, "c": 0})


@pytest.mark.parametrize(
    ("names", "given", "training", "positive"),
    [
        (("no", "yes"), None, (1, 9), "yes"),
        (("False", "True"), None, (1, 9), "True"),
        (("0", "1"), "0", (5, 5), "0"),
        (("common", "rare"), None, (9, 1), "rare"),
        (("rare", "zommon"), None, (1, 9), "rare"),
        (("a", "b"), None, (5, 5), "b"),
        (("a", "b", "yes"), None, (1, 1, 1), None),
    ],
)
def test_the_positive_class(
    names: tuple[str, ...], given: str | None, training: tuple[int, ...], positive: str
) -> None:
    found = labelling(**({"positive": given} if given else {}))
    assert found.classes(names, {"train": training}, {"train": sum(training)}).positive == positive


@pytest.mark.parametrize(
    ("task", "label", "match"),
    [
        ({"classes": ["a", "a"]}, "y", "names 'a' twice"),
        ({"classes": ["a"]}, "y", "fewer than two classes"),
        ({"classes": ["a", " "]}, "y", "empty name"),
        ({"classes": ["a", "b"], "positive": "c"}, "y", "unknown class 'c' at task.positive"),
        ({"classes": ["a", "b", "c"], "positive": "a"}, "y", "two classes that exclude each other"),
        ({"positive": "a"}, ["a", "b"], "two classes that exclude each other"),
        ({"classes": ["a", "x"]}, ["a", "b"], "name other labels"),
        ({"classes": ["a", "b"], "label_words": {"c": "see"}}, "y", "unknown class 'c' at task.label_words"),
        ({"classes": ["a", "b"], "label_words": {"a": "b"}}, "y", "the same words"),
        ({}, None, "needs the label of each record"),
        ({}, ["a", "a"], "names 'a' twice"),
    ],
)
def test_names_that_contradict_each_other_are_refused(task: dict[str, Any], label: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        labelling(label, **task)


def test_one_class_and_too_many_classes_are_refused(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    one = write_jsonl([{"text": f"t{n}", "y": "same"} for n in range(20)])
    with pytest.raises(DataError, match="all records have the same label"):
        prepare({"files": str(one), "label": "y"}, task=HEAD)
    many = write_jsonl([{"text": f"t{n}", "y": f"value {n}"} for n in range(MOST_CLASSES + 5)], "many.jsonl")
    with pytest.raises(DataError, match="more than 1000 different values"):
        prepare({"files": str(many), "label": "y"}, task=HEAD)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"template": {"text": "{{ text }} {{ label }}"}}, "reads 'label', which is the label"),
        ({"template": {"text": "{{ text }} {{ y }}"}}, "reads 'y', which is the label"),
        ({"fields": {"text": "text", "z": "y"}, "template": {"text": "{{ z }}"}}, "reads 'z', which is the label"),
        ({"fields": {"label": "text"}}, "'label' is the record's class"),
    ],
)
def test_a_text_that_holds_the_label_is_refused(
    prepare: Prepare, write_jsonl: WriteJsonl, data: dict[str, Any], match: str
) -> None:
    file = write_jsonl([{"text": f"t{n}", "y": n % 2} for n in range(20)])
    with pytest.raises(ConfigError, match=match):
        prepare({"files": str(file), "label": "y", **data}, task=HEAD)


def test_a_prompt_may_not_read_the_label_that_its_answer_gives(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    file = str(write_jsonl([{"text": f"t{n}", "y": ("no", "yes")[n % 2]} for n in range(20)]))
    task = {**HEAD, "method": "label_words", "label_words": {"yes": "hateful"}}
    good = {"prompt": "{{ text }}: ", "answer": "{{ label_word }}"}
    prepared = prepare({"files": file, "label": "y", "template": good}, task=task)
    assert {(row["label"], row["target"]) for row in rows_of(prepared)} == {("no", "no"), ("yes", "hateful")}
    with pytest.raises(ConfigError, match="reads 'label_word'"):
        prepare({"files": file, "label": "y", "template": {**good, "prompt": "{{ label_word }} "}}, task=task)


def test_prepared_rows_hold_names_weights_and_counts(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    rows = [{"text": f"text {n}", "y": n % 3 == 0, "w": n + 1, "label": "kept"} for n in range(40)]
    bad = [{"text": "x", "y": None, "w": 1}, {"text": "x", "y": 1, "w": 0}, {"text": "x", "y": 1, "w": "heavy"}]
    data = {
        "files": {"train": str(write_jsonl([*rows, *bad])), "test": str(write_jsonl(rows[:4], "test.jsonl"))},
        "label": "y",
        "weight": "w",
        "keep": ["label"],
        "split": {"validation": 0},
        "max_rejected": 0.1,
    }
    prepared = prepare(data, task=HEAD)
    found = rows_of(prepared)
    assert [(row["label"], row["weight"], row["target"], row["keep.label"]) for row in found[:2]] == [
        ("true", 1.0, "true", "kept"),
        ("false", 2.0, "false", "kept"),
    ]
    assert all(row["supervised"] == [] and row["prompt_length"] == len(row["input_ids"]) for row in found)
    assert [reason for reason, _ in rejected(prepared)] == ["missing label", "bad weight", "bad weight"]
    assert prepared.classes == Classes(
        ("false", "true"),
        positive="true",
        counts={"train": (26, 14), "validation": (0, 0), "test": (2, 2)},
        examples={"train": 40, "validation": 0, "test": 4},
    )
    assert json.loads((prepared.folder / "classes.json").read_text()) == prepared.classes.as_json()
    assert prepare(data, task=HEAD).reused and prepare(data, task=HEAD).classes == prepared.classes
    changed = [prepare(data, task={**HEAD, **task}) for task in ({"positive": "false"}, {"classes": ["true", "false"]})]
    assert not any(again.reused for again in changed)
    assert [again.classes.positive for again in changed if again.classes] == ["false", "true"]


def test_a_missing_label_column_is_one_error(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    file = write_jsonl([{"text": "t", "labell": 1}] * 3)
    with pytest.raises(DataError, match=r"the column 'label' that data\.label names") as told:
        prepare({"files": str(file), "label": "label"}, task=HEAD)
    assert told.value.fix == "did you mean 'labell'?"


def test_the_audit_tells_absent_and_rare_classes_by_split_and_group(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    def make(count: int, name: str) -> list[dict[str, Any]]:
        return [{"text": f"{name} number {n}", "y": name, "g": ("one", "two", None)[n % 3]} for n in range(count)]

    data = {
        "files": {
            "train": str(write_jsonl([*make(30, "often"), *make(12, "seldom"), *make(3, "rare")], "train.jsonl")),
            "validation": str(write_jsonl([*make(12, "often"), *make(11, "seldom")], "validation.jsonl")),
            "test": str(write_jsonl(make(12, "often"), "test.jsonl")),
        },
        "label": "y",
        "group": "g",
    }
    audit = prepare(data, task=HEAD).audit
    warnings = audit["warnings"]
    assert "the class 'rare' is absent from the validation split, so no figure there is about it" in warnings
    assert "the classes 'rare', 'seldom' are absent from the test split, so no figure there is about them" in warnings
    few = [text for text in warnings if "fewer than 10 records" in text]
    assert few == [
        "the train split has fewer than 10 records of a class (3 of 'rare'): little can be learned from so few"
    ]
    assert audit["labels"]["splits"]["train"] == {"often": 30, "rare": 3, "seldom": 12}
    assert audit["labels"]["groups"]["one"]["train"] == {"often": 10, "rare": 1, "seldom": 4}
    assert ("label 'rare'", "3 (6.7%)", "0 (0.0%)", "0 (0.0%)") in audit_table(audit)
    assert group_table(audit)[:2] == [
        ("group", "often", "rare", "seldom"),
        ("one", "10 / 4 / 4", "1 / 0 / 0", "4 / 4 / 0"),
    ]
    assert not any("supervised" in text for text in [*warnings, *(row[0] for row in audit_table(audit))])
    # The same text stands in all three files, so every later record is a leak.
    assert [text for text in warnings if " too" in text] == [
        "23 of 23 validation texts are in train too",
        "12 of 12 test texts are in train too",
        "12 of 12 test texts are in validation too",
    ]


def test_the_audit_finds_planted_near_duplicates_and_conflicts(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    words = [f"word{n} and other{n} with thing{n} under stone{n} over hill{n}" for n in range(60)]
    train = [{"text": text, "y": n % 2} for n, text in enumerate(words)]
    train.append({"text": words[0], "y": 1})
    test = [{"text": f"quite unlike anything {n} seen{n}", "y": n % 2} for n in range(20)]
    test += [{"text": words[3].upper(), "y": 1}, {"text": words[5] + " more", "y": 1}]
    files = {"train": str(write_jsonl(train, "train.jsonl")), "test": str(write_jsonl(test, "test.jsonl"))}
    prepared = prepare({"files": files, "label": "y", "split": {"validation": 0}}, task=HEAD)
    shared = prepared.audit["overlap"]["train/test"]
    assert (shared["texts"], shared["same"], shared["near"]) == (0, 1, 1)
    near = prepared.audit["near_duplicates"]
    assert near["likest"] == [
        {"ids": ["train.jsonl:6", "test.jsonl:22"], "splits": ["train", "test"], "similarity": 0.9}
    ]
    assert (
        "1 of 22 test texts are nearly one in train (at least 80% of their words in common)"
        in prepared.audit["warnings"]
    )
    assert "1 train records repeat a text that has another label before" in prepared.audit["warnings"]
    heading = ("in both", "texts", "prompts", "same text", "near-duplicates", "clusters")
    assert overlap_table(prepared.audit)[:3:2] == [heading, ("train and test", "0", "0", "1", "1", "0")]


def test_hatexplain_with_rationales(prepare: Prepare, shared_data: Path) -> None:
    prepared = prepare(
        {
            "files": str(shared_data / "hatexplain_subset" / "hatexplain_subset.jsonl"),
            "fields": {"text": "text"},
            "label": "label_multiclass",
            "group": "target_group_norm",
            "split": {"column": "split"},
            "spans": {"rationale": {"field": "text", "tokens": "rationale_text"}},
            "limit": 400,
        },
        task=HEAD,
    )
    assert prepared.classes is not None and prepared.classes.names == ("hatespeech", "normal", "offensive")
    train = rows_of(prepared)
    spans = prepared.audit["splits"]["train"]["spans"]["rationale"]
    assert spans["records"] > 200 and "unaligned" not in spans
    assert set(prepared.audit["labels"]["groups"]) == {"lgbtq", "mexican", "middle_east"}
    sources = (shared_data / "hatexplain_subset" / "hatexplain_subset.jsonl").read_text(encoding="utf-8").splitlines()
    for row in train:
        # A token is a byte here, so the spans cut the words of the rationale out of the text.
        held = [bytes(row["prompt"].encode()[s["start"] : s["end"]]).decode() for s in row["spans"]]
        wanted = json.loads(sources[int(row["id"].rpartition(":")[2]) - 1])["rationale_text"] or ""
        assert " ".join(held).split() == wanted.split()


def test_rationales_that_do_not_align_are_counted(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    rows = [{"text": f"one two three {n}", "y": n % 2, "r": ["two", "three"]} for n in range(30)]
    rows[0]["r"], rows[1]["r"], rows[2]["r"] = ["three", "two"], None, "one  two"
    data = {
        "files": str(write_jsonl(rows)),
        "label": "y",
        "fields": {"text": "text"},
        "spans": {"why": {"field": "text", "tokens": "r"}},
        "normalize": ["strip"],
        "split": {"validation": 0, "test": 0},
    }
    prepared = prepare(data, task=HEAD)
    assert prepared.audit["splits"]["train"]["spans"]["why"]["unaligned"] == 1
    assert (
        "the tokens of the span 'why' do not stand in their field in this order in 1 of 30 train records, "
        "which have no such span"
    ) in prepared.audit["warnings"]
    spans = [row["spans"] for row in rows_of(prepared)]
    assert (spans[0], spans[1]) == ([], [])
    assert [(s["start"], s["end"]) for s in spans[2]] == [(0, 7)]
    assert [(s["start"], s["end"]) for s in spans[3]] == [(4, 13)]


def test_toxic_spans_by_character_numbers(prepare: Prepare, shared_data: Path) -> None:
    prepared = prepare(
        {
            "files": str(shared_data / "toxic_spans" / "tsd_trial.csv"),
            "fields": {"text": "text"},
            "parse": {"spans": "literal"},
            "spans": {"toxic": {"field": "text", "offsets": "spans"}},
            "split": {"validation": 0, "test": 0},
            "limit": 200,
        },
        task={"kind": "causal"},
    )
    found = prepared.audit["splits"]["train"]
    assert found["records"] + found["truncation"].get("dropped", 0) == 200
    assert found["spans"]["toxic"]["records"] > 150


@pytest.mark.parametrize("name", ["Kitchenham_2010", "Nagtegaal_2019"])
def test_screening_labels_are_rare_and_stratified(prepare: Prepare, shared_data: Path, name: str) -> None:
    prepared = prepare(
        {
            "files": str(shared_data / "review_screening" / f"{name}.csv"),
            "fields": {"title": "title"},
            "label": "label_included",
            "split": {"stratified": True, "validation": 0.2, "test": 0.2},
            "template": {"text": "{{ title[:60] }}"},
        },
        task=HEAD,
    )
    classes = prepared.classes
    assert classes is not None and (classes.names, classes.positive) == (("0", "1"), "1")
    positives = {split: counts[1] for split, counts in classes.counts.items()}
    assert abs(positives["test"] - 0.2 * sum(positives.values())) <= 1
    assert abs(positives["validation"] - positives["test"]) <= 1


def test_an_unnamed_column_and_soft_labels(prepare: Prepare, shared_data: Path) -> None:
    data = {
        "files": str(shared_data / "davidson_hate_offensive" / "labeled_data.csv"),
        "fields": {"text": "tweet"},
        "label": "class",
        "weight": "count",
        "keep": ["column_1"],
        "limit": 300,
        "split": {"stratified": True},
    }
    prepared = prepare(data, task={**HEAD, "classes": ["0", "1", "2"]})
    assert prepared.classes is not None and prepared.classes.declared
    rows = rows_of(prepared)
    assert {row["label"] for row in rows} == {"0", "1", "2"} and min(row["weight"] for row in rows) >= 3
    assert all(int(row["keep.column_1"]) >= 0 for row in rows)


def test_flags_of_terms_of_service_by_company(prepare: Prepare, shared_data: Path) -> None:
    flags = ["ltd", "ter", "ch", "a", "cr", "law", "pinc", "use", "j"]
    prepared = prepare(
        {
            "files": str(shared_data / "tos_unfair" / "tos_sentences.jsonl"),
            "fields": {"text": "sentence"},
            "label": flags,
            "cluster": "company",
            "split": {"folds": {"k": 5, "fold": 1, "stratified": True, "clustered": True, "all_records": True}},
            "template": {"text": "{{ text[:40] }}"},
            "limit": 2500,
        },
        task=HEAD,
    )
    classes = prepared.classes
    assert classes is not None and classes.multi_label and classes.names == tuple(flags) and classes.positive is None
    for name in ("ltd", "ter", "ch", "cr", "law"):
        index = flags.index(name)
        counts = {split: held[index] for split, held in classes.counts.items()}
        assert 0.1 <= counts["test"] / sum(counts.values()) <= 0.3
    row = rows_of(prepared)[0]
    assert len(row["label"]) == 9 and row["target"] == ", ".join(
        n for n, v in zip(flags, row["label"], strict=True) if v
    )
    assert any("'pinc', 'use' are absent from the train split" in text for text in prepared.audit["warnings"])
