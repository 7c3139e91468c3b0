"""What inspection tells of records of a classification: labels, pairs, cuts, scored answers, and a model's scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from lossmith.cli.inspect_labels import print_labelled
from lossmith.doctor.inspect import inspect_record
from lossmith.report.inspect_page import write_inspection
from lossmith.stages import run
from tests.command_line import in_this_process

CRATES = [
    {
        "key": f"crate-{n}",
        "text": f"Crate {n} of {'plums' if n % 2 else 'pears'} from the slope behind the mill",
        "question": "Is the fruit spoiled?",
        "state": "spoiled" if n % 3 == 0 else "sound",
        "bruised": n % 2,
        "wormy": int(n % 4 == 0),
        "weight": 1.0 + n % 3,
        "split": ("train", "train", "validation", "test")[n % 4],
    }
    for n in range(24)
]
HEAD = {"text": "{{ text }}", "pair": "{{ question }}"}
WORDS = {"prompt": "{{ text }}: ", "answer": "{{ label_word }}"}
BY_SPLIT = {"validation": 0, "test": 0, "column": "split"}
BRIEF = {"max_steps": 2, "device": "cpu", "eval_strategy": "no", "load_best_model_at_end": False}


@pytest.fixture
def crates(write: Callable[..., Path]) -> Path:
    return write(CRATES)


@pytest.fixture
def classify(configure: Callable[..., Path], crates: Path) -> Callable[..., Path]:
    def call(*, data: dict[str, Any] | None = None, task: dict[str, Any] | None = None, **groups: Any) -> Path:
        settings = {"files": str(crates), "id": "key", "label": "state", "split": BY_SPLIT, "template": HEAD}
        groups.setdefault("objective", {"class_cross_entropy": 1.0})
        groups.setdefault("evaluate", {"metrics": ["accuracy"], "baselines": "none"})
        return configure(
            data={**settings, **(data or {})}, task={"kind": "classification", **(task or {})}, train=BRIEF, **groups
        )

    return call


def test_a_head_reads_text_and_pair_and_learns_no_token(classify: Callable[..., Path]) -> None:
    found = inspect_record(classify(data={"weight": "weight"}), id="crate-0")
    assert found.labelled is not None and not found.disagreements
    roles = [token.role for token in found.tokens]
    assert roles[0] == roles[-1] == "special" and set(roles) == {"special", "text", "pair"}
    start = found.labelled.pair_start
    assert start is not None and roles[start] == "pair" and "pair" not in roles[:start]
    assert "".join(token.text for token in found.tokens if token.role == "pair") == "Is the fruit spoiled?"
    assert found.supervised == 0 and found.labelled.label == ("spoiled",) and found.labelled.weight == 1.0
    assert found.labelled.positive == "spoiled" and found.labelled.cut is None and not found.labelled.answers
    assert [(term.name, term.span, term.positions) for term in found.terms] == [
        ("class_cross_entropy", ("class head",), 2)
    ]
    assert found.as_json()["classification"]["label"] == ("spoiled",)


def test_what_was_cut_is_told_by_text(classify: Callable[..., Path]) -> None:
    whole = inspect_record(classify(), id="crate-0", split="train")
    short = inspect_record(classify(data={"max_length": 14, "truncation": "cut_prompt"}), id="crate-0")
    assert short.labelled is not None and short.labelled.cut is not None and len(short.tokens) == 14
    lost = {
        role: sum(t.role == role for t in whole.tokens) - sum(t.role == role for t in short.tokens)
        for role in ("text", "pair")
    }
    assert f"{lost['text']} tokens of the text" in short.labelled.cut and sum(lost.values()) == len(whole.tokens) - 14
    assert not short.disagreements


def test_labels_that_do_not_exclude_each_other(classify: Callable[..., Path]) -> None:
    config = classify(data={"label": ["bruised", "wormy"]}, objective={"binary_cross_entropy": 1.0})
    for key, label in (("crate-4", ("wormy",)), ("crate-1", ("bruised",)), ("crate-2", ())):
        found = inspect_record(config, id=key)
        assert found.labelled is not None and found.labelled.multi_label and found.labelled.label == label
        assert not found.disagreements


def test_the_tokens_of_every_label_word_are_shown_and_the_own_ones_marked(classify: Callable[..., Path]) -> None:
    config = classify(
        data={"template": WORDS}, task={"method": "label_words"}, objective={"cross_entropy": 1.0}, evaluate={}
    )
    found = inspect_record(config, id="crate-0")
    assert found.labelled is not None and not found.disagreements
    texts = {name: "".join(ways[0]) for name, ways in found.labelled.answers.items()}
    assert texts["spoiled"].startswith("spoiled") and texts["sound"].startswith("sound")
    own = [token for token in found.tokens if ("scored", 0) in token.spans]
    assert "".join(token.text for token in own) == texts["spoiled"] and all(token.supervised for token in own)
    console = Console(width=100, record=True)
    print_labelled(console, found.labelled)
    told = console.export_text()
    assert "label: spoiled (of 2 classes: sound, spoiled; positive: spoiled)" in told
    pieces = found.labelled.answers["spoiled"][0]
    assert " ".join(f"[{piece}]" for piece in pieces) in told


@pytest.mark.timeout(300)
def test_a_run_tells_the_scores_that_its_predictions_have(classify: Callable[..., Path], tmp_path: Path) -> None:
    folder = run(classify(name="head", tracking={"report_to": []}), quiet=True)
    table = pq.read_table(folder / "predictions" / "test.parquet").to_pylist()
    found = inspect_record(folder, id=table[0]["id"])
    assert found.split == "test" and found.labelled is not None and found.labelled.scoring is not None
    scoring = found.labelled.scoring
    assert scoring.scores == pytest.approx({name: table[0][f"score.{name}"] for name in ("sound", "spoiled")}, abs=1e-6)
    assert scoring.predicted == table[0]["predicted"] and scoring.error is None
    assert scoring.loss is not None and scoring.loss > 0
    page = write_inspection(found.as_page(), tmp_path / "page.html").read_text()
    assert f"{scoring.scores['sound']:.3f}" in page and "The model says" in page and 'class="tok pair"' in page


def test_a_label_that_was_changed_behind_the_back_is_found(
    classify: Callable[..., Path], change_row: Callable[..., None]
) -> None:
    config = classify()
    whole = inspect_record(config, id="crate-0")
    assert not whole.disagreements
    change_row(Path(whole.folder), "pair_start", lambda start: start + 1)
    broken = inspect_record(config, id="crate-0")
    assert any("where the second text begins" in sentence for sentence in broken.disagreements)


def test_the_verb_prints_json_of_a_classification(
    classify: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = in_this_process(monkeypatch, capsys)
    told = call("inspect", classify(), "--id", "crate-3", "--json")
    assert told.code == 0
    assert json.loads(told.out)["classification"]["label"] == ["spoiled"]
    shown = call("inspect", classify(), "--id", "crate-3", "--tensors")
    assert "no token is learned: a head answers" in shown.out and "label: spoiled" in shown.out
    assert "the label, as the head has it" in shown.out
