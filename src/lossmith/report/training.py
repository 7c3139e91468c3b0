"""The charts of training, from the history of one run or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lossmith.report.curves import Chart, Line, chart
from lossmith.report.objective_words import terms
from lossmith.report.run_files import Run

Row = Mapping[str, Any]
Reader = Callable[[Row], Any]


def loss_charts(runs: Sequence[Run]) -> list[Chart]:
    """The weighted total with its evaluation, then each term unweighted."""
    charts: list[Chart | None] = []
    if not _is_its_term(runs):
        charts.append(
            _over_runs(
                "Objective (weighted total)",
                runs,
                lambda row: row.get("loss"),
                evaluation=lambda row: row.get("eval_loss"),
                falls=True,
            )
        )
    units = {term.name: term.unit for run in runs for term in terms(run)}
    charts += [
        _over_runs(
            f"{name}, unweighted",
            runs,
            _term(name, "value"),
            evaluation=_evaluated(name),
            unit=units.get(name, ""),
            falls=True,
        )
        for name in _terms(runs)
    ]
    return [drawn for drawn in charts if drawn is not None]


def share_charts(runs: Sequence[Run]) -> list[Chart]:
    """For each run of several terms, how much of the gradient each term gives."""
    charts = []
    for run in runs:
        names = _terms([run])
        if len(names) < 2:
            continue
        lines = [Line(name, _points(run, _term(name, "share")), index, sparse=True) for index, name in enumerate(names)]
        title = f"Share of the gradient: {run.label}" if len(runs) > 1 else "Share of the gradient"
        charts.append(chart(title, lines, floor=0.0))
    return [drawn for drawn in charts if drawn is not None]


def other_charts(runs: Sequence[Run]) -> list[Chart]:
    """Metrics measured during training, the learning rate and the norm of the gradient."""
    known = set(_terms(runs))
    measured = dict.fromkeys(
        key.removeprefix("eval_")
        for run in runs
        for row in run.history
        if "eval_loss" in row
        for key in row
        if key not in ("step", "seconds", "eval_loss", "epoch") and key.removeprefix("eval_") not in known
    )
    charts = [_over_runs(f"{name} on validation records", runs, None, evaluation=_evaluated(name)) for name in measured]
    charts.append(_over_runs("Learning rate", runs, lambda row: row.get("learning_rate"), floor=0.0))
    charts.append(_over_runs("Norm of the gradient", runs, lambda row: row.get("grad_norm"), floor=0.0, falls=True))
    return [drawn for drawn in charts if drawn is not None]


def _is_its_term(runs: Sequence[Run]) -> bool:
    """Whether the total of every run is one and the same term with weight 1, so that one chart shows both."""
    names = _terms(runs)
    weights = (row["terms"][names[0]].get("weight") for run in runs for row in run.history if row.get("terms"))
    return len(names) == 1 and all(weight == 1 for weight in weights)


def _over_runs(
    title: str,
    runs: Sequence[Run],
    training: Reader | None,
    *,
    evaluation: Reader | None = None,
    unit: str = "",
    floor: float = -math.inf,
    falls: bool = False,
) -> Chart | None:
    lines = []
    for index, run in enumerate(runs):
        who = run.label if len(runs) > 1 else ""
        style = index if len(runs) > 1 else 0
        if training is not None:
            lines.append(
                Line(f"{who} training".strip() if evaluation else who or "training", _points(run, training), style)
            )
        if evaluation is not None:
            # One run's own evaluation takes a second colour; of several runs each keeps its own.
            lines.append(
                Line(
                    f"{who} validation".strip(),
                    _points(run, evaluation),
                    style if len(runs) > 1 else 1,
                    sparse=True,
                )
            )
    return chart(title, lines, unit=unit, floor=floor, falls=falls)


def _points(run: Run, read: Reader) -> list[tuple[float, float | None]]:
    """(step, value) of the lines that have the value; steps that went back (a resumed run) are put in order."""
    held = [(row["step"], read(row)) for row in run.history if isinstance(row.get("step"), int | float)]
    numbers = [
        (float(step), float(value))
        for step, value in held
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]
    return [*sorted(numbers)]


def _term(name: str, part: str) -> Reader:
    def read(row: Row) -> Any:
        term = (row.get("terms") or {}).get(name)
        return term.get(part) if isinstance(term, Mapping) else None

    return read


def _evaluated(name: str) -> Reader:
    def read(row: Row) -> Any:
        return row.get(f"eval_{name}", row.get(name)) if "eval_loss" in row else None

    return read


def _terms(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for row in run.history for name in row.get("terms") or {}))
