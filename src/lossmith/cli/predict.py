"""`lossmith predict`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lossmith.cli.options import Json, Overrides, Quiet, RunArgument, Split
from lossmith.errors import InputError


def predict(
    run: RunArgument,
    overrides: Overrides = None,
    split: Split = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            "--sweep",
            metavar="FILE",
            help="Predict under each generation preset of a YAML file: [greedy, beams], or lines NAME: {settings}.",
        ),
    ] = None,
    allow_other_template: Annotated[
        bool,
        typer.Option("--allow-other-template", help="Predict although the template differs from the trained one."),
    ] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Generate an answer for each record of a split, or under several presets side by side.

    Example: lossmith predict runs/recipes --split validation generate=beams
    """
    from lossmith.cli.screen import counting
    from lossmith.stages import predict as carry_out
    from lossmith.stages import sweep as carry_out_sweep

    if json_ and sweep is None:
        raise InputError("--json prints what a sweep came to", got="predict --json", fix="add --sweep FILE")
    how: dict[str, Any] = {"split": split, "allow_other_template": allow_other_template}
    with counting("predicting", "records", quiet=quiet) as progress:
        if sweep is None:
            path = carry_out(run, overrides or [], **how, progress=progress)
        else:
            result = carry_out_sweep(run, sweep, overrides or [], **how, progress=progress)
    if sweep is None:
        if not quiet:
            typer.echo(f"predictions: {path}")
    elif json_:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=1))
    elif not quiet:
        _print_sweep(result)


def _print_sweep(result: Mapping[str, Any]) -> None:
    from lossmith.cli.screen import print_comparison, print_rows

    rows = []
    for preset in result["presets"]:
        row: dict[str, Any] = {"preset": preset["name"]}
        for name, figure in preset["metrics"].items():
            row[name] = _shown(figure)
        rows.append(row | {"failed": preset["failed"], "seconds": preset["seconds"]})
    print_rows(rows, title=f"{result['split']}, {result['n']} records")
    if result["comparison"] is not None:
        typer.echo("")
        print_comparison(result["comparison"])
    typer.echo(f"page: {result['page']}")


def _shown(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return str(figure["reason"])
    bounds = "" if figure["low"] is None else f" ({figure['low']:.3g} to {figure['high']:.3g})"
    return f"{figure['value']:.4g}{bounds}"
