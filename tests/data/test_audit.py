"""Counts of the audit on data small enough to count by hand; a token is a byte here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossmith.data.audit.table import audit_table, overlap_table
from lossmith.data.audit.tally import Tally
from lossmith.data.prepare import Prepared
from lossmith.data.records import Record
from lossmith.data.rendered import Encoded

Prepare = Callable[..., Prepared]
WriteJsonl = Callable[..., Path]
PAIR = {"template": {"prompt": "{{ q }}", "answer": '{% span "mark" %}{{ a }}{% endspan %}'}}


def files(write: WriteJsonl, **splits: list[dict[str, Any]]) -> dict[str, str]:
    return {name: str(write(rows, f"{name}.jsonl")) for name, rows in splits.items()}


def pair(q: str, a: str) -> dict[str, str]:
    return {"q": q, "a": a}


def test_tokens_supervision_and_lengths(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    train = [pair("q" * n, "abc") for n in range(1, 11)]
    audit = prepare(
        {**PAIR, "files": files(write_jsonl, train=train, test=[pair("x", "yz")]), "split": {"validation": 0.0}}
    ).audit
    split = audit["splits"]["train"]
    assert (split["records"], split["tokens"], split["supervised_tokens"]) == (10, 55 + 40, 40)
    assert split["supervised_share"] == pytest.approx(40 / 95)
    assert split["length"] == {"p50": 9, "p90": 13, "p99": 14, "max": 14}
    assert split["end_supervised"] == 10
    assert split["spans"] == {"mark": {"records": 10, "items": 10, "tokens": 30}}
    assert audit["splits"]["validation"]["length"] is None
    assert audit["warnings"] == ["the validation split has no records"]


def test_duplicates_inside_and_across_splits(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    train = [pair("one", "1"), pair("one", "1"), pair("two", "2"), pair("three", "3")]
    test = [pair("one", "1"), pair("two", "other"), pair("new", "9")]
    split = {"validation": 0.0}
    audit = prepare({**PAIR, "files": files(write_jsonl, train=train, test=test), "split": split}).audit
    assert audit["splits"]["train"]["duplicates"] == 1
    assert audit["overlap"]["train/test"] == {"texts": 1, "prompts": 2, "clusters": 0}
    assert "1 of 4 train records repeat the text of an earlier one" in audit["warnings"]
    assert "1 of 3 test texts are in train too" in audit["warnings"]
    assert overlap_table(audit)[2] == ("train and test", "1", "2", "0")


@pytest.mark.parametrize(
    ("policy", "count", "sentence"),
    [
        ("drop", {"dropped": 3}, "3 of 10 train records (30%) were dropped: longer than data.max_length=20 tokens"),
        ("cut_prompt", {"cut_prompt": 3}, "3 of 10 train records (30%) had their prompt cut"),
        ("cut_answer", {"cut_answer": 3}, "3 of 10 train records (30%) had their answer cut"),
    ],
)
def test_truncation_is_counted_and_warned_of(
    prepare: Prepare, write_jsonl: WriteJsonl, policy: str, count: dict[str, int], sentence: str
) -> None:
    train = [pair("q" * (12 if n < 3 else 2), "abcdefgh") for n in range(10)]
    test = [pair("q" * 30, "abc")]
    audit = prepare(
        {
            **PAIR,
            "files": files(write_jsonl, train=train, test=test),
            "split": {"validation": 0.0},
            "max_length": 20,
            "truncation": policy,
        }
    ).audit
    train_split = audit["splits"]["train"]
    assert train_split["truncation"] == count
    assert train_split["records"] == (7 if policy == "drop" else 10)
    assert train_split["length"]["max"] <= 20
    assert any(warning.startswith(sentence) for warning in audit["warnings"])
    assert audit["splits"]["test"]["truncation"] == {"cut_prompt": 1}
    missing = [warning for warning in audit["warnings"] if warning.startswith("the end of the answer")]
    assert bool(missing) == (policy == "cut_answer")
    row = next(row for row in audit_table(audit) if row[0] == next(iter(count)).replace("_", " "))
    assert row[1] == "3"


def test_a_span_that_never_occurs_in_training_is_told(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    template = {"text": '{% if a %}{% span "mark" %}{{ a }}{% endspan %}{% endif %}{{ q }}'}
    named = files(write_jsonl, train=[pair("x", "")] * 5, test=[pair("x", "a")])
    audit = prepare({"template": template, "files": named, "split": {"validation": 0.0}}).audit
    assert "the span 'mark' occurs in none of the 5 training records" in audit["warnings"]
    assert audit["splits"]["train"]["spans"] == {"mark": {"records": 0, "items": 0, "tokens": 0}}
    assert audit["splits"]["test"]["spans"]["mark"]["tokens"] == 1


def test_the_audit_is_plain_json_beside_the_rows(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    prepared = prepare({**PAIR, "files": str(write_jsonl(pair(f"q{n}", "a") for n in range(20)))})
    assert json.loads((prepared.folder / "audit.json").read_text()) == prepared.audit
    table = audit_table(prepared.audit)
    assert table[0] == ("", "train", "validation", "test")
    assert table[1] == ("records", "16", "2", "2")
    assert all(len(row) == 4 for row in table)


def encoded(ids: list[int], **facts: Any) -> Encoded:
    plain: dict[str, Any] = {"prompt_length": 1, "supervised": [(1, len(ids))], "spans": [], "straddles": 0}
    return Encoded(**{"input_ids": ids, "prompt": "p", "target": "t", "truncation": None, **plain, **facts})


def test_straddles_ends_and_copies_are_summed() -> None:
    tally = Tally([9])
    record = Record(id="a", fields={}, cluster="c")
    tally.add(record, encoded([1, 2, 9], straddles=2), 3)
    tally.add(record, encoded([1, 2, 3]), 1)
    tally.add(record, encoded([], supervised=[], truncation="prompt_too_long"), 1)
    tally.add(record, encoded([1, 2], truncation="dropped"), 1)
    summary = tally.summary([])
    assert (summary["records"], summary["repeated"], summary["tokens"]) == (3, 2, 12)
    assert (summary["supervised_tokens"], summary["straddled_tokens"], summary["end_supervised"]) == (8, 2, 1)
    assert summary["truncation"] == {"dropped": 1, "prompt_too_long": 1}
    assert (summary["clusters"], summary["duplicates"]) == (1, 2)
