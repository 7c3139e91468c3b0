"""Every format, whole and damaged."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.config.data import DataConfig
from lossmith.data.records import Row
from lossmith.data.sources import json_array, lines
from lossmith.data.sources.delimited import read_csv, read_tsv
from lossmith.data.sources.files import list_sources
from lossmith.data.sources.formats import read_rows
from lossmith.data.sources.json_array import read_json
from lossmith.data.sources.jsonl import read_jsonl
from lossmith.data.sources.plain_text import read_document, read_paragraphs, read_text_lines
from lossmith.errors import ConfigError, DataError, InputError


def rows_of(path: Path, **data: Any) -> list[Row]:
    config = DataConfig(files=str(path), **data)
    return [row for source in list_sources(config) for row in read_rows(source, config)]


def values_of(path: Path, **data: Any) -> list[dict[str, Any] | None]:
    return [row.values for row in rows_of(path, **data)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "bad JSON"),
        (b"{'a': 1}", "bad JSON"),
        (b'{"a": Infinity}', "bad JSON"),
        (b'{"a": "line\tbreak"}', "bad JSON"),
        (b"[1, 2]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b'{"a": "\xff\xfe"}', "invalid UTF-8"),
        (b'{"a": "caf\xe9"}', "invalid UTF-8"),
        (b"\x00\x00\x00\x00", "NUL in the line"),
        (b'{"a": "\\ud83d"}', "lone surrogate"),
        (b'{"\\udc00": 1}', "lone surrogate"),
        (b"[" * 100_000, "bad JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "bad JSON"),
        (b'{"a": 1}{"a": 2}', "bad JSON"),
    ],
)
def test_a_damaged_line_is_told_and_the_next_is_read(line: bytes, reason: str) -> None:
    rows = list(read_jsonl(io.BytesIO(b'{"a": 0}\n' + line + b'\n\n{"a": 3}\n')))
    assert [row.line for row in rows] == [1, 2, 4]
    assert rows[1].problem is not None
    assert rows[1].problem.reason == reason
    assert rows[1].values is None
    assert [rows[0].values, rows[2].values] == [{"a": 0}, {"a": 3}]


def test_a_cut_last_line_has_a_reason_of_its_own_and_a_whole_one_needs_no_line_break() -> None:
    cut = list(read_jsonl(io.BytesIO(b'{"a": 1}\n{"a": "un')))
    assert [row.problem.reason for row in cut if row.problem] == ["truncated last line"]
    whole = list(read_jsonl(io.BytesIO(b'\xef\xbb\xbf{"a": 1}\r\n{"a": "\\ud83d\\ude00"}')))
    assert [row.values for row in whole] == [{"a": 1}, {"a": "😀"}]


def test_nan_is_null() -> None:
    assert next(read_jsonl(io.BytesIO(b'{"a": NaN}'))).values == {"a": None}


def test_a_line_beyond_the_bound_is_rejected_without_being_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_BYTES", 50)
    rows = list(read_jsonl(io.BytesIO(b'{"a": "' + b"x" * 500 + b'"}\n{"a": 1}\n')))
    assert [row.problem.reason if row.problem else row.values for row in rows] == ["line too long", {"a": 1}]


def test_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}', encoding="utf-16")
    with pytest.raises(DataError, match=r"a\.jsonl: the file is not UTF-8") as caught:
        rows_of(path)
    assert "iconv" in (caught.value.fix or "")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=6)


@given(rows=objects, chunk=st.integers(1, 40), indent=st.none() | st.integers(0, 2), ascii_only=st.booleans())
def test_an_array_is_read_whatever_the_chunks(
    rows: list[dict[str, Any]], chunk: int, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "CHUNK_BYTES", chunk)
        found = list(read_json(io.BytesIO(text.encode())))
    assert [row.values for row in found] == rows
    assert [row.line for row in found] == list(range(1, len(rows) + 1))


def test_an_element_that_is_no_object_is_rejected_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "CHUNK_BYTES", 4)
    rows = list(read_json(io.BytesIO(b'[123456789, {"a": 1}, "\\ud800", "x"]')))
    assert [row.problem.reason if row.problem else row.values for row in rows] == [
        "not an object",
        {"a": 1},
        "not an object",
        "not an object",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b'[{"a": 1}, {"a": ',
        b'[{"a": 1} {"a": 2}]',
        b'[{"a": 1}]]',
        b"[",
        b'[{"a": 1},',
        b"[{]",
        b"7",
        b'[{"a": "\xff"}]',
    ],
)
def test_a_damaged_array_is_an_error(content: bytes) -> None:
    with pytest.raises(DataError, match="the JSON array is damaged"):
        list(read_json(io.BytesIO(content)))


def test_a_json_file_of_json_lines_is_read_as_such() -> None:
    content = b"".join(json.dumps({"a": "x" * 40_000, "n": n}).encode() + b"\n" for n in range(5))
    assert [row.values["n"] for row in read_json(io.BytesIO(content)) if row.values] == list(range(5))
    with pytest.raises(DataError, match="array of objects"):
        list(read_json(io.BytesIO(b'{\n "data": [1]\n}')))


def test_csv_cells_hold_line_breaks_quotes_and_an_unnamed_column() -> None:
    content = '\ufeff,text,column_1\r\n0,"a\r\n""b"", c",x\r\n\r\n1,é,\r\n'.encode()
    rows = list(read_csv(io.BytesIO(content)))
    assert [row.values for row in rows] == [
        {"column_1_": "0", "text": 'a\r\n"b", c', "column_1": "x"},
        {"column_1_": "1", "text": "é", "column_1": ""},
    ]
    assert [row.line for row in rows] == [2, 5]


def test_damaged_csv_rows_are_told_one_by_one() -> None:
    content = b'a,b\n1,2\n3\n4,5,6\n"x"y,7\n\xff,8\nn\x00,9\n10,11\n'
    rows = list(read_csv(io.BytesIO(content)))
    assert [row.problem.reason if row.problem else row.values for row in rows] == [
        {"a": "1", "b": "2"},
        "wrong number of cells",
        "wrong number of cells",
        "bad row",
        "invalid UTF-8",
        "NUL in the line",
        {"a": "10", "b": "11"},
    ]


def test_a_quote_that_is_never_closed_is_an_error_with_its_line() -> None:
    with pytest.raises(DataError, match="begins at line 3 is never closed"):
        list(read_csv(io.BytesIO(b'a,b\n1,2\n3,"open\n4,5\n6,7\n')))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="one name"):
        list(read_csv(io.BytesIO(b"a,a\n1,2\n")))


def test_tsv_is_separated_by_tabs() -> None:
    assert [row.values for row in read_tsv(io.BytesIO(b"a\tb\n1,5\t2\n"))] == [{"a": "1,5", "b": "2"}]


def test_text_by_line_paragraph_and_document() -> None:
    content = b"one\r\ntwo\n\n \nthree\n"
    assert [(row.line, row.values) for row in read_text_lines(io.BytesIO(content))] == [
        (1, {"text": "one"}),
        (2, {"text": "two"}),
        (5, {"text": "three"}),
    ]
    assert [(row.line, row.values) for row in read_paragraphs(io.BytesIO(content))] == [
        (1, {"text": "one\ntwo"}),
        (5, {"text": "three"}),
    ]
    assert [row.values for row in read_document(io.BytesIO(content))] == [{"text": content.decode()}]
    damaged = [row.problem.reason for row in read_paragraphs(io.BytesIO(b"a\n\xff\n\nb\x00")) if row.problem]
    assert damaged == ["invalid UTF-8", "NUL in the line"]


def test_parquet_gives_plain_values(tmp_path: Path) -> None:
    import datetime

    path = tmp_path / "a.parquet"
    table = pa.table(
        {
            "n": pa.array([1.5, float("nan"), None]),
            "day": [datetime.date(2026, 1, 2)] * 3,
            "raw": pa.array([b"a", b"\xff", b"c"]),
            "deep": [[{"x": 1.0}], [], [{"x": float("nan")}]],
        }
    )
    pq.write_table(table, path)
    rows = rows_of(path)
    assert rows[0].values == {"n": 1.5, "day": "2026-01-02", "raw": "a", "deep": [{"x": 1.0}]}
    assert rows[1].problem is not None
    assert rows[1].problem.reason == "invalid UTF-8"
    assert rows[2].values == {"n": None, "day": "2026-01-02", "raw": "c", "deep": [{"x": None}]}
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged or no parquet"):
        rows_of(path)


def test_gzip_is_opened_and_a_cut_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"a": %d}\n' % n for n in range(5000)))
    path.write_bytes(whole)
    assert len(values_of(path)) == 5000
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged gzip"):
        rows_of(path)
    path.write_bytes(b'{"a": 1}\n')
    with pytest.raises(DataError, match="damaged gzip"):
        rows_of(path)


def test_an_unknown_suffix_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsnl"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"did you mean '\.jsonl'"):
        rows_of(path)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "recipes.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"did you mean '.*recipes\.jsonl'"):
        list_sources(DataConfig(files=str(tmp_path / "recipe.jsonl")))
    with pytest.raises(DataError, match=r"existing folder below"):
        list_sources(DataConfig(files=str(tmp_path / "no" / "such" / "recipe.jsonl")))
    with pytest.raises(DataError, match="is a folder"):
        list_sources(DataConfig(files=str(tmp_path)))
    with pytest.raises(DataError, match="no file matches"):
        list_sources(DataConfig(files=str(tmp_path / "*.csv")))
    with pytest.raises(ConfigError, match="names no file"):
        list_sources(DataConfig(files=None))


def test_files_are_told_apart_by_as_many_folders_as_it_takes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_text("{}")
    (tmp_path / "b[1].jsonl").write_text("{}")
    pattern, literal = str(tmp_path / "*" / "a.jsonl"), str(tmp_path / "b[1].jsonl")
    names = [source.name for source in list_sources(DataConfig(files=[pattern, literal]))]
    assert names == ["one/a.jsonl", "two/a.jsonl", f"{tmp_path.name}/b[1].jsonl"]
    with pytest.raises(DataError, match="named twice"):
        list_sources(DataConfig(files={"train": literal, "test": literal}))


def test_files_by_split_with_weights(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text("x\n1\n")
    path = {name: str(tmp_path / f"{name}.csv") for name in "abc"}
    config = DataConfig(files={"train": [{"path": path["a"], "weight": 2.0}, path["b"]], "test": path["c"]})
    assert [(s.name, s.split, s.weight) for s in list_sources(config)] == [
        ("a.csv", "train", 2.0),
        ("b.csv", "train", 1.0),
        ("c.csv", "test", 1.0),
    ]


OWN = """
def numbers(files, *, upto=2):
    for file in files or ["none"]:
        for n in range(upto):
            yield {"text": f"{file.rsplit('/', 1)[-1]} {n}"}
    yield "no dict"

def broken(files):
    yield {"text": "x"}
    raise RuntimeError("the server is gone")
"""


def test_a_source_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_source.py").write_text(OWN)
    (tmp_path / "a.bin").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = DataConfig(
        source="own_source:numbers", files={"test": str(tmp_path / "a.bin")}, source_options={"upto": 1}
    )
    (source,) = list_sources(config)
    assert (source.name, source.split) == ("own_source:numbers[test]", "test")
    rows = list(read_rows(source, config))
    assert rows[0].values == {"text": "a.bin 0"}
    assert rows[1].problem is not None
    with pytest.raises(DataError, match=r"failed after 1 records: RuntimeError: the server is gone"):
        broken = DataConfig(source="own_source:broken")
        list(read_rows(list_sources(broken)[0], broken))
    with pytest.raises(InputError, match="did you mean 'own_source:numbers'"):
        missing = DataConfig(source="own_source:number")
        list(read_rows(list_sources(missing)[0], missing))
