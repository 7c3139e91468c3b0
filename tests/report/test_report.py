"""What a reader finds on the page, for whole runs, several runs, and runs where things are missing."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lossmith.errors import InputError
from lossmith.report.page import write_report
from lossmith.runs import RunFolder, read_json, write_json

from .kitchen import PLAIN, TRANSPORT, history, predictions, write_run
from .reading import Page, read_page

HOSTILE = (
    '</script><script>alert(1)</script><img src=x onerror="alert(2)"> & &lt; {{ 7*7 }} '
    + chr(0x202E)
    + "gnp.exe"
    + chr(0x1B)
)


@pytest.fixture(scope="module")
def single(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    return read_page(write_report(runs[:1], tmp_path_factory.mktemp("single") / "report.html"))


@pytest.fixture(scope="module")
def several(runs: list[Path], comparison: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("several") / "comparison.html"
    return read_page(write_report(runs, out, comparison=comparison))


def test_every_element_is_closed(single: Page, several: Page) -> None:
    for page in (single, several):
        assert page.mismatched == [] and page.open == []


def test_nothing_is_loaded_and_only_the_own_script_may_run(several: Page) -> None:
    assert not re.search(r"https?://", several.source)
    assert not [tag for tag, held in several.tags if {"src", "srcset", "background", "data"} & held.keys()]
    assert not several.all("link") and "url(" not in several.source and "@import" not in several.source
    policy = next(held["content"] or "" for held in several.all("meta") if "http-equiv" in held)
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    active = [held for held in several.all("script") if held.get("type") != "application/json"]
    assert len(active) == 1


def test_both_themes_and_print(single: Page) -> None:
    for rule in ("prefers-color-scheme: dark", '[data-theme="dark"]', '[data-theme="light"]', "@media print"):
        assert rule in single.source
    assert any(held.get("id") == "theme" for held in single.all("button"))


def test_the_reader_without_sight_has_names_for_everything(several: Page) -> None:
    levels = [int(tag[1]) for tag, _ in several.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    drawings = several.all("svg")
    assert len(drawings) > 20
    inner = [held for held in drawings if "x" in held]  # marks placed inside a labelled drawing
    assert all(held.get("aria-label") or held.get("aria-hidden") == "true" for held in drawings if held not in inner)
    tables = len(several.all("table"))
    assert tables == len(several.all("caption")) and tables > 8
    ids = [held["id"] for _, held in several.tags if "id" in held]
    assert len(ids) == len(set(ids))
    named = {held["aria-labelledby"] for held in several.all("section")}
    links = {(held["href"] or "")[1:] for held in several.all("a")}
    assert named <= set(ids) and links <= set(ids)


def test_the_top_says_what_was_run_and_what_was_found(single: Page) -> None:
    top = single.text[: single.text.index("Results Training")]
    assert "scratch-tiny, task causal, trained with the objective 1 × cross_entropy(answer) on 240 records" in top
    assert "the baseline “nearest training record”" in top
    assert re.search(r"Misses its gate .*ingredient_f1 >= 0\.99 .*0\.\d+ ✗ Bad: missed", top)
    assert top.index("Misses its gate") < top.index("the baseline")
    assert "2 of 30 records failed" in top
    assert top.index("2 of 30 records failed") < top.index("1 of 30 test records have a text that train holds too")
    assert "step 500, best by eval_loss" in top


def test_a_value_stands_with_its_interval_and_its_baselines(single: Page, runs: list[Path]) -> None:
    found = read_json(RunFolder(runs[0]).metrics())
    facts = found["metrics"]["ingredient_f1"]
    assert f"{facts['value']:.3f} {facts['low']:.3f} to {facts['high']:.3f}" in single.text
    baseline = found["baselines"]["prompt_copied"]["rougeL"]
    assert f"{baseline['value']:.3f} {baseline['low']:.3f} to {baseline['high']:.3f}" in single.text
    reason = found["baselines"]["prompt_copied"]["quantity_accuracy"]["reason"]
    assert f"undefined {reason}" in single.text


def test_failed_records_are_listed_with_their_reason(single: Page) -> None:
    assert "2 of 30 records failed (6.7 %); each counts as wrong" in single.text
    assert "kitchen.jsonl:4 no end of turn within 256 tokens" in single.text
    assert "3 rejected records of 303 read" in single.text


def test_origin_gives_commands_versions_and_stages(single: Page) -> None:
    assert "lossmith run recipes/sinkhorn data.files=kitchen.jsonl model=scratch-tiny" in single.text
    assert "/somewhere/bin" not in single.text
    for words in ("torch 2.13.0", "feedface01234567", "train 1 min 35 s 774.4 MiB", "predictions/test.parquet"):
        assert words in single.text


def test_marks_of_ingredients_are_told_in_words(several: Page) -> None:
    words = {"matched: ", "quantity wrong: ", "missing: ", "invented: "}
    assert words <= set(several.words)
    assert re.search(r"\d matched, \d quantity wrong", several.text) or re.search(
        r"\d missing, \d invented", several.text
    )
    assert "transport does better by most" in several.text


def test_the_comparison_is_told_as_the_test_says(several: Page, comparison: dict[str, Any]) -> None:
    main = comparison["comparisons"][0]
    assert main["metric"] == "ingredient_f1" and main["p_holm"] < 0.05
    assert "transport is better than plain on ingredient_f1" in several.text
    assert f"+{main['difference']:.3f}" in several.text
    assert f"after Holm's correction over {comparison['tests']} tests" in several.text


def test_what_differs_between_runs_is_marked(several: Page) -> None:
    assert "Objective differs 1 × cross_entropy(answer)" in several.text
    assert "0.6 × cross_entropy(answer) + 0.4 × sinkhorn(ingredients; blur = 0.1)" in several.text
    assert "Base model scratch-tiny, random weights, all trained" in several.text
    assert "it does not compare meanings" in several.text


def test_several_runs_without_a_comparison_say_how_to_get_one(runs: list[Path], tmp_path: Path) -> None:
    page = read_page(write_report(runs, tmp_path / "out.html"))
    assert "were not compared record by record" in page.text
    assert f"lossmith compare {runs[0]} {runs[1]}" in page.text


def test_a_comparison_is_read_from_its_file_and_must_fit(
    runs: list[Path], comparison: dict[str, Any], tmp_path: Path
) -> None:
    write_json(tmp_path / "compare.json", comparison)
    page = read_page(write_report(runs, tmp_path / "out.html", comparison=tmp_path / "compare.json"))
    assert "transport less plain" in page.text
    with pytest.raises(InputError, match="not one of these runs"):
        write_report(runs[:1], tmp_path / "out.html", comparison=comparison)


def test_default_places(runs: list[Path], comparison: dict[str, Any], tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]
    assert write_report(copies[:1]) == copies[0] / "report.html"
    assert write_report(copies, comparison=comparison) == tmp_path / "comparison.html"


def test_text_of_models_does_not_act(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "<b>bold" / ("name" + chr(0x202E)), objective=PLAIN, skill=0.5, records=6, metrics=["rougeL"]
    )
    files = RunFolder(run)
    table = pq.read_table(files.predictions("test"))
    hostile = pa.array([HOSTILE] * len(table))
    for column in ("id", "prompt", "target", "prediction", "error"):
        values = pa.array([f"{number} {HOSTILE}" for number in range(len(table))]) if column == "id" else hostile
        if column == "error":
            values = pa.array([HOSTILE, *[None] * (len(table) - 1)], type=pa.string())
        table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, files.predictions("test"))
    files.add_warning(HOSTILE)
    audit = read_json(files.audit)
    audit["warnings"] = [HOSTILE]
    write_json(files.audit, audit)
    metrics = read_json(files.metrics())
    metrics["metrics"]["rougeL"] |= {"notes": [HOSTILE]}
    metrics["baselines_absent"] = {HOSTILE: HOSTILE}
    write_json(files.metrics(), metrics)
    page = read_page(write_report([run]))
    assert page.mismatched == [] and page.open == []
    assert not page.all("img") and not page.all("b")
    assert len([held for held in page.all("script") if held.get("type") != "application/json"]) == 1
    assert not [held for _, held in page.tags if any(name.startswith("on") for name in held)]
    assert chr(0x202E) not in page.source and chr(0x1B) not in page.source
    assert "U+202E" in page.text and "U+001B" in page.text and "{{ 7*7 }}" in page.text
    assert "&amp;lt;" in page.source


@pytest.mark.parametrize(
    ("file", "sentence", "command"),
    [
        ("metrics.json", "metrics.json is missing", "lossmith evaluate"),
        ("history.jsonl", "history.jsonl is missing", "lossmith train"),
        ("audit.json", "audit.json is missing", "lossmith prepare"),
        ("predictions/test.parquet", "there are no predictions", "lossmith predict"),
        ("manifest.json", "manifest.json is missing", "lossmith run"),
        ("config.yaml", "config.yaml is missing", "lossmith run"),
    ],
)
def test_what_is_missing_is_said(runs: list[Path], tmp_path: Path, file: str, sentence: str, command: str) -> None:
    run = Path(shutil.copytree(runs[1], tmp_path / "run"))
    (run / file).unlink()
    page = read_page(write_report([run]))
    assert page.mismatched == []
    assert sentence in page.text
    assert f"{command} {run}" in page.text


@pytest.mark.parametrize(
    "file", ["metrics.json", "audit.json", "manifest.json", "config.yaml", "predictions/test.parquet"]
)
def test_what_is_damaged_is_said(runs: list[Path], tmp_path: Path, file: str) -> None:
    run = Path(shutil.copytree(runs[1], tmp_path / "run"))
    (run / file).write_text("{[", encoding="utf-8")
    page = read_page(write_report([run]))
    assert page.mismatched == []
    assert "cannot be read" in page.text or "no readable parquet file" in page.text


def test_a_run_with_nothing_but_a_configuration(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(
        runs[1],
        tmp_path / "run",
        ignore=lambda *_: [
            "metrics.json",
            "history.jsonl",
            "audit.json",
            "manifest.json",
            "predictions",
            "rejected.jsonl",
        ],
    )
    page = read_page(write_report([tmp_path / "run"]))
    assert "Nothing is measured yet" in page.text
    assert page.text.count("missing") >= 4


def test_an_untrained_base_misses_no_history(runs: list[Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    (run / "history.jsonl").unlink()
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(re.sub(r"(?m)^train:\n(?: .*\n)*", "train: null\n", text), encoding="utf-8")
    page = read_page(write_report([run]))
    assert "history.jsonl is missing" not in page.text
    assert "the base model is measured as it is" in page.text


def test_folders_that_are_no_runs(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        write_report([tmp_path])
    with pytest.raises(InputError, match="given twice"):
        write_report([runs[0], runs[0]])
    with pytest.raises(InputError, match="no run was given"):
        write_report([])


def test_a_large_run_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    run = write_run(tmp_path / "large", objective=TRANSPORT, skill=0.5, records=20, lines=0)
    history(run / "history.jsonl", {"cross_entropy": 0.6, "sinkhorn": 0.4}, lines=20_000, start=4.0, seed=0)
    table = predictions(10_000, skill=0.5, seed=0)
    long = pa.array(
        [
            text + " " * 20_000 if number % 500 == 0 else text
            for number, text in enumerate(table["prediction"].to_pylist())
        ]
    )
    pq.write_table(
        table.set_column(table.column_names.index("prediction"), "prediction", long),
        run / "predictions" / "test.parquet",
    )
    path = write_report([run])
    assert path.stat().st_size < 3_000_000
    page = read_page(path)
    assert "Of 10,000 records a sample of 1,000 is ranked" in page.text
    assert "of 20,000 points drawn" in page.text
    data = [json.loads(block) for block in re.findall(r'<script type="application/json">(.*?)</script>', page.source)]
    assert all(len(line["points"]) <= 400 for chart in data for line in chart["lines"])


def test_few_records_are_told(tmp_path: Path) -> None:
    page = read_page(write_report([write_run(tmp_path / "few", objective=PLAIN, skill=0.5, records=6)]))
    assert "Only 6 records scored" in page.text


def test_the_same_files_give_the_same_page(runs: list[Path], tmp_path: Path) -> None:
    first, second = (write_report(runs, tmp_path / name).read_text(encoding="utf-8") for name in ("1.html", "2.html"))
    assert first == second
