"""`lossmith predict`."""

from __future__ import annotations

from typing import Annotated

import typer

from lossmith.cli.options import Overrides, Quiet, RunArgument, Split


def predict(
    run: RunArgument,
    overrides: Overrides = None,
    split: Split = None,
    allow_other_template: Annotated[
        bool,
        typer.Option("--allow-other-template", help="Predict although the template differs from the trained one."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Generate an answer for each record of a split.

    Example: lossmith predict runs/recipes --split validation generate.max_new_tokens=200
    """
    from lossmith.cli.screen import counting
    from lossmith.stages import predict as carry_out

    with counting("predicting", "records", quiet=quiet) as progress:
        path = carry_out(
            run, overrides or [], split=split, allow_other_template=allow_other_template, progress=progress
        )
    if not quiet:
        typer.echo(f"predictions: {path}")
