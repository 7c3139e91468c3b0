"""Evidence on the pages: one prediction's, and what a run's evidence and queries are worth."""

from __future__ import annotations

import json
import re
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.errors import InputError
from lossmith.evaluate.compare import compare_runs
from lossmith.report.evidence.faithfulness import faithfulness_verdict, tried
from lossmith.report.evidence.pieces import Mark, pieces
from lossmith.report.evidence.queries import heats, queries_verdict
from lossmith.report.evidence.ranking import MARKED
from lossmith.report.evidence.record_page import write_evidence_page
from lossmith.report.page import write_report
from lossmith.runs import RunFolder, read_json, write_json, write_text

from .contract import CRITERION, evidence_of_run, explained, judged, write_judged
from .reading import Page, read_page
from .test_report import HOSTILE


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return read_page(write_evidence_page(explained(), tmp_path_factory.mktemp("evidence") / "record.html"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run whose evidence is worth something, and one whose is not and of whose queries two are one."""
    root = tmp_path_factory.mktemp("retrieval")
    return [
        write_judged(root / "sharp", judged(120, skill=0.6), evidence_of_run()),
        write_judged(root / "blunt", judged(120, skill=0.3, seed=2), evidence_of_run(gain=0.01, alike=(2, 5))),
    ]


def marked(page: Page) -> list[dict[str, str | None]]:
    return [held for tag, held in page.tags if tag == "span" and "data-e" in held]


@given(
    text=st.text(alphabet="ab \n\r", max_size=1500),
    spans=st.lists(st.tuples(st.integers(-5, 1600), st.integers(-5, 1600), st.floats(-1, 1)), max_size=6),
)
def test_a_document_is_cut_and_nothing_of_it_is_lost(text: str, spans: list[tuple[int, int, float]]) -> None:
    marks = [Mark(*span) for span in spans]
    found = pieces(text, marks)
    assert "".join(piece.text + piece.far + piece.after for piece in found) == text
    begun = [number for piece in found for number in piece.begins]
    assert len(begun) == len(set(begun))
    place = 0
    for piece in found:
        whole = piece.text + piece.far + piece.after
        for number, mark in enumerate(marks):
            inside = mark.start < place + len(whole) and place < mark.end and mark.start < mark.end
            # A line's end of two characters is not parted, so a mark may end one character later or begin so.
            if inside and "\r\n" not in text:
                assert number in piece.marks
        strengths = [abs(marks[number].strength) for number in piece.marks]
        assert strengths == sorted(strengths, reverse=True)
        assert not (piece.far and piece.marks)
        place += len(whole)


def test_the_page_is_whole_and_its_text_does_not_act(tmp_path: Path) -> None:
    record = explained(hostile=HOSTILE) | {"id": HOSTILE, "criterion": HOSTILE, "scores": {HOSTILE: 0.9, "0": 0.1}}
    found = read_page(write_evidence_page(record, tmp_path / "page.html"))
    assert found.mismatched == [] and found.open == []
    assert not found.all("img") and not re.search("https?://", found.source)
    assert len([held for held in found.all("script") if held.get("type") != "application/json"]) == 1
    assert chr(0x202E) not in found.source and chr(0x1B) not in found.source
    assert "U+202E" in found.text and "{{ 7*7 }}" in found.text
    ids = [held["id"] for _, held in found.tags if "id" in held]
    assert len(ids) == len(set(ids))
    links = {(held["href"] or "")[1:] for held in found.all("a")}
    assert links <= set(ids)


def test_the_decision_is_told_with_scores_label_and_criterion(page: Page) -> None:
    assert "Predicted 1 with a score of 0.866, which is right: the label is 1" in page.text
    assert "Without its first chunk of evidence the log-odds of 1 fall by 1.620" in page.text
    assert CRITERION in page.text and "0.134" in page.text and "test split" in page.text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"label": "0"}, "Bad: Predicted 1 with a score of 0.866, which is wrong: the label is 0"),
        ({"label": None}, "Finding: Predicted 1 with a score of 0.866; the record has no label"),
        ({"label": "", "predicted": ""}, "Good: Predicted none of the labels, which is right: the label is none"),
        (
            {"predicted": None, "scores": {}, "queries": [], "evidence": [], "error": "no head for this criterion"},
            "Bad: There is no prediction no head for this criterion",
        ),
    ],
)
def test_every_outcome_has_its_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    found = read_page(write_evidence_page(explained() | change, tmp_path / "page.html"))
    assert sentence in found.text and found.mismatched == [] and found.open == []


def test_colour_is_as_strong_as_importance_and_overlaps_tell_both(page: Page) -> None:
    record = explained()
    spans = marked(page)
    by_rank: dict[int, list[int]] = {}
    for held in spans:
        ranks = [int(rank) for rank in (held["data-e"] or "").split()]
        by_rank.setdefault(ranks[0], []).append(int((held["style"] or "").removeprefix("--s:")))
        importance = [abs(record["evidence"][rank - 1]["importance"]) for rank in ranks]
        assert importance == sorted(importance, reverse=True)
        assert ("opposed" in (held["class"] or "")) == (record["evidence"][ranks[0] - 1]["importance"] < 0)
    largest = record["evidence"][0]["importance"]
    for rank, strengths in by_rank.items():
        expected = round(100 * abs(record["evidence"][rank - 1]["importance"]) / largest)
        assert set(strengths) == {expected}
    assert any(" " in (held["data-e"] or "") for held in spans)


def test_the_list_is_ranked_and_leads_to_the_place_and_back(page: Page) -> None:
    record = explained()
    listed = [held["data-rank"] for held in page.all("li") if "data-rank" in held]
    assert listed == [str(rank) for rank in range(1, len(record["evidence"]) + 1)]
    links = [held["href"] for held in page.all("a")]
    for rank in range(1, len(listed) + 1):
        assert f"#evidence-{rank}" in links and f"#rank-{rank}" in links
    assert page.text.index("We may suspend or close") < page.text.index("We may change these terms")
    assert "−0.280" in page.text


def test_hover_tells_importance_weight_and_every_query(page: Page) -> None:
    block = re.search(r'id="evidence-tips">(.*?)</script>', page.source)
    assert block is not None
    tips = json.loads(block[1])
    record = explained()
    first = record["evidence"][0]
    assert tips[0]["head"] == f"Evidence 1, chunk 3: importance +1.620, weight {first['weight']:.3f}"
    own = {q["query"]: one for q in record["queries"] for one in q["chunks"] if one["chunk"] == first["chunk"]}
    most = max(own, key=lambda query: own[query]["weight"])
    assert tips[0]["lines"][0] == f"query {most}: weight {own[most]['weight']:.3f}, cosine {own[most]['cosine']:.3f}"
    assert tips[0]["lines"][-1] == f"and {len(own) - 6} more queries" and len(tips) == len(record["evidence"])


def test_a_document_of_five_thousand_sentences_stays_small(tmp_path: Path) -> None:
    record = explained(208)
    assert record["document"]["text"].count("\n") > 4900
    started = time.perf_counter()
    found = read_page(write_evidence_page(record, tmp_path / "long.html"))
    assert time.perf_counter() - started < 3
    assert len(marked(found)) < 400
    assert len(found.source) < 2 * len(record["document"]["text"])
    assert any(held.get("id") == "near" and "checked" in held for held in found.all("input"))
    shown = sum(held.get("class") == "far" for held in found.all("span"))
    assert shown > 5


def test_where_all_chunks_are_read_the_most_important_are_marked(tmp_path: Path) -> None:
    record = explained(60, queries=0)
    text, chunks = record["document"]["text"], record["document"]["chunks"]
    record["evidence"] = sorted(
        (
            {
                "chunk": n,
                **span,
                "text": text[span["start"] : span["end"]],
                "weight": 0.001,
                "importance": 0.5 - n / 700,
            }
            for n, span in enumerate(chunks)
        ),
        key=lambda one: -one["importance"],
    )
    assert len(chunks) > MARKED and record["evidence"][-1]["importance"] < 0
    found = read_page(write_evidence_page(record, tmp_path / "mean.html"))
    assert f"{len(chunks) - MARKED} less important chunks are neither listed nor marked" in found.text
    assert len([held for held in found.all("li") if "data-rank" in held]) == MARKED
    assert "Queries" not in found.text and "every query looks again" not in found.text


def test_small_importances_are_told_apart(tmp_path: Path) -> None:
    record = explained()
    for one in record["evidence"]:
        one["importance"] /= 1000
    text = read_page(write_evidence_page(record, tmp_path / "small.html")).text
    assert "fall by 0.00162" in text and "+0.00094" in text and "−0.00028" in text


def test_a_class_that_a_threshold_chose_is_told(tmp_path: Path, page: Page) -> None:
    record = explained() | {"scores": {"0": 0.6, "1": 0.4}}
    said = "decided by a threshold, not by the highest score"
    whole = read_page(write_evidence_page(record | {"whole": True}, tmp_path / "page.html")).text
    assert "test split; the whole document that the record was cut from" in whole
    assert "the whole document" not in page.text
    assert said in read_page(write_evidence_page(record, tmp_path / "page.html")).text and said not in page.text


def test_an_empty_document_says_so(tmp_path: Path) -> None:
    record = explained() | {"document": {"text": "", "chunks": []}, "evidence": []}
    record["queries"] = [{"query": query, "chunks": []} for query in range(2)]
    found = read_page(write_evidence_page(record, tmp_path / "empty.html"))
    assert "The document has no chunks" in found.text and found.mismatched == [] and found.open == []


def test_what_is_no_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no explained record"):
        write_evidence_page({"schema": 1, "queries": []}, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("gain", "kind", "words"),
    [
        (0.2, "good", "predictions rest on the evidence shown, more than on random chunks"),
        (0.01, "caution", "no better than random chunks"),
        (-0.2, "bad", "worse than random chunks"),
    ],
)
def test_the_curves_say_what_they_show(gain: float, kind: str, words: str) -> None:
    facts = evidence_of_run(gain=gain)["faithfulness"]
    verdict = faithfulness_verdict(facts)
    assert verdict.kind == kind and words in verdict.statement
    assert f"{abs(gain):.3f} {'more' if gain > 0 else 'less'} than without as many random chunks" in verdict.detail
    assert "Mean over 1 to 8 chunks of 231 documents" in verdict.detail
    deletion, sufficiency = tried(facts)
    assert deletion.kind == sufficiency.kind == kind
    first = facts["deletion"]["evidence"][0]
    assert deletion.numbers[1][1].replace("−", "-") == (
        f"{first['value']:.3f} ({first['low']:.3f} to {first['high']:.3f})"
    )
    bands = re.findall(r'class="band-around" d="([^"]+)"', str(deletion.chart.drawing))
    assert len(bands) == 2 and all(path.count("L") == 2 * 5 - 1 for path in bands)


def test_evidence_that_is_surely_better_by_next_to_nothing_counts_for_little() -> None:
    verdict = faithfulness_verdict(evidence_of_run(gain=0.004, spread=0.001)["faithfulness"])
    assert verdict.kind == "caution" and "more than random chunks, and for little at all" in verdict.statement


def test_half_a_proof_is_told_as_half() -> None:
    facts = evidence_of_run()["faithfulness"]
    facts["summary"]["sufficiency"] = {"value": -0.01, "low": -0.1, "high": 0.1}
    verdict = faithfulness_verdict(facts)
    assert verdict.kind == "caution" and "better than random chunks in deletion, and not shown" in verdict.statement
    none = faithfulness_verdict({"chunks": [], "deletion": None, "sufficiency": None, "summary": None, "n": 0})
    assert none.kind == "caution" and "cannot be held against random chunks" in none.statement


def test_queries_that_are_nearly_one_or_do_nothing_are_named() -> None:
    assert "8 queries look for different things" in queries_verdict(evidence_of_run()).statement  # type: ignore[union-attr]
    alike = queries_verdict(evidence_of_run(alike=(2, 5)))
    assert alike is not None and alike.kind == "caution" and "nearly one: 2 and 5" in alike.statement
    assert "at most 0.97 (2 and 5)" in alike.detail
    same = evidence_of_run()
    same["overlap"] = [[0.75] * 8] * 8
    verdict = queries_verdict(same)
    assert verdict is not None and verdict.kind == "caution" and "read much the same chunks" in verdict.statement
    assert "75.0 % of the chunks that they read in common" in verdict.detail
    idle = evidence_of_run()
    idle["queries"][3]["usage"] = {"0": 0.001, "1": None}
    verdict = queries_verdict(idle)
    assert verdict is not None and verdict.kind == "caution" and "of 8 queries 3 does nothing" in verdict.statement
    assert queries_verdict({"queries": [], "similarity": []}) is None and heats({"queries": []}) == []


def test_the_report_holds_the_evidence_and_its_texts_stay_closed(runs: list[Path]) -> None:
    found = read_page(write_report(runs[:1]))
    facts = read_json(RunFolder(runs[0]).evidence())
    assert found.mismatched == [] and found.open == []
    top = found.text[: found.text.index("What was run")]
    assert "Predictions rest on the evidence shown" in top and "8 queries look for different things" in top
    assert "Deletion more is better +0.200 +0.150 to +0.250" in found.text
    assert "8 learnt queries, each its nearest 12 chunks of a document (temperature 0.1)" in found.text
    assert "5.6 × query_diversity(queries)" in found.text and "3 sentences, 1 of them shared" in found.text
    assert f"{facts['similarity'][0][4]:.2f}" in found.text
    assert "Measured on 240 records of the test split" in found.text
    assert f"lossmith explain {runs[0]} --id ID --html FILE" in found.text
    parts = "".join(re.split(r'<details class="withheld">.*?</details>', found.source, flags=re.DOTALL))
    assert "suspend" in found.text and "suspend" not in parts and "bicycles" not in parts


def test_mistakes_show_what_they_rest_on(runs: list[Path]) -> None:
    found = read_page(write_report(runs[:1]))
    mistakes = found.text[found.text.index("Surest mistakes Texts") :]
    assert "Evidence, the most important chunk first" in mistakes
    assert re.search(r"[+−]\d\.\d{3}(, against it)? · weight 0\.500", mistakes)
    assert "'chunk'" not in found.source and "&#39;chunk&#39;" not in found.source


def test_two_retrieval_runs_stand_side_by_side(runs: list[Path], tmp_path: Path) -> None:
    found = read_page(write_report(runs, tmp_path / "out.html", comparison=compare_runs(runs)))
    assert found.mismatched == [] and found.open == []
    assert "blunt: the evidence shown is no better than random chunks" in found.text
    assert "blunt: of 8 queries some are nearly one: 2 and 5" in found.text
    assert "sharp: predictions rest on the evidence shown" in found.text
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(found.all("table")) == len(found.all("caption"))
    ids = [held["id"] for _, held in found.tags if "id" in held]
    assert len(ids) == len(set(ids))


def test_missing_and_damaged_evidence_is_a_sentence(runs: list[Path], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "bare")
    run.path.mkdir()
    for name in ("config.yaml", "metrics.json"):
        (run.path / name).write_bytes((runs[0] / name).read_bytes())
    text = read_page(write_report([run.path])).text
    assert "evidence.json is missing from bare" in text and f"lossmith explain {run.path}" in text
    write_json(run.evidence(), {"queries": [{"number": 3}], "faithfulness": {"chunks": [1], "deletion": 5}})
    text = read_page(write_report([run.path])).text
    assert "evidence.json has another shape than this version writes" in text


def test_each_criterion_has_its_figures_its_threshold_and_its_place_in_a_picture(
    runs: list[Path], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "sharp")
    shutil.copytree(runs[0], run.path)
    config = run.config.read_text().replace("pairs: {}", "pairs: {ends: The provider may end the contract.}")
    assert config != run.config.read_text()
    write_text(run.config, config)
    metrics = read_json(run.metrics())
    write_json(run.metrics(), metrics | {"criterion_thresholds": {"changes": 0.25}})
    text = read_page(write_report([run.path])).text
    table = text[text.index("Each criterion by itself") : text.index("f1 by criterion")]
    for name, n, threshold in (("changes", 40, "0.250"), ("ends", 40, "0.500, that of all")):
        facts = metrics["criteria"][name]["f1"]
        told = " The provider may end the contract." if name == "ends" else ""
        assert f"{name}{told} {n} {threshold} {facts['value']:.3f} {facts['low']:.3f} to {facts['high']:.3f}" in table
    drawn = text[text.index("f1 by criterion") : text.index("Precision and recall")]
    order = sorted(metrics["criteria"], key=lambda name: (metrics["criteria"][name]["f1"]["value"], name))
    places = [drawn.index(f"{name} (") for name in order]
    assert places == sorted(places) and "the dashed line is the value of all records" in drawn
