"""`lossmith run`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def run(
    config: ConfigArgument,
    overrides: Overrides = None,
    enforce: Annotated[bool, typer.Option("--enforce", help="Exit with 3 where a gate is missed.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Carry out every stage that is missing or stale: prepare, train, predict, evaluate, report.

    Example: lossmith run recipes/sinkhorn data.files=recipes.jsonl model=scratch-tiny
    """
    from lossmith.cli.screen import counting, print_metrics
    from lossmith.runs import RunFolder, read_json
    from lossmith.stages import check_gates
    from lossmith.stages import run as carry_out

    with counting("predicting", "records", quiet=quiet) as progress:
        folder = RunFolder(carry_out(config, overrides or [], quiet=quiet, progress=progress))
    metrics = read_json(folder.metrics())
    if json_:
        typer.echo(json.dumps({"run": str(folder.path), **metrics}, ensure_ascii=False, indent=1))
    elif not quiet:
        print_metrics(metrics, decision=folder.manifest().get("decision"))
        typer.echo(f"report: {folder.report}")
    if enforce:
        check_gates(metrics)
