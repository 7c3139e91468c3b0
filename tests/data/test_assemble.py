"""Rows put together to documents: in order, by windows, with the labels and columns that their rows have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lossmith.config.data import DataConfig
from lossmith.config.schema import Config
from lossmith.data.assemble import assemble
from lossmith.data.prepare import Prepared, prepare_data
from lossmith.data.sources.files import list_sources
from lossmith.errors import DataError, InputError

WriteJsonl = Callable[..., Path]
BY = {"by": "firm", "order": "line", "text": "sentence"}


def line(firm: str, number: Any, text: str, **more: Any) -> dict[str, Any]:
    return {"firm": firm, "line": number, "sentence": text, **more}


def documents(path: Path | dict[str, str], window: int | None = None, **data: Any) -> list[Any]:
    files = {key: str(one) for key, one in path.items()} if isinstance(path, dict) else str(path)
    config = DataConfig(files=files, assemble={**BY, "window": window}, **data)
    return [row for _, row in assemble(list_sources(config), config)]


def prepared(path: Path, data: dict[str, Any], **groups: Any) -> Prepared:
    config = Config(
        data={
            "files": str(path),
            "template": {"text": "{{ sentence }}"},
            "split": {"validation": 0, "test": 0},
            "chunks": {"by": "lines", "size": 2, "overlap": 1},
            "assemble": BY,
            **data,
        },
        task={"kind": "retrieval"},
        **groups,
    )
    return prepare_data(config, tokenizer_for=lambda _: None, tokenizer_key="")


def rows(found: Prepared, split: str = "train") -> list[dict[str, Any]]:
    file = found.split_file(split)
    return [] if file is None else list(pq.read_table(file).to_pylist())


def test_rows_are_sorted_by_number_and_cut_to_windows(write_jsonl: WriteJsonl) -> None:
    numbers = [10, 2, 1, 9, 3]
    path = write_jsonl(line(firm, number, f"{firm}{number}") for number in numbers for firm in ("a", "b"))
    found = documents(path, window=2)
    assert [row.document for row in found] == ["a:1", "a:2", "a:3", "b:1", "b:2", "b:3"]
    assert [row.values["sentence"] for row in found[:3]] == ["a1\na2", "a3\na9", "a10"]
    assert [row.line for row in found[:3]] == [5, 9, 1]
    assert {row.cluster for row in found[:3]} == {"a"}
    whole = documents(path)
    assert [(row.document, row.values["sentence"].count("\n")) for row in whole] == [("a:1", 4), ("b:1", 4)]


def test_a_row_is_a_line_whatever_its_text_holds(write_jsonl: WriteJsonl) -> None:
    (found,) = documents(write_jsonl([line("a", 1, "one\r\ntwo\nthree"), line("a", 2, None), line("a", 3, "four 😀")]))
    assert found.values["sentence"].split("\n") == ["one two three", "", "four 😀"]


def test_numbers_may_be_text_and_places_may_be_dates(write_jsonl: WriteJsonl) -> None:
    found = documents(write_jsonl([line("a", "10", "last"), line("a", "9", "first")]))
    assert found[0].values["sentence"] == "first\nlast"
    days = ["2025-03-01T10:00:00+02:00", "2025-03-01", "2024-12-31"]
    found = documents(write_jsonl([line("a", day, f"on {day}") for day in days]))
    assert [text[3:] for text in found[0].values["sentence"].split("\n")] == days[::-1]


def test_rows_without_place_owner_or_text_come_with_their_problem(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(
        [
            line("a", 1, "kept"),
            line("a", "soon", "no place"),
            line("a", True, "no place"),
            line("a", float("nan"), "no place"),
            line(" ", 2, "nobody's"),
            {"firm": "a", "line": 3},
        ]
    )
    found = documents(path)
    assert [row.problem.reason for row in found[:-1]] == ["bad order"] * 3 + ["no document", "missing column"]
    assert found[-1].values["sentence"] == "kept"


def test_labels_hold_where_they_hold_in_any_row(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(
        line("a", n, "x", fee=n == 1, ban=0, law="yes" if n == 2 else "no", kind="b2b") for n in range(4)
    )
    found = documents(path, window=2, label=["fee", "ban", "law"])
    assert [[row.values[name] for name in ("fee", "ban", "law")] for row in found] == [[1, 0, 0], [0, 0, 1]]
    single = documents(path, window=2, label="law")
    assert [row.values["law"] for row in single] == ["no", "yes"], "in the words of the column"
    assert [row.values["kind"] for row in documents(path, window=2, label="kind")] == ["b2b", "b2b"]


def test_what_no_row_says_is_unknown_and_what_is_no_label_is_told(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl([line("a", 1, "x", fee=0), line("a", 2, "x", fee=None), line("b", 1, "x", fee="often")])
    unknown, broken = documents(path, pairs={"fee": "Are there fees?"})
    assert unknown.values["fee"] is None, "the row that says nothing may be the one"
    assert (broken.problem.reason, broken.document) == ("bad label", "b:1")


def test_columns_are_kept_where_all_rows_agree(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(line("a", n, "x", lang="en", page=n // 3, meta={"site": "s", "n": n}) for n in range(4))
    (found,) = documents(path)
    assert found.values == {"firm": "a", "sentence": "x\nx\nx\nx", "lang": "en", "meta": {"site": "s"}}


@pytest.mark.parametrize("key", ["cluster", "task", "group", "label"])
def test_rows_that_must_agree_and_do_not_are_refused(write_jsonl: WriteJsonl, key: str) -> None:
    path = write_jsonl(line(firm, n, "x", page=f"p{n if firm == 'a' else 0}") for n in range(2) for firm in "ab")
    apart, agreed = documents(path, **{key: "page"})
    assert apart.problem.reason == "rows of one document differ"
    assert agreed.values["page"] == "p0"


def test_rows_of_one_document_lie_in_files_of_one_split(write_jsonl: WriteJsonl) -> None:
    first = write_jsonl([line("a", 2, "second")], name="1.jsonl")
    second = write_jsonl([line("a", 1, "first")], name="2.jsonl")
    config = DataConfig(files=[str(first), str(second)], assemble=BY)
    assert [row.values["sentence"] for _, row in assemble(list_sources(config), config)] == ["first\nsecond"]
    with pytest.raises(DataError, match=r"rows of 'a' .* files of two splits"):
        documents({"train": str(first), "test": str(second)})


def test_documents_become_rows_that_do_not_cross_splits(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(line(f"f{n % 10}", n, f"text {n}", odd=n % 2) for n in range(200))
    found = prepared(
        path,
        {
            "assemble": {**BY, "window": 5},
            "label": "odd",
            "keep": ["firm"],
            "split": {"validation": 0.2, "test": 0.2},
        },
    )
    held = {split: {row["keep.firm"] for row in rows(found, split)} for split in ("train", "validation", "test")}
    assert found.counts == {"train": 24, "validation": 8, "test": 8}
    assert all(one.isdisjoint(other) for a, one in held.items() for b, other in held.items() if a < b)
    row = rows(found)[0]
    assert (row["id"], row["cluster"]) == (f"{row['keep.firm']}:{row['id'].split(':')[1]}", row["keep.firm"])
    assert len(row["chunks"]) == 4
    assert found.audit["assembled"] == {"rows": 200, "documents": 40, "tied": 0}


def test_rows_of_one_place_stay_in_file_order_and_are_told(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(line("a", 7, f"text {n}", y=n % 2) for n in range(4))
    found = prepared(path, {"assemble": {**BY, "window": 2}, "label": ["y"]}, objective={"binary_cross_entropy": 1})
    assert [row["prompt"] for row in rows(found)] == ["text 0\ntext 1", "text 2\ntext 3"]
    assert found.audit["assembled"]["tied"] == 2
    assert any("have the place of the row before" in sentence for sentence in found.audit["warnings"])


def test_a_misspelt_column_is_one_error_with_the_nearest(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(line("a", n, "x", y=n) for n in range(3))
    with pytest.raises(InputError, match=r"data\.assemble\.order") as caught:
        prepared(path, {"assemble": {**BY, "order": "lines"}, "label": "y"})
    assert "'line'" in str(caught.value.fix)
    with pytest.raises(DataError, match="3 of 3 records were rejected"):
        prepared(path, {"assemble": {**BY, "order": "sentence"}, "label": "y"})


def test_columns_of_a_table_are_put_together_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("firm,line,sentence,fee\na,2,two,0\na,10,ten,1\nb,1,one,0\n", encoding="utf-8")
    found = documents(path, label="fee")
    assert [(row.values["sentence"], row.values["fee"]) for row in found] == [("two\nten", "1"), ("one", "0")]


def test_terms_of_service_become_documents_of_one_company(shared_data: Path) -> None:
    path = shared_data / "tos_unfair" / "tos_sentences.jsonl"
    flags = ["ltd", "ter", "ch", "a", "cr", "law", "pinc", "use", "j"]
    config = DataConfig(
        files=str(path),
        assemble={"by": "company", "order": "line_number", "text": "sentence", "window": 60},
        label=flags,
    )
    found = [row for _, row in assemble(list_sources(config), config)]
    source = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    companies = {row["company"] for row in source}
    assert len(companies) == 41
    lines = [(row.cluster, text) for row in found for text in row.values["sentence"].split("\n")]
    by_line = sorted(source, key=lambda row: row["line_number"])
    for company in companies:
        own = [text for name, text in lines if name == company]
        assert own == [row["sentence"] for row in by_line if row["company"] == company]
    held = [sum(row[flag] for row in source) for flag in flags]
    assert [sum(row.values[flag] for row in found) for flag in flags] <= held
    assert all(
        (sum(row.values[flag] for row in found) > 0) == (total > 0) for flag, total in zip(flags, held, strict=True)
    )


def test_a_column_in_which_rows_differ_is_none_of_the_document(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(line("a", n, "x", page=n, y=n % 2) for n in range(3))
    with pytest.raises(InputError, match="no record has the column 'page'") as caught:
        prepared(path, {"label": "y", "keep": ["page"]})
    assert "all its rows agree" in str(caught.value.fix)


def test_one_owner_is_one_cluster_and_leaves_no_other_split(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(line("a", n, "x", y=n > 2) for n in range(6))
    given = {"assemble": {**BY, "window": 2}, "label": "y", "split": {"validation": 0.3, "test": 0.3}}
    found = prepared(path, given)
    assert found.counts == {"train": 3, "validation": 0, "test": 0}
    why = "all are of one cluster, and a cluster never crosses splits"
    assert f"the validation split has no records: {why}" in found.audit["warnings"]
    assert found.audit["splits"]["train"]["clusters"] == 1


def test_documents_of_one_owner_in_two_splits_are_refused(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(line("a", n, "x", y=n % 2, part="train" if n < 2 else "test") for n in range(4))
    split = {"validation": 0, "test": 0, "column": "part"}
    with pytest.raises(DataError, match="cluster 'a' has records in two splits") as caught:
        prepared(path, {"assemble": {**BY, "window": 2}, "label": ["y"], "split": split})
    assert "every value of 'firm'" in str(caught.value.expected)
