"""How studies look in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from lossmith.cli.screen import print_metrics, print_rows


def print_cv(study: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Every metric over folds, then the pooled predictions as those of a run."""
    results = study["results"]
    rows = []
    for name, found in results["metrics"].items():
        told = found["over_folds"]
        rows.append(
            {
                "metric": name,
                "mean over folds": told["value"],
                "sd": told["sd"],
                "95 % interval": _bounds(told),
                "folds": told["n"],
                "pooled": found["pooled"][0]["value"],
            }
        )
    repeats = f", {results['repeats']} times" if results["repeats"] > 1 else ""
    print_rows(rows, title=f"{results['kind']}, {results['folds']} folds{repeats}, {results['n']} records")
    typer.echo("")
    print_metrics(metrics, title=f"out-of-fold predictions of {metrics['n']} records, pooled")
    typer.echo(f"report: {Path(study['path']) / 'report.html'}")


def print_ablation(study: Mapping[str, Any]) -> None:
    """A line for each objective and metric: mean over seeds, and the difference to the baseline."""
    results = study["results"]
    against = {(one.get("model"), one["objective"], one["metric"]): one for one in results["comparisons"]}
    rows = []
    for found in results["table"]:
        other = against.get((found.get("model"), found["objective"], found["metric"]))
        row = {"metric": found["metric"]}
        if results["models"]:
            row["model"] = found["model"]
        row |= {"objective": found["objective"], "mean": found["value"], "sd": found["sd"]}
        row |= {"95 % interval": _bounds(found)}
        if other is not None:
            row |= {"difference": other["difference"], "its interval": _bounds(other)}
            row |= {"p": other["p"], "p (Holm)": other["p_holm"]}
        rows.append(row)
    rows.sort(key=lambda row: [one["metric"] for one in results["table"]].index(row["metric"]))
    seeds = len(results["seeds"])
    print_rows(
        rows, title=f"{seeds} seeds, {results['n']} records of {results['split']}, against {results['baseline']}"
    )
    for note in results["notes"]:
        typer.echo(note)
    reasons = {one["reason"] for one in results["comparisons"] if one["p"] is None and one["reason"]}
    for reason in sorted(reasons):
        typer.echo(f"no p value: {reason}")
    typer.echo(f"report: {Path(study['path']) / 'report.html'}")


def print_search(study: Mapping[str, Any], *, best: int = 10) -> None:
    """The best trials, how the others ended, what mattered, and how the best configuration is run."""
    results = study["results"]
    path = Path(study["path"])
    done = [row for row in results["trials"] if row["state"] == "done"]
    done.sort(key=lambda row: row["value"], reverse=results["direction"] == "up")
    rows = [{"trial": row["name"], results["metric"]: row["value"], **_plain(row["params"])} for row in done[:best]]
    counted = ", ".join(f"{count} {state}" for state, count in results["counts"].items() if count)
    where = f"{results['folds']} folds" if results["folds"] else results["split"]
    print_rows(rows, title=f"{results['metric']} ({results['direction']}) on {where}: {counted}")
    for row in results["trials"]:
        if row["state"] == "failed":
            typer.echo(f"{row['name']} failed: {row['error']}")
    shares = results["importances"]["values"] or {}
    if shares:
        print_rows([{"key": key, "importance": share} for key, share in shares.items()])
    if results["best"] is not None:
        typer.echo(f"best: {results['best']['name']}; lossmith run {path / results['best_file']}")
    typer.echo(f"report: {path / 'report.html'}")


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, int | float | str) else json.dumps(value) for key, value in params.items()}


def _bounds(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return found["reason"] or "-"
    return f"{found['low']:.4g} to {found['high']:.4g}"
