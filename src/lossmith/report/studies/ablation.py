"""The page of an ablation: every objective over its seeds, and its difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lossmith.evaluate.class_baselines import TFIDF
from lossmith.report.comparison import LEVEL
from lossmith.report.figures import count, interval, number, p_value
from lossmith.report.intervals_plot import Dot, Plot, plot
from lossmith.report.measured import DIRECTIONS, direction_of, metric_decimals, metric_range, plain_name
from lossmith.report.objective_words import objective_formula
from lossmith.report.standing import Kind, Verdict
from lossmith.report.studies.study_files import Study


@dataclass(frozen=True)
class Line:
    """One objective on one metric; the fields of the difference are empty for the baseline."""

    name: str
    is_baseline: bool
    mean: str
    sd: str
    bounds: str
    seeds: str
    reason: str
    difference: str
    difference_bounds: str
    p: str
    p_holm: str
    kind: Kind | None
    word: str


@dataclass(frozen=True)
class MetricOfAll:
    """One metric of all objectives: its lines, a picture of the means, and one of the differences.

    `baselines` need no model: (name, value, interval).
    """

    name: str
    arrow: str
    better: str
    lines: Sequence[Line]
    baselines: Sequence[tuple[str, str, str]]
    means: Plot | None
    differences: Plot | None


@dataclass(frozen=True)
class Ablation:
    """Everything of an ablation; `objectives` are (name, formula)."""

    about: str
    baseline: str
    objectives: Sequence[tuple[str, str]]
    metrics: Sequence[MetricOfAll]
    tests: int
    reasons: Sequence[str]
    notes: Sequence[str]


def ablation(study: Study) -> Ablation:
    """What study.json says of the objectives; without metrics while there are no results."""
    results = study.results
    table: Sequence[Mapping[str, Any]] = results.get("table") or ()
    comparisons: Sequence[Mapping[str, Any]] = results.get("comparisons") or ()
    baseline = str(results.get("baseline") or "")
    objectives: Mapping[str, Any] = results.get("objectives") or study.setting("ablate", "objectives") or {}
    return Ablation(
        about=_about(results),
        baseline=baseline,
        objectives=[(name, objective_formula(terms)) for name, terms in objectives.items()],
        metrics=[_metric(name, results, baseline) for name in dict.fromkeys(row["metric"] for row in table)],
        tests=int(results.get("tests") or 0),
        reasons=list(
            dict.fromkeys(str(one["reason"]) for one in comparisons if one.get("p") is None and one.get("reason"))
        ),
        notes=[str(note) for note in results.get("notes") or ()],
    )


def ablation_verdicts(found: Ablation) -> list[Verdict]:
    """One line on the main metric: which objectives are shown to be better or worse than the baseline."""
    if not found.metrics:
        return []
    main = found.metrics[0]
    told = {
        kind: [f"{one.name} ({one.difference}, p {_equals(one.p_holm)})" for one in main.lines if one.kind == kind]
        for kind in ("good", "bad")
    }
    corrected = f" after Holm's correction over {count(found.tests, 'test')}" if found.tests > 1 else ""
    lines = []
    if told["good"]:
        detail = f"Better: {'; '.join(told['good'])}{corrected}."
        beat = "beats" if len(told["good"]) == 1 else "beat"
        lines.append(Verdict("good", f"{_names(main, 'good')} {beat} {found.baseline} on {main.name}", detail))
    if told["bad"]:
        detail = f"Worse: {'; '.join(told['bad'])}{corrected}."
        are = "is" if len(told["bad"]) == 1 else "are"
        lines.append(Verdict("bad", f"{_names(main, 'bad')} {are} worse than {found.baseline} on {main.name}", detail))
    if not lines:
        why = f"No p value: {'; '.join(found.reasons)}." if found.reasons else "That does not show that they are equal."
        lines.append(Verdict("plain", f"No objective is shown to differ from {found.baseline} on {main.name}", why))
    return lines


def _names(metric: MetricOfAll, kind: Kind) -> str:
    return " and ".join(one.name for one in metric.lines if one.kind == kind)


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def _about(results: Mapping[str, Any]) -> str:
    if not results:
        return ""
    seeds = results.get("seeds") or ()
    clusters = f" in {count(results['clusters'], 'cluster')}" if results.get("clusters") else ""
    records = count(int(results.get("n") or 0), "record")
    return f"{count(len(seeds), 'seed')}, {records}{clusters} of the {results.get('split')} split"


def _metric(name: str, results: Mapping[str, Any], baseline: str) -> MetricOfAll:
    rows = [row for row in results["table"] if row["metric"] == name]
    compared = [one for one in results.get("comparisons") or () if one["metric"] == name]
    against = {(one.get("model"), one["objective"]): one for one in compared}
    modelless = {key: held[name] for key, held in (results.get("baselines") or {}).items() if name in held}
    direction, decimals = direction_of(name, rows[0]), metric_decimals(name)
    arrow, better = DIRECTIONS.get(direction, ("", direction))
    lines = [_line(row, against.get((row.get("model"), row["objective"])), baseline, direction) for row in rows]
    pairs = [
        (line, one)
        for line, row in zip(lines, rows, strict=True)
        if (one := against.get((row.get("model"), row["objective"]))) is not None
    ]
    held = [
        (plain_name(key), number(one.get("value"), decimals=decimals), _bounds(one, decimals))
        for key, one in modelless.items()
    ]
    return MetricOfAll(
        name,
        arrow,
        better,
        lines,
        held,
        _means(name, list(zip(lines, rows, strict=True)), modelless),
        _apart(name, pairs),
    )


def _bounds(facts: Mapping[str, Any], decimals: int) -> str:
    return interval(facts.get("low"), facts.get("high"), decimals=decimals)


def _means(
    name: str, rows: Sequence[tuple[Line, Mapping[str, Any]]], modelless: Mapping[str, Mapping[str, Any]]
) -> Plot | None:
    """Every objective's mean with its seeds, TF-IDF below them, and the baseline's mean as a line."""
    dots = [
        Dot(
            line.name,
            row.get("value"),
            row.get("low"),
            row.get("high"),
            5 if line.is_baseline else 0,
            single=[value for value in row.get("values") or () if value is not None],
        )
        for line, row in rows
    ]
    if (tfidf := modelless.get(TFIDF)) is not None and tfidf.get("value") is not None:
        dots.append(Dot(plain_name(TFIDF), tfidf["value"], tfidf.get("low"), tfidf.get("high"), None))
    values = [row.get("value") for line, row in rows if line.is_baseline]
    floor, ceiling = metric_range(name)
    whole = values[0] if len(values) == 1 else None
    return plot(dots, decimals=metric_decimals(name), line=whole, from_zero=False, floor=floor, ceiling=ceiling)


def _apart(name: str, pairs: Sequence[tuple[Line, Mapping[str, Any]]]) -> Plot | None:
    """Every other objective's difference to the baseline, with those of its seeds."""
    dots = [
        Dot(
            line.name,
            one.get("difference"),
            one.get("low"),
            one.get("high"),
            0,
            single=[value for value in one.get("differences") or () if value is not None],
            note=f"p {_equals(line.p_holm)}" if one.get("p_holm") is not None else "",
        )
        for line, one in pairs
    ]
    return plot(dots, decimals=metric_decimals(name), line=0.0, sign=True) if dots else None


def _line(row: Mapping[str, Any], against: Mapping[str, Any] | None, baseline: str, direction: str) -> Line:
    decimals = metric_decimals(str(row["metric"]))
    model = f"{row['model']}: " if row.get("model") else ""
    other: Mapping[str, Any] = against or {}
    kind, word = _judged(other, direction) if against else (None, "")
    return Line(
        name=f"{model}{row['objective']}",
        is_baseline=row["objective"] == baseline,
        mean=number(row.get("value"), decimals=decimals),
        sd=number(row.get("sd"), decimals=decimals),
        bounds=interval(row.get("low"), row.get("high"), decimals=decimals),
        seeds=str(row.get("seeds") or ""),
        reason=str(row.get("reason") or ""),
        difference=number(other.get("difference"), decimals=decimals, sign=True) if against else "",
        difference_bounds=interval(other.get("low"), other.get("high"), decimals=decimals, sign=True),
        p=p_value(other.get("p")) if against else "",
        p_holm=p_value(other.get("p_holm")) if against else "",
        kind=kind,
        word=word,
    )


def _judged(found: Mapping[str, Any], direction: str) -> tuple[Kind, str]:
    """What the test and the interval say together, as on the page of a comparison."""
    difference, low, high, p = (found.get(part) for part in ("difference", "low", "high", "p_holm"))
    apart = low is not None and high is not None and (low > 0 or high < 0)
    if difference is None or p is None:
        return "caution", "not tested"
    if p >= LEVEL:
        return ("caution", "not decided") if apart else ("plain", "no difference found")
    if not apart or direction not in ("up", "down"):
        return "caution", "not decided"
    return ("good", "better") if (difference > 0) == (direction == "up") else ("bad", "worse")
