"""`lossmith evaluate`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lossmith.cli.options import Json, Overrides, Quiet, RunArgument, Split


def evaluate(
    run: RunArgument,
    overrides: Overrides = None,
    split: Split = None,
    enforce: Annotated[bool, typer.Option("--enforce", help="Exit with 3 where a gate is missed.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Score the predictions of a run, with intervals and baselines.

    Example: lossmith evaluate runs/recipes evaluate.metrics=[rouge1,ingredient_f1]
    """
    from lossmith.cli.screen import print_metrics
    from lossmith.evaluate.run import evaluate as carry_out
    from lossmith.runs import open_run
    from lossmith.stages import check_gates

    metrics = carry_out(run, overrides or [], split=split)
    if json_:
        typer.echo(json.dumps(metrics, ensure_ascii=False, indent=1))
    elif not quiet:
        print_metrics(metrics, decision=open_run(run).manifest().get("decision"))
    if enforce:
        check_gates(metrics)
