"""The page of one record's tokens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lossmith.report.inspect_page import visible, write_inspection

from .reading import Page, read_page

BIDI = chr(0x202E)
PIECES: list[tuple[str, str, list[tuple[str, int]], list[str], float | None]] = [
    ("<|im_start|>", "special", [], [], None),
    ("Soup", "prompt", [], [], None),
    ("</script><img src=x>" + BIDI, "prompt", [], [], None),
    ("\n", "prompt", [], [], None),
    (" 2", "answer", [("ingredients", 0), ("quantity", 0)], ["cross_entropy", "sinkhorn"], 2.5),
    (" eggs", "answer", [("ingredients", 0)], ["cross_entropy", "sinkhorn"], 0.5),
    (" salt", "answer", [("ingredients", 1)], ["cross_entropy", "sinkhorn"], 0.25),
    ("\ufffd", "answer", [], ["cross_entropy"], 0.0),
    ("<|im_end|>", "end", [], ["cross_entropy"], 0.75),
]


def inspection(*, ok: bool = True) -> dict[str, Any]:
    tokens = [
        {
            "index": place,
            "id": 100 + place,
            "text": text,
            "role": role,
            "supervised": role in ("answer", "end"),
            "spans": [{"name": name, "item": item} for name, item in spans],
            "terms": terms,
            "loss": loss,
            "start": 5 * place,
            "end": 5 * place + len(text),
        }
        for place, (text, role, spans, terms, loss) in enumerate(PIECES)
    ]
    return {
        "record": "kitchen.jsonl:5" + BIDI,
        "split": "train",
        "tokens": tokens,
        "spans": ["ingredients", "quantity"],
        "terms": [
            {"name": "cross_entropy", "weight": 0.6, "span": "answer", "positions": 5},
            {"name": "sinkhorn", "weight": 0.4, "span": ["ingredients"], "positions": 3},
        ],
        "round_trip": {"ok": ok, "supervised_text": " 2 eggs salt<|im_end|>", "target": " 2 eggs salt"},
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return read_page(write_inspection(inspection(), tmp_path_factory.mktemp("inspect") / "record.html"))


def drawn(page: Page) -> list[str]:
    return [held["class"] or "" for tag, held in page.tags if tag == "span" and "data-i" in held]


def test_the_page_is_whole_and_nothing_acts(page: Page) -> None:
    assert page.mismatched == [] and page.open == []
    assert not page.all("img") and BIDI not in page.source and not re.search("https?://", page.source)
    assert len([held for held in page.all("script") if held.get("type") != "application/json"]) == 1


def test_role_supervision_and_loss_are_drawn(page: Page) -> None:
    classes = drawn(page)
    assert len(classes) == len(PIECES)
    assert [("sup" in one.split()) for one in classes] == [False] * 4 + [True] * 5
    assert [("lossy" in one.split()) for one in classes] == [False] * 4 + [True] * 5
    assert classes[0].split()[1] == "special" and classes[-1].split()[1] == "end" and "partial" in classes[7]
    shares = [held["style"] for tag, held in page.tags if tag == "span" and "data-i" in held and "style" in held]
    assert shares == ["--l:1.0", "--l:0.2", "--l:0.1", "--l:0.0", "--l:0.3"]


def test_bands_begin_and_end_with_their_items(page: Page) -> None:
    bands = [
        (held["class"], (held["style"] or "").split(";")[0])
        for held in page.all("i")
        if "band" in (held.get("class") or "")
    ]
    assert bands == [
        ("band begins", "--lane:0"),
        ("band begins ends", "--lane:1"),
        ("band ends", "--lane:0"),
        ("band begins ends", "--lane:0"),
    ]
    assert "ingredients 2 3" in page.text and "quantity 1 1" in page.text


def test_items_of_one_name_that_nest_take_lanes_of_their_own(tmp_path: Path) -> None:
    nested = inspection()
    nested["tokens"][4]["spans"].append({"name": "ingredients", "item": 7})
    page = read_page(write_inspection(nested, tmp_path / "page.html"))
    lanes = {(held["style"] or "").split(";")[0] for held in page.all("i") if "band" in (held.get("class") or "")}
    assert lanes == {"--lane:0", "--lane:1", "--lane:2"}


def test_each_token_says_who_reads_it(page: Page) -> None:
    block = re.search(r'<script type="application/json" id="token-facts">(.*?)</script>', page.source)
    assert block is not None
    facts = [dict(one) for one in json.loads(block[1])]
    assert facts[4]["read by"] == "cross_entropy, sinkhorn" and facts[4]["loss"] == "2.500 nats"
    assert facts[4]["spans"] == "ingredients (item 0), quantity (item 0)"
    assert facts[1]["read by"] == "no term reads it" and "loss" not in facts[1]
    assert "U+202E" in facts[2]["token"]


def test_a_broken_round_trip_is_loud(page: Page, tmp_path: Path) -> None:
    assert "The supervised tokens decode to the true answer" in page.text
    broken = read_page(write_inspection(inspection(ok=False), tmp_path / "page.html"))
    assert "The supervised tokens do not decode to the true answer" in broken.text
    assert "open" in broken.all("details")[0]


def test_white_space_can_be_seen() -> None:
    text, partial = visible(" a\t\n")
    assert re.sub("<[^>]*>", "", str(text)) == "·a⇥↵" and not partial
    assert "∅" in str(visible("")[0])
    assert visible("<0xE2>")[1] and visible("ab\ufffd")[1]


def test_a_supervised_token_that_no_term_reads_is_told(tmp_path: Path) -> None:
    unread = inspection()
    unread["tokens"][7]["terms"] = []
    page = read_page(write_inspection(unread, tmp_path / "page.html"))
    assert "Supervised and read by no term 1" in page.text
