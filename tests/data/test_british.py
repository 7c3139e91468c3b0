"""British spellings: the table holds together, case and everything else stays, and the audit lists what changed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.config.load import load_config
from lossmith.data.british import FAMILIES, british_words, to_british
from lossmith.tasks.prepare import prepare_config
from tests.command_line import in_this_process

WORDS = british_words()


def test_the_table_changes_every_word_once_and_for_good() -> None:
    assert len(WORDS) > 3000 and all(was != became for was, became in WORDS.items())
    assert not set(WORDS) & set(WORDS.values())
    assert all(re.fullmatch("[a-z]+", word) for pair in WORDS.items() for word in pair)
    for family in FAMILIES:
        for written in (family.stems, family.endings):
            assert len(written.split()) == len(set(written.split())), family


@pytest.mark.parametrize(
    ("american", "british"),
    [
        ("Color, COLORS and colorful.", "Colour, COLOURS and colourful."),
        ("the center's theaters; recentered", "the centre's theatres; recentered"),
        ("She traveled, canceling well-organized modeling", "She travelled, cancelling well-organised modelling"),
        ("analyzed a catalog of defenses", "analysed a catalogue of defences"),
        ("skillful fulfillment, enrolls", "skilful fulfilment, enrols"),
        (
            "an anesthetist, anemic, in pediatrics; sleep apnea",
            "an anaesthetist, anaemic, in paediatrics; sleep apnoea",
        ),
        ("maneuvers, maneuvering with a mustache", "manoeuvres, manoeuvring with a moustache"),
        ("Pearl Harbor's colors, and COLORS", "Pearl Harbor's colours, and COLOURS"),
        ("gray and Gray", "grey and Gray"),
        ("Which flavor? Color! \u201cHonor them.\u201d", "Which flavour? Colour! \u201cHonour them.\u201d"),
        ("- Color I like\n1. Flavor: Odor TV", "- Colour I like\n1. Flavour: Odour TV"),
    ],
)
def test_american_words(american: str, british: str) -> None:
    changed: list[tuple[str, str]] = []
    assert to_british(american, changed) == british
    assert changed and all(WORDS[was] == became for was, became in changed)


@pytest.mark.parametrize(
    "text",
    [
        "colour centre organise travelling", "size prize seize capsize", "the humoral and the humorist",
        "a program, a check, a meter, a tire, a license, to practice", "rigor mortis", "iColor coLor color_map color2",
        "http://color.com/center and me@color.org", "www.theater.org",
        "Pearl Harbor, the Kennedy Center and Harbor Freight", "Theater's Owner met Dr. Color and J. R. Labor at St. Harbor",
        "the Multi-Color set (Color)", "日本 é\u0301 🎨\n\ttab", "",
    ],
)  # fmt: skip
def test_what_is_left(text: str) -> None:
    assert to_british(text) == text


@given(st.text(), st.sampled_from(sorted(WORDS)))
def test_text_around_a_word_stays_and_twice_is_once(around: str, word: str) -> None:
    once = to_british(f"{around} {word} {around}")
    assert f" {WORDS[word]} " in once or "mortis" in around
    assert to_british(once) == once
    if not any(piece.lower() in WORDS for piece in re.findall(r"\w+", around)):
        assert once == f"{around} {WORDS[word]} {around}"


def test_the_audit_lists_what_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"q": "What color?", "a": ["Gray", {"kind": "gray color"}]},
        {"q": "Which flavor? Color!", "a": ["plain", {"kind": "Organized"}]},
        {"q": "none", "a": ["none", {"kind": "none"}]},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "cache"))
    model = ["model.base=scratch-tiny", "model.vocab_size=300"]
    given = [
        f"data.files={file}", "data.normalize=[uk_spelling]", "data.split={validation: 0, test: 0}", *model,
        "data.template={prompt: '{{ q }}', answer: '{{ a[0] }} {{ a[1].kind }}'}",
    ]  # fmt: skip
    prepared = prepare_config(load_config("causal", given))
    assert {word["from"]: (word["to"], word["times"]) for word in prepared.audit["respelled"]} == {
        "color": ("colour", 3), "gray": ("grey", 1), "flavor": ("flavour", 1), "organized": ("organised", 1),
    }  # fmt: skip
    assert prepared.audit["splits"]["train"]["respelled"] == 6
    shown = in_this_process(monkeypatch, capsys)("prepare", "causal", *given).out
    assert "color > colour (3)" in shown and "words in another spelling" in shown
    assert "respelled" not in prepare_config(load_config("causal", [*given, "data.normalize=[nfc]"])).audit
