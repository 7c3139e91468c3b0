"""What inspection tells of documents that are cut to chunks: in the terminal, as JSON, on a page, and where it is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossmith.doctor.inspect import inspect_record
from lossmith.doctor.subject import open_subject
from lossmith.errors import InputError
from lossmith.report.inspect_page import write_inspection
from tests.command_line import in_this_process

RULES = [f"Rule {n} says <b>that</b> guests pay 😀 {n} coins." for n in range(5)]
ROWS = [
    {"inn": inn, "number": n, "rule": rule if inn == "swan" else "Nothing.", "coins": int(n == 3), "dogs": 0}
    for inn in ("swan", "bear")
    for n, rule in enumerate(RULES)
] + [{"inn": "barn", "number": 0, "rule": " ", "coins": 0, "dogs": 1}]
COINS = "Do guests pay coins?"


@pytest.fixture
def inns(configure: Callable[..., Path], write: Callable[..., Path]) -> Callable[..., Path]:
    def call(**data: Any) -> Path:
        settings = {
            "files": str(write(ROWS)),
            "assemble": {"by": "inn", "order": "number", "text": "rule", "window": 4},
            "chunks": {"by": "lines", "size": 2, "overlap": 1},
            "pairs": {"coins": COINS, "dogs": "Are dogs welcome?"},
            "template": {"text": "{{ rule }}", "pair": "{{ criterion }}"},
        }
        return configure(
            data={**settings, **data},
            task={"kind": "retrieval", "queries": 3},
            model={"base": "tfidf-svd"},
            objective={"binary_focal": 1.0, "query_diversity": 5.6},
        )

    return call


def test_a_document_is_shown_with_its_chunks_its_criterion_and_its_label(inns: Callable[..., Path]) -> None:
    found = inspect_record(inns(), id="swan:1#coins")
    assert found.document is not None and found.labelled is not None
    assert (found.split, found.status, found.disagreements, list(found.tokens)) == ("train", "prepared", [], [])
    text = "\n".join(RULES[:4])
    assert (found.document.text, found.document.pair) == (text, COINS)
    shown = found.as_json()
    assert [one["text"] for one in shown["document"]["chunks"]] == ["\n".join(RULES[n : n + 2]) for n in range(3)]
    assert shown["document"]["cut"] == {"by": "lines", "size": 2, "overlap": 1, "language": "en"}
    assert shown["counts"]["chunks"] == 3
    assert (found.labelled.label, found.labelled.positive) == (("1",), "1")
    assert [(term.name, term.span, term.positions) for term in found.terms] == [
        ("binary_focal", ("class head",), 1),
        ("query_diversity", ("queries",), 3),
    ]


def test_records_are_found_by_document_and_criterion(inns: Callable[..., Path]) -> None:
    config = inns()
    assert inspect_record(config).record == "swan:1#coins", "the first of the split"
    assert inspect_record(config, id="bear:2#dogs").document.text == "Nothing."  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no record 'swan:1'") as caught:
        inspect_record(config, id="swan:1")
    assert "swan:1#" in str(caught.value.fix)


def test_a_document_without_chunks_says_that_nothing_is_read(inns: Callable[..., Path]) -> None:
    found = inspect_record(inns(), id="barn:1#dogs")
    assert found.document is not None and not found.document.chunks
    assert any("has no chunk" in note for note in found.notes)


def test_a_row_that_is_not_what_its_source_gives_is_told(
    inns: Callable[..., Path], change_row: Callable[..., None]
) -> None:
    config = inns()
    folder = open_subject(config).prepared.folder
    change_row(folder, "chunks", lambda held: held[1:])
    change_row(folder, "pair", lambda text: text.lower())
    found = inspect_record(config, id="swan:1#coins")
    assert [sentence.split(":")[0] for sentence in found.disagreements] == [
        "the criterion is another one in the prepared row than in the source",
        "chunks part at chunk 0",
    ]


def test_the_verb_prints_chunks_json_and_a_page(
    inns: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lossmith = in_this_process(monkeypatch, capsys)
    config, page = inns(), tmp_path / "record.html"
    told = lossmith("inspect", config, "--id", "swan:1#coins", "--html", page)
    assert told.code == 0, told.err
    assert f"criterion: {COINS}" in told.out
    assert "3 chunks of 2 lines, 1 shared with the one before" in told.out
    assert "term query_diversity, weight 5.6, reads 3 queries" in told.out
    html = page.read_text(encoding="utf-8")
    assert "<b>that</b>" not in html
    assert html.count('class="chunk several" title=') == 2
    assert 'title="chunk 0, 1"' in html
    assert "All tokens as a table" not in html
    told = lossmith("inspect", config, "--id", "barn:1#coins", "--json")
    assert json.loads(told.out)["document"]["chunks"] == []


def test_long_documents_are_folded_in_the_terminal_and_not_with_all(
    inns: Callable[..., Path],
    write: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [{"inn": "swan", "number": n, "rule": f"Rule {n}.", "coins": n % 2, "dogs": 0} for n in range(60)]
    path = write(rows, name="many.jsonl")
    config = inns(files=str(path), assemble={"by": "inn", "order": "number", "text": "rule", "window": None})
    lossmith = in_this_process(monkeypatch, capsys)
    assert "39 chunks folded" in lossmith("inspect", config).out
    whole = lossmith("inspect", config, "--all").out
    assert "folded" not in whole and "Rule 30." in whole
    found = inspect_record(config).as_page()
    found["document"]["text"] += "x" * 300_000
    assert "more characters are not drawn" in write_inspection(found, tmp_path / "p.html").read_text(encoding="utf-8")
