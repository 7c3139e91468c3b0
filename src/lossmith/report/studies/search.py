"""The page of a search: its best trial, how it got there, what mattered, and every trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lossmith.names.metrics import known_metric
from lossmith.report.curves import Chart, Line, chart
from lossmith.report.figures import NONE, count, duration, number, percent, short
from lossmith.report.measured import DIRECTIONS, metric_decimals
from lossmith.report.standing import Verdict
from lossmith.report.studies.slices import slices
from lossmith.report.studies.study_files import Study, shown_value

_LISTED = 200
_CURVES = 30


@dataclass(frozen=True)
class Trial:
    """One trial as its row shows it."""

    number: int
    state: str
    value: str
    time: str
    params: Sequence[str]
    error: str
    best: bool


@dataclass(frozen=True)
class Found:
    """The page of a search; `importances` are (key, share in words, width in per cent)."""

    about: str
    keys: Sequence[str]
    space: Sequence[tuple[str, str]]
    best: Sequence[tuple[str, str]]
    command: str
    configuration: str
    history: Chart | None
    evaluations: Chart | None
    importances: Sequence[tuple[str, str, float]]
    importances_told: str
    slices: Sequence[Chart]
    trials: Sequence[Trial]
    more: int


def search(study: Study) -> Found:
    """What study.json says of the trials."""
    results = study.results
    trials: Sequence[Mapping[str, Any]] = results.get("trials") or ()
    space: Mapping[str, Any] = results.get("space") or {}
    best: Mapping[str, Any] = results.get("best") or {}
    metric, rises = str(results.get("metric") or ""), results.get("direction") == "up"
    shares: Mapping[str, float] = (results.get("importances") or {}).get("values") or {}
    keys = sorted(space, key=lambda key: -shares.get(key, 0.0))
    file = study.path / str(results.get("best_file") or "")
    return Found(
        about=_about(results),
        keys=keys,
        space=[(key, _range(space[key])) for key in keys],
        best=[(key, shown_value(value)) for key, value in (best.get("params") or {}).items()],
        command=shlex.join(["lossmith", "run", str(file)]) if file.is_file() else "",
        configuration=file.read_text(encoding="utf-8") if file.is_file() else "",
        history=_history(trials, metric, rises=rises),
        evaluations=_evaluations(
            trials, best, metric, rises=rises, x_name="fold" if results.get("folds") else "optimizer step"
        ),
        importances=[(key, percent(share), round(100 * share, 1)) for key, share in shares.items()],
        importances_told=_importances_told(results.get("importances") or {}),
        slices=slices(trials, space, keys, metric=metric),
        trials=_rows(trials, keys, metric, best.get("number"), rises=rises),
        more=max(0, len(trials) - _LISTED),
    )


def search_verdicts(study: Study) -> list[Verdict]:
    """The best trial in one line, and what its value is worth."""
    results = study.results
    best = results.get("best")
    if not best:
        return [Verdict("caution", "No trial has finished yet", "")]
    metric = str(results.get("metric"))
    finished = int((results.get("counts") or {}).get("done") or 0)
    statement = (
        f"Trial {best['number']} is the best of {count(finished, 'finished trial')}: "
        f"{metric} {_value(metric, best.get('value'))}"
    )
    where = "over inner folds" if results.get("folds") else f"on {results.get('split')}"
    detail = (
        f"Measured {where}, where it was chosen, so the value flatters it: the best of many is partly the luckiest. "
        "What it is worth says the test split, when its configuration is run."
    )
    return [Verdict("plain", statement, detail)]


def _about(results: Mapping[str, Any]) -> str:
    if not results:
        return ""
    counts: Mapping[str, int] = results.get("counts") or {}
    told = ", ".join(f"{held} {state}" for state, held in counts.items() if held)
    _, better = DIRECTIONS.get(str(results.get("direction")), ("", ""))
    folds = f", mean over {results['folds']} folds" if results.get("folds") else f" on {results.get('split')}"
    pruner = "" if results.get("pruner") in (None, "none") else f", pruned by the {results['pruner']}"
    trials = count(sum(counts.values()), "trial")
    return f"{results.get('metric')}{folds} ({better}); {trials}: {told}; drawn by {results.get('sampler')}{pruner}"


def _history(trials: Sequence[Mapping[str, Any]], metric: str, *, rises: bool) -> Chart | None:
    """Every trial's value by its number, and the best so far of those that finished."""
    done = [(float(one["number"]), float(one["value"])) for one in _with_value(trials, "done")]
    pruned = [(float(one["number"]), float(one["value"])) for one in _with_value(trials, "pruned")]
    so_far: list[tuple[float, float | None]] = []
    for place, value in sorted(done):
        before = so_far[-1][1] if so_far else None
        held = value if before is None else max(before, value) if rises else min(before, value)
        if before is not None:
            so_far.append((place, before))
        so_far.append((place, held))
    lines = [
        Line("best so far", so_far, 1),
        Line("finished", done, 0, sparse=True, joined=False),
        Line("pruned", pruned, 5, sparse=True, joined=False),
    ]
    return chart(f"{metric} by trial", lines, x_name="trial", falls=not rises)


def _evaluations(
    trials: Sequence[Mapping[str, Any]], best: Mapping[str, Any], metric: str, *, rises: bool, x_name: str
) -> Chart | None:
    """What each trial's evaluations told, the best trial last and in a colour of its own."""
    held = [one for one in trials if len(one.get("intermediate") or ()) > 1]
    chosen = sorted(held[-_CURVES:], key=lambda one: one["number"] == best.get("number"))
    lines = [
        Line(
            f"trial {one['number']}{', the best' if one['number'] == best.get('number') else ''}",
            [(float(at["step"]), at["value"]) for at in one["intermediate"]],
            0 if one["number"] == best.get("number") else 5,
        )
        for one in chosen
    ]
    drawn = chart(f"{metric} while each trial trained", lines, x_name=x_name, falls=not rises) if held else None
    if drawn is None or len(drawn.keys) < 3:
        return drawn
    # One key for all the others.
    return replace(drawn, keys=(("other trials", drawn.keys[0][1]), drawn.keys[-1]))


def _with_value(trials: Sequence[Mapping[str, Any]], state: str) -> list[Mapping[str, Any]]:
    return [one for one in trials if one.get("state") == state and one.get("value") is not None]


def _importances_told(found: Mapping[str, Any]) -> str:
    if found.get("reason"):
        return f"Not told: {found['reason']}."
    if not found.get("values"):
        return ""
    return (
        f"The share of the values' variance over {count(int(found.get('n') or 0), 'finished trial')} that each key "
        "explains by itself (fANOVA). Of few trials it is a hint, no measurement."
    )


def _rows(
    trials: Sequence[Mapping[str, Any]], keys: Sequence[str], metric: str, best: Any, *, rises: bool
) -> list[Trial]:
    """Trials, the best value first, those without a value last."""
    sign = -1.0 if rises else 1.0
    order = sorted(trials, key=lambda one: (one.get("value") is None, sign * float(one.get("value") or 0.0)))
    return [
        Trial(
            number=int(one["number"]),
            state=str(one.get("state")),
            value=_value(metric, one.get("value")),
            time=duration(one.get("seconds")),
            params=[shown_value((one.get("params") or {}).get(key)) for key in keys],
            error=str(one.get("error") or ""),
            best=one["number"] == best,
        )
        for one in order[:_LISTED]
    ]


def _range(told: Any) -> str:
    """A dimension in words."""
    if isinstance(told, Mapping) and {"low", "high"} <= set(told):
        steps = f", in steps of {short(told['step'])}" if told.get("step") else ""
        return f"{short(told['low'])} to {short(told['high'])}{', logarithmic' if told.get('log') else ''}{steps}"
    values = told.get("choices") if isinstance(told, Mapping) else told
    return ", ".join(shown_value(value) for value in values) if isinstance(values, Sequence) else shown_value(told)


def _value(metric: str, value: float | None) -> str:
    """A value with the decimals of its metric; of a loss, which has no range, four figures."""
    if value is None or known_metric(metric) is None:
        return NONE if value is None else shown_value(float(value))
    return number(value, decimals=metric_decimals(metric))
