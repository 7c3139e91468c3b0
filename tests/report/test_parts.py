"""The small functions that the page is made of."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmith.evaluate.predictions import Predictions
from lossmith.report.axes import log_axis, round_axis
from lossmith.report.comparison import pairs, verdict_lines
from lossmith.report.curves import Line, chart, thin
from lossmith.report.examples import Chosen, choose
from lossmith.report.intervals_plot import Dot, plot
from lossmith.report.palette import COLOURS, contrast
from lossmith.report.recipe_marks import ingredient_marks
from lossmith.report.safe_text import marked, plain

finite = st.floats(-1e9, 1e9, allow_nan=False)


@pytest.mark.parametrize("theme", [0, 1])
def test_every_colour_can_be_read(theme: int) -> None:
    backgrounds = [COLOURS["page"][theme], COLOURS["panel"][theme]]
    for name in ("ink", "muted", "accent", "good", "bad", "caution"):
        assert min(contrast(COLOURS[name][theme], ground) for ground in backgrounds) >= 4.5, name
    for name in [name for name in COLOURS if name.startswith("series") or name == "baseline"]:
        assert min(contrast(COLOURS[name][theme], ground) for ground in backgrounds) >= 3, name
    for name in ("good", "bad", "caution", "accent"):
        ground = COLOURS[f"{name}-tint"][theme]
        assert contrast(COLOURS[name][theme], ground) >= 4.5 and contrast(COLOURS["ink"][theme], ground) >= 4.5, name


@given(st.lists(finite, min_size=1, max_size=30))
def test_an_axis_holds_its_values_between_its_ends(values: list[float]) -> None:
    axis = round_axis(values)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) and max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 12
    assert all(-1e-6 <= axis.at(tick) <= 1 + 1e-6 for tick in axis.ticks)


@given(st.lists(st.one_of(st.none(), finite), min_size=1, max_size=500), st.integers(10, 60))
def test_thinning_keeps_ends_and_extremes(values: list[float | None], most: int) -> None:
    points = [(float(step), value) for step, value in enumerate(values)]
    kept = thin(points, most)
    assert len(kept) <= most
    assert kept == sorted(kept, key=lambda point: point[0]) and set(kept) <= set(points)
    assert kept[0] == points[0] and kept[-1] == points[-1]
    held = [value for value in values if value is not None]
    if held:
        drawn = [value for _, value in kept if value is not None]
        assert min(drawn) == min(held) and max(drawn) == max(held)


def test_a_chart_breaks_where_there_is_no_value_and_needs_one() -> None:
    drawn = chart("loss", [Line("a", [(1, 1.0), (2, 2.0), (3, None), (4, 1.5), (5, 1.0)], 0)])
    assert drawn is not None and str(drawn.drawing).count("M", str(drawn.drawing).index('class="line"')) == 2
    assert chart("loss", [Line("a", [(1, None)], 0)]) is None
    assert chart("loss", []) is None
    alone = chart("loss", [Line("a", [(1, 0.5)], 0)])
    assert alone is not None and 'class="dots"' in str(alone.drawing)


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=20))
def test_a_log_axis_holds_its_values_between_round_ends(values: list[float]) -> None:
    axis = log_axis(values)
    assert (axis is None) == (max(values) <= 5 * min(values))
    if axis is not None:
        assert axis.low <= min(values) and max(values) <= axis.high
        assert (axis.low, axis.high) == (axis.ticks[0], axis.ticks[-1])
        assert 3 <= len(axis.ticks) <= 12
        assert list(axis.ticks) == sorted(axis.ticks)
        assert axis.at(max(values)) - axis.at(min(values)) > 0.5, "the ends are near"


def test_small_late_differences_of_a_falling_loss_can_be_seen() -> None:
    def heights(falls: bool) -> list[float]:
        one = [(step, 9.0 * 0.5**step) for step in range(1, 8)]
        other = [(step, value * (1.2 if step > 5 else 1)) for step, value in one]
        drawn = chart("loss", [Line("a", one, 0), Line("b", other, 1)], unit="nats", falls=falls)
        assert drawn is not None
        assert drawn.unit == ("nats, log scale" if falls else "nats")
        paths = re.findall(r'class="line" d="([^"]*)"', str(drawn.drawing))
        return [float(path.split()[-1]) for path in paths]

    linear, log = heights(False), heights(True)
    assert abs(log[0] - log[1]) > 5 * abs(linear[0] - linear[1]) > 0
    # A term at 0, as a loss that is learned wholly, keeps the linear axis.
    ended = chart("loss", [Line("a", [(1, 9.0), (2, 0.0)], 0)], falls=True)
    assert ended is not None and ended.unit == ""


def test_a_plot_places_values_by_their_size() -> None:
    drawn = plot([Dot("run", 0.5, 0.25, 0.75, 0), Dot("baseline", None, None, None, None)], floor=0.0, ceiling=1.0)
    assert drawn is not None
    first, second = (str(row.drawing) for row in drawn.rows)
    scale = dict(drawn.ticks)
    assert f'x="{100 * 0.5 / 0.8:.3f}%"' in first and scale["0"] == 0
    assert "0.500 (0.250 to 0.750)" in first and "undefined" in second
    assert plot([Dot("run", None, None, None, 0)]) is None


@given(st.text(st.characters(codec=None), max_size=60))
def test_text_keeps_what_can_be_seen_and_nothing_else(text: str) -> None:
    for shown in (plain(text), str(marked(text))):
        assert not any(
            (ord(c) < 32 and c not in "\n\t") or 0x202A <= ord(c) <= 0x202E or 0xD800 <= ord(c) <= 0xDFFF for c in shown
        )
    assert "<" not in str(marked(text)).replace('<span class="unseen"', "").replace("</span>", "")
    if text.isalnum() and text.isascii():
        assert plain(text) == text == str(marked(text))


def test_joiners_of_emoji_and_scripts_stay() -> None:
    family = "👩\u200d🍳 نمی\u200cخواهم"
    assert plain(family) == family


def entry(**facts: Any) -> dict[str, Any]:
    base = {
        "metric": "rougeL",
        "direction": "up",
        "difference": 0.1,
        "low": 0.05,
        "high": 0.15,
        "p": 0.001,
        "p_holm": 0.004,
    }
    return base | {"n": 40, "run": "runs/b", "against": "runs/a", "reason": None} | facts


@pytest.mark.parametrize(
    ("facts", "kind", "words"),
    [
        (
            {},
            "good",
            "b scores 0.100 higher than a (95 % interval of the difference +0.050 to +0.150), which is better",
        ),
        ({"direction": "down"}, "bad", "which is worse (p = 0.004 after Holm's correction over 3 tests)"),
        ({"difference": -0.1, "low": -0.2, "high": -0.01}, "bad", "b scores 0.100 lower than a"),
        ({"low": -0.1, "high": 0.3, "p_holm": 0.4}, "plain", "That does not show that the two are equal"),
        ({"p_holm": 0.06}, "caution", "the interval leaves out 0, but the test does not rule out chance"),
        ({"p": None, "p_holm": None, "reason": "too few"}, "caution", "there is no p value: too few"),
        (
            {"difference": None, "reason": "the value of a run is undefined"},
            "caution",
            "the value of a run is undefined",
        ),
        ({"direction": "one"}, "caution", "does not say which is better"),
        ({"p_holm": 0.0001}, "good", "p < 0.001"),
        (
            {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "p_holm": 1.0},
            "plain",
            "in every resample too: no record tells them apart",
        ),
    ],
)
def test_a_difference_is_judged_by_the_test(facts: dict[str, Any], kind: str, words: str) -> None:
    comparison = {"runs": ["runs/a", "runs/b"], "tests": 3, "clusters": None, "comparisons": [entry(**facts)]}
    (pair,) = pairs(comparison, ["a", "b"])
    assert pair.differences[0].kind == kind and words in pair.differences[0].sentence
    (line,) = verdict_lines([pair], "rougeL")
    assert line.kind == kind and line.detail.startswith(pair.differences[0].sentence)


def test_marks_name_each_kind_of_mistake() -> None:
    from lossmith.metrics.ingredient_matching import matched_ingredients

    target = '{"ingredients": ["200 g flour", "3 eggs", "100 ml milk", "salt"], "instructions": ["Mix."]}'
    prediction = '{"ingredients": ["200 g flour", "9 eggs", "115 ml milk", "1 kg marzipan"], "instructions": ["Mix."]}'
    marks = ingredient_marks(prediction, target, matched_ingredients)
    assert marks is not None
    assert [(mark.state, mark.predicted, mark.gold) for mark in marks] == [
        ("matched", "200 g flour", "200 g flour"),
        ("quantity", "9 eggs", "3 eggs"),
        ("near", "115 ml milk", "100 ml milk"),
        ("missing", "", "salt"),
        ("invented", "1 kg marzipan", ""),
    ]
    assert len({mark.symbol for mark in marks}) == 5
    assert ingredient_marks("Mix all.", target, matched_ingredients) is None


def test_an_infinite_or_missing_number_has_no_digits() -> None:
    from lossmith.report.figures import number

    assert number(math.nan) == number(math.inf) == number(None) == "–"


def answered(*texts: str | None) -> Predictions:
    rows = [{"id": f"r{n}", "target": "one two three four", "prediction": text} for n, text in enumerate(texts)]
    return Predictions(pa.Table.from_pylist(rows), "predictions")


def titles(chosen: Chosen) -> dict[str, list[str]]:
    return {group.title: [example.id for example in group.examples] for group in chosen.groups}


def test_best_and_worst_are_those_of_the_metric() -> None:
    table = answered("one two three four", "five", "one two", "one", None, "one two three", "six", "seven")
    found = titles(choose({"run": table}, ["rougeL"]))
    assert found["Best"] == ["r0", "r5", "r2"]
    assert found["Worst"] == ["r1", "r6", "r7"]
    assert sorted(found["Drawn at random"]) == ["r3", "r4"]
    turned = titles(choose({"run": table}, ["edit_distance"]))
    assert turned["Best"][0] == "r0"


def test_two_runs_show_where_they_differ() -> None:
    first = answered("one two three four", "one", "one two", "six", "one two")
    second = answered("one", "one two three four", "one two three", "six", "one two")
    found = titles(choose({"a": first, "b": second}, ["rougeL"]))
    assert found["b does better by most"] == ["r1", "r2"]
    assert found["b does worse by most"] == ["r0"]


def test_records_are_laid_side_by_side_by_id() -> None:
    first, second = answered("one", "two", "three"), answered("one", "two", "three")
    chosen = choose({"a": first, "b": second.take(np.array([2, 0]))}, ["rougeL"])
    assert "1 record not predicted by every run" in chosen.how
    for example in chosen.groups[-1].examples:
        assert len({answer.passage.text for answer in example.answers if answer.passage}) == 1


def test_no_record_is_best_where_all_score_alike() -> None:
    chosen = choose({"run": answered("six", "seven")}, ["rougeL"])
    assert "All score alike" in chosen.how and list(titles(chosen)) == ["Drawn at random"]
    none = choose({"run": answered(None, None)}, ["rougeL"])
    assert "None has a value" in none.how and list(titles(none)) == ["Drawn at random"]
    assert none.groups[0].examples[0].answers[0].error == "the answer is empty"


def test_a_metric_of_the_whole_corpus_ranks_no_record() -> None:
    chosen = choose({"run": answered("six", "one two")}, ["distinct_1"])
    assert chosen.metric is None and "drawn at random alone" in chosen.how


def test_a_prediction_that_is_no_recipe_is_told() -> None:
    from lossmith.metrics.ingredient_matching import matched_ingredients

    target = '{"ingredients": ["2 eggs"], "instructions": ["Boil."]}'
    rows = [{"id": "a", "target": target, "prediction": "Boil."}, {"id": "b", "target": target, "prediction": target}]
    table = Predictions(pa.Table.from_pylist(rows), "predictions")
    chosen = choose({"run": table}, ["rougeL"], matcher=matched_ingredients)
    answers = {example.id: example.answers[0] for group in chosen.groups for example in group.examples}
    assert answers["a"].unread and answers["a"].marks is None
    assert not answers["b"].unread and answers["b"].marks_told == "1 matched"
