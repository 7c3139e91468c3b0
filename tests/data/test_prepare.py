"""From sources to parquet: on real data, on damaged data, killed in the middle, and never twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lossmith.config.schema import Config
from lossmith.data.audit.table import audit_table, overlap_table
from lossmith.data.prepare import Prepared, prepare_data
from lossmith.errors import ConfigError, DataError, LossmithError

Prepare = Callable[..., Prepared]
WriteJsonl = Callable[..., Path]
SPLITS = ("train", "validation", "test")


def rows(prepared: Prepared, split: str) -> list[dict[str, Any]]:
    path = prepared.split_file(split)
    return [] if path is None else list(pq.read_table(path).to_pylist())


def ids(prepared: Prepared) -> dict[str, list[str]]:
    return {split: [row["id"] for row in rows(prepared, split)] for split in SPLITS}


def texts(count: int) -> list[dict[str, Any]]:
    return [{"id": f"r{n}", "text": f"text number {n}"} for n in range(count)]


def test_rows_hold_what_the_contract_names(prepare: Prepare, write_jsonl: WriteJsonl, tokenizer: Any) -> None:
    path = write_jsonl(
        {"n": n, "q": f"question {n}", "a": f"answer {n}", "g": "x", "c": f"c{n // 2}", "t": "qa", "y": 0.5}
        for n in range(40)
    )
    prepared = prepare(
        {
            "files": str(path),
            "id": "n",
            "group": "g",
            "cluster": "c",
            "task": "t",
            "label": "y",
            "keep": ["n", "q"],
            "template": {"prompt": "{{ q }}: ", "answer": '{% span "head" %}{{ a }}{% endspan %}'},
        }
    )
    assert prepared.counts == {"train": 32, "validation": 4, "test": 4}
    row = rows(prepared, "train")[0]
    number = row["keep.n"]
    assert (row["id"], row["group"], row["cluster"], row["task"]) == (str(number), "x", f"c{number // 2}", "qa")
    assert (row["keep.q"], row["label"], row["error"]) == (f"question {number}", 0.5, None)
    assert (row["prompt"], row["target"]) == (f"question {number}: ", f"answer {number}")
    assert tokenizer.decode(row["input_ids"]) == f"question {number}: answer {number}<|end|>"
    assert tokenizer.decode(row["input_ids"][: row["prompt_length"]]) == row["prompt"]
    (supervised,) = row["supervised"]
    assert supervised == {"start": row["prompt_length"], "end": len(row["input_ids"])}
    (span,) = row["spans"]
    assert (span["name"], span["item"]) == ("head", 0)
    assert tokenizer.decode(row["input_ids"][span["start"] : span["end"]]) == row["target"]


def test_the_same_inputs_are_prepared_once(write_jsonl: WriteJsonl, tokenizer: Any, tmp_path: Path) -> None:
    path = write_jsonl(texts(30))
    built: list[int] = []

    def tokenizer_for(again: Callable[[], Any]) -> Any:
        built.append(len(list(again())) + len(list(again())))
        return tokenizer

    def call(file: Path = path, key: str = "bytes", seed: int = 0, **data: Any) -> Prepared:
        config = Config(data={"files": str(file), "template": {"text": "{{ text }}"}, **data}, seed=seed)
        return prepare_data(config, tokenizer_for=tokenizer_for, tokenizer_key=key)

    first, second = call(), call()
    assert (first.reused, second.reused) == (False, True)
    assert built == [48]
    assert (second.folder, second.audit, second.template_hash) == (first.folder, first.audit, first.template_hash)
    assert second.files == [{"path": str(path), "sha256": first.files[0]["sha256"], "bytes": path.stat().st_size}]

    moved = tmp_path / "elsewhere" / path.name
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    assert call(moved).reused
    changes: list[dict[str, Any]] = [
        {"key": "other"},
        {"seed": 1},
        {"max_length": 512},
        {"template": {"text": "{{ text }}!"}},
        {"limit": 20},
    ]
    assert len({call(**change).fingerprint for change in changes} | {first.fingerprint}) == 6
    path.write_text(path.read_text() + json.dumps({"id": "new", "text": "new"}) + "\n")
    assert not call().reused
    (first.folder / "train.parquet").unlink()
    assert call(moved).split_file("train") is not None


def test_a_template_file_counts_by_its_text(prepare: Prepare, write_jsonl: WriteJsonl, tmp_path: Path) -> None:
    data = {"files": str(write_jsonl(texts(20))), "template": str(tmp_path / "t.jinja")}
    (tmp_path / "t.jinja").write_text("{{ text }}")
    first = prepare(data)
    (tmp_path / "t.jinja").write_text("{{ text }}.")
    assert prepare(data).fingerprint != first.fingerprint


def test_two_preparations_give_the_same_bytes(
    prepare: Prepare, write_jsonl: WriteJsonl, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"files": str(write_jsonl(texts(300)))}
    first = prepare(data)
    monkeypatch.setenv("LOSSMITH_CACHE", str(cache / "other"))
    second = prepare(data)
    assert not second.reused
    for name in ("train.parquet", "validation.parquet", "test.parquet", "audit.json", "fingerprint.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def test_the_split_of_a_record_does_not_depend_on_the_order_of_files(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    one, two = str(write_jsonl(texts(25), "one.jsonl")), str(write_jsonl(texts(60)[25:], "two.jsonl"))
    first, second = (ids(prepare({"files": files, "id": "id"})) for files in ([one, two], [two, one]))
    assert {split: set(names) for split, names in first.items()} == {s: set(n) for s, n in second.items()}
    assert first != second


KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from conftest_tokenizer import tokenizer
from lossmith.config.schema import Config
from lossmith.data.prepare import prepare_data

def progress(done, total):
    if total is not None and done == {at}:
        os.kill(os.getpid(), signal.SIGKILL)

config = Config(data={{"files": {path!r}, "template": {{"text": "{{{{ text }}}}"}}}})
prepared = prepare_data(config, tokenizer_for=lambda _: tokenizer(), tokenizer_key="bytes", progress=progress)
print("reused" if prepared.reused else "built")
"""

TOKENIZER = """
def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<|pad|>")
"""


def start(tmp_path: Path, path: Path, *, at: int) -> subprocess.Popen[str]:
    (tmp_path / "conftest_tokenizer.py").write_text(TOKENIZER)
    code = KILLED.format(folder=str(tmp_path), path=str(path), at=at)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )


def test_a_killed_preparation_leaves_nothing_that_is_read(
    prepare: Prepare, write_jsonl: WriteJsonl, tmp_path: Path, cache: Path
) -> None:
    path = write_jsonl(texts(4000))
    killed = start(tmp_path, path, at=3900)
    _, errors = killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL, errors
    left = list((cache / "prepared").glob("*.tmp-*"))
    assert len(left) == 1
    assert (left[0] / "train.parquet").stat().st_size > 0
    assert not list((cache / "prepared").glob("*/fingerprint.json"))
    prepared = prepare({"files": str(path)})
    assert not prepared.reused
    assert sum(prepared.counts.values()) == 4000
    assert not list((cache / "prepared").glob("*.tmp-*"))


def test_what_a_killed_preparation_left_is_removed_by_the_next_of_any_kind(
    prepare: Prepare, write_jsonl: WriteJsonl, cache: Path
) -> None:
    left = cache / "prepared" / "0123.tmp-abc"
    left.mkdir(parents=True)
    (left / "train.parquet").write_text("half")
    prepare({"files": str(write_jsonl(texts(20)))})
    assert not left.exists()


def test_of_two_processes_one_builds_and_the_other_waits(write_jsonl: WriteJsonl, tmp_path: Path) -> None:
    path = write_jsonl(texts(2000))
    processes = [start(tmp_path, path, at=-1) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in processes]
    assert sorted(out.strip() for out, _ in told) == ["built", "reused"], told


def test_damaged_lines_are_rejected_with_place_and_reason(prepare: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = [json.dumps(row).encode() for row in texts(300)]
    damaged = {10: b'{"id": 1, "text"', 20: b"[]", 30: b'{"text": "no id"}', 40: b"\xff\xfe{}", 50: good[3]}
    content = b"\n".join(damaged.get(n, line) for n, line in enumerate(good, start=1))
    path.write_bytes(content + b'\n{"id": "cut", "te')
    prepared = prepare({"files": str(path), "id": "id", "max_rejected": 0.05})
    rejected = [json.loads(line) for line in (prepared.folder / "rejected.jsonl").read_text().splitlines()]
    assert {(row["line"], row["reason"]) for row in rejected} == {
        (10, "bad JSON"),
        (20, "not an object"),
        (30, "missing column"),
        (40, "invalid UTF-8"),
        (50, "duplicate id"),
        (301, "truncated last line"),
    }
    assert next(row for row in rejected if row["line"] == 50)["id"] == "r3"
    audit = prepared.audit
    assert (audit["read"], audit["rejected"]["total"], sum(prepared.counts.values())) == (301, 6, 295)
    assert audit["rejected"]["reasons"]["bad JSON"] == 1
    assert any(warning.startswith("6 of 301 records were rejected") for warning in audit["warnings"])


def test_too_many_rejections_stop_with_the_first_reasons(prepare: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "x"}) + "\n" + "{bad\n" * (n % 10 == 0) for n in range(50)))
    with pytest.raises(DataError, match=r"5 of 55 records were rejected \(9.1%\)") as caught:
        prepare({"files": str(path)})
    assert "a.jsonl line 2: bad JSON" in caught.value.message
    assert "and 2 more" in caught.value.message
    assert caught.value.exit_code == 2
    file = Path((caught.value.fix or "").split(" is in ")[1].split(";")[0])
    assert len(file.read_text().splitlines()) == 5
    assert sum(prepare({"files": str(path), "max_rejected": 0.1}).counts.values()) == 50


def test_records_that_no_text_can_be_made_of_are_rejected(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    lines = [{"q": f"q{n}", "a": f"a{n}"} for n in range(30)]
    lines[4] = {"q": "q", "a": "  "}
    lines[5] = {"q": "q", "a": "a <|end|> b"}
    data = {"files": str(write_jsonl(lines)), "template": {"prompt": "{{ q }}", "answer": "{{ a }}"}}
    with pytest.raises(DataError, match=r"2 of 30 records"):
        prepare(data)
    prepared = prepare({**data, "max_rejected": 0.1})
    assert prepared.audit["rejected"]["total"] == 2
    assert not {"rows.jsonl:5", "rows.jsonl:6"} & {name for names in ids(prepared).values() for name in names}


def test_a_misspelt_name_in_the_template_is_one_error_with_the_nearest(
    prepare: Prepare, write_jsonl: WriteJsonl
) -> None:
    with pytest.raises(DataError, match="template 'text' reads field 'txet'") as caught:
        prepare({"files": str(write_jsonl(texts(40))), "template": {"text": "{{ txet }}"}})
    assert caught.value.fix == "did you mean 'text'?"


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"fields": {"text": "txt"}}, "data.fields.text"),
        ({"id": "txt"}, "data.id"),
        ({"cluster": "txt"}, "data.cluster"),
        ({"keep": ["txt"]}, "data.keep"),
        ({"group": ["id", "txt"]}, "data.group"),
        ({"parse": {"txt": "json"}}, "data.parse"),
        ({"split": {"column": "txt"}}, "data.split.column"),
        ({"label": "txt"}, "data.label"),
        ({"spans": {"s": {"field": "text", "offsets": "txt"}}}, "data.spans.s.offsets"),
    ],
)
def test_a_misspelt_column_is_one_error_with_the_nearest_name(
    prepare: Prepare, write_jsonl: WriteJsonl, data: dict[str, Any], key: str
) -> None:
    with pytest.raises(DataError, match="no record has the column 'txt'") as caught:
        prepare({"files": str(write_jsonl(texts(40))), **data})
    assert key in caught.value.message
    assert caught.value.fix == "did you mean 'text'?"


def test_sources_without_a_record_and_splits_without_training_are_refused(
    prepare: Prepare, write_jsonl: WriteJsonl
) -> None:
    with pytest.raises(DataError, match="hold no record"):
        prepare({"files": str(write_jsonl([], "empty.jsonl"))})
    only_test = {"files": {"test": str(write_jsonl(texts(20)))}}
    with pytest.raises(DataError, match="no record is left to train on"):
        prepare(only_test)
    prepared = prepare(only_test, train=None)
    assert prepared.counts == {"train": 0, "validation": 0, "test": 20}
    assert prepared.split_file("train") is None
    assert "the train split has no records" in prepared.audit["warnings"]


def test_a_cluster_in_two_files_is_an_error_that_names_it(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    train = write_jsonl(({"text": f"a{n}", "doc": f"d{n}"} for n in range(20)), "train.jsonl")
    test = write_jsonl(({"text": f"b{n}", "doc": f"d{n + 19}"} for n in range(9)), "test.jsonl")
    data = {"files": {"train": str(train), "test": str(test)}}
    with pytest.raises(DataError, match="the cluster 'd19' has records in two splits") as caught:
        prepare({**data, "cluster": "doc"})
    assert caught.value.got == "train.jsonl line 20 (train) and test.jsonl line 1 (test)"
    assert prepare(data).counts["test"] == 9


def test_a_split_column_beside_split_files_is_refused(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    with pytest.raises(ConfigError, match="named twice"):
        prepare({"files": {"train": str(write_jsonl(texts(9)))}, "split": {"column": "id"}})


def test_a_source_that_changes_between_the_readings_is_noticed(
    tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "restless.py").write_text(
        "calls = []\n\ndef source(files):\n    calls.append(1)\n"
        "    for n in range(20):\n        yield {'id': n * len(calls), 'text': str(n)}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LossmithError, match="gave other records at the second reading"):
        prepare({"source": "restless:source", "id": "id"})


def test_weights_write_training_records_more_often(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    often = write_jsonl(({"id": f"a{n}", "text": f"a{n}"} for n in range(40)), "a.jsonl")
    seldom = write_jsonl(({"id": f"b{n}", "text": f"b{n}"} for n in range(40)), "b.jsonl")
    files = [{"path": str(often), "weight": 2.0}, {"path": str(seldom), "weight": 0.5}]
    prepared = prepare({"files": files, "id": "id"})
    train = Counter(row["id"] for row in rows(prepared, "train"))
    kinds = {kind: [count for name, count in train.items() if name.startswith(kind)] for kind in "ab"}
    assert set(kinds["a"]) == {2}
    assert set(kinds["b"]) == {1}
    held = [row["id"] for split in ("validation", "test") for row in rows(prepared, split)]
    assert len(held) == len(set(held)) == 16
    of_b = 40 - sum(name.startswith("b") for name in held)
    assert len(kinds["b"]) == round(of_b * 0.5)
    assert prepared.audit["left_out"] == {"limit": 0, "weight": of_b - len(kinds["b"])}
    assert prepared.audit["splits"]["train"]["repeated"] == len(kinds["a"])
    assert prepared.counts["train"] == sum(train.values())
    assert any("repeated by weight" in row for row in audit_table(prepared.audit))


def test_a_limit_leaves_out_and_says_so(prepare: Prepare, write_jsonl: WriteJsonl) -> None:
    prepared = prepare({"files": str(write_jsonl(texts(200))), "limit": "25%"})
    assert prepared.counts == {"train": 40, "validation": 5, "test": 5}
    assert prepared.audit["left_out"]["limit"] == 150


def test_progress_is_told_of_both_passes(write_jsonl: WriteJsonl, tokenizer: Any) -> None:
    told: list[tuple[int, int | None]] = []
    config = Config(data={"files": str(write_jsonl(texts(20))), "template": {"text": "{{ text }}"}})
    prepare_data(
        config,
        tokenizer_for=lambda _: tokenizer,
        tokenizer_key="k",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(n, None) for n in range(1, 21)] + [(n, 20) for n in range(1, 21)]


def test_toxic_spans_cover_the_marked_characters(prepare: Prepare, shared_data: Path, tokenizer: Any) -> None:
    folder = shared_data / "toxic_spans"
    prepared = prepare(
        {
            "files": {"train": str(folder / "tsd_trial.csv")},
            "split": {"test": 0.0},
            "parse": {"spans": "literal"},
            "spans": {"toxic": {"field": "text", "offsets": "spans"}},
            "keep": ["spans"],
            "max_length": 4096,
        }
    )
    assert prepared.counts == {"train": 512, "validation": 57, "test": 0}
    marked = 0
    for row in rows(prepared, "train"):
        text = row["target"]
        wanted = {n for n in json.loads(row["keep.spans"]) if not text[n].isspace()}
        covered = "".join(tokenizer.decode(row["input_ids"][s["start"] : s["end"]]) for s in row["spans"])
        assert "".join(covered.split()) == "".join(text[n] for n in sorted(wanted))
        marked += bool(wanted)
    assert marked > 400


def test_davidson_has_an_unnamed_column(prepare: Prepare, shared_data: Path) -> None:
    path = shared_data / "davidson_hate_offensive" / "labeled_data.csv"
    prepared = prepare(
        {
            "files": str(path),
            "id": "column_1",
            "label": "class",
            "limit": 200,
            "normalize": ["unescape_html", "mask_users"],
            "template": {"text": "{{ tweet }}"},
        }
    )
    assert prepared.audit["read"] == 20_620
    assert prepared.audit["rejected"]["total"] == 0
    found = [row for split in SPLITS for row in rows(prepared, split)]
    assert len(found) == 200
    assert {row["label"] for row in found} == {"0", "1", "2"}
    assert not any("&amp;" in row["target"] for row in found)


def test_review_screening_has_empty_cells_and_files_with_different_columns(prepare: Prepare, shared_data: Path) -> None:
    files = sorted(str(path) for path in (shared_data / "review_screening").glob("*.csv"))
    prepared = prepare(
        {
            "files": files,
            "fields": {"title": "title", "abstract": "abstract", "label": "label_included"},
            "limit": 300,
            "template": {
                "prompt": "{{ title }}{% if abstract %}\n\n{{ abstract }}{% endif %}\n",
                "answer": "{{ label }}",
            },
            "max_length": 1 << 16,
        }
    )
    assert prepared.audit["read"] == 1651 + 1652 + 1409
    found = [row for split in SPLITS for row in rows(prepared, split)]
    assert len(found) == 300
    assert any("\n\n" not in row["prompt"] for row in found)


def test_companies_of_tos_unfair_never_cross(prepare: Prepare, shared_data: Path) -> None:
    path = shared_data / "tos_unfair" / "tos_sentences.jsonl"
    prepared = prepare(
        {"files": str(path), "cluster": "company", "template": {"text": "{{ sentence }}"}, "limit": 1500}
    )
    companies = {split: {row["cluster"] for row in rows(prepared, split)} for split in SPLITS}
    assert all(len(found) >= 2 for found in companies.values())
    assert not companies["train"] & companies["test"]
    assert not companies["train"] & companies["validation"]
    assert all(shared["clusters"] == 0 for shared in prepared.audit["overlap"].values())
    assert abs(prepared.counts["test"] - 150) < 40


def test_both_recipe_books(prepare: Prepare, shared_data: Path, tokenizer: Any) -> None:
    template = {
        "prompt": "{{ title }}\n",
        "answer": '{% for line in ingredients %}{% span "ingredients" %}{{ line }}{% endspan %}\n{% endfor %}',
    }
    modern = prepare(
        {
            "files": str(shared_data / "recipes" / "public_domain_recipes.jsonl"),
            "fields": {"title": "title", "ingredients": "ingredients"},
            "keep": ["tags"],
            "template": template,
            "max_rejected": 0.05,
            "max_length": 1 << 16,
        }
    )
    row = rows(modern, "test")[0]
    lines = [tokenizer.decode(row["input_ids"][s["start"] : s["end"]]) for s in row["spans"]]
    assert lines == [line.strip() for line in row["target"].strip().split("\n")]
    assert isinstance(json.loads(row["keep.tags"]), list)
    book = prepare(
        {
            "files": str(shared_data / "recipes" / "beeton_household_management.jsonl"),
            "parse": {"ingredients": "list"},
            "template": template,
            "max_rejected": 0.05,
            "max_length": 1 << 16,
        }
    )
    assert sum(book.counts.values()) + book.audit["rejected"]["total"] == 1012
    assert book.audit["splits"]["train"]["spans"]["ingredients"]["items"] > 3000
    assert overlap_table(book.audit)[0] == ("in both", "texts", "prompts", "clusters")


def test_hatexplain_by_its_own_split_column(prepare: Prepare, shared_data: Path) -> None:
    path = shared_data / "hatexplain_subset" / "hatexplain_subset.jsonl"
    prepared = prepare({"files": str(path), "id": "original_id", "split": {"column": "split"}, "keep": ["split"]})
    assert sum(prepared.counts.values()) == 2009
    names = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
    for split in SPLITS:
        assert {names[row["keep.split"]] for row in rows(prepared, split)} == {split}
