"""`lossmith train`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def train(
    config: ConfigArgument,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again; what was trained is removed.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a model and save it in its run folder.

    Example: lossmith train recipes/sinkhorn data.files=recipes.jsonl model=scratch-tiny
    """
    from lossmith.errors import InputError
    from lossmith.train.run import train as carry_out

    if resume and fresh:
        raise InputError("--resume and --fresh exclude each other", got="both", expected="one of them")
    result = carry_out(config, overrides or [], resume=resume, fresh=fresh, quiet=quiet)
    if json_:
        told = {
            "run": str(result.path),
            "best_step": result.best_step,
            "best_metric": result.best_metric,
            "dead_terms": list(result.dead_terms),
        }
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    if quiet:
        return
    typer.echo(f"trained: {result.path}")
    if result.best_step is not None:
        typer.echo(f"best checkpoint: step {result.best_step}, {result.best_metric:.4f}")
