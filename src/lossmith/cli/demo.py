"""`lossmith demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Quiet


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="A minute's path through all stages; proves the path, not the quality.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the corpus, the runs and the report.")] = Path(
        "runs/demo"
    ),
    quiet: Quiet = False,
) -> None:
    """Train the same small model on two objectives, compare them on unseen recipes, and write a report.

    Example: lossmith demo --quick --out try
    """
    from lossmith.cli.screen import print_comparison, print_metrics
    from lossmith.demo import carry_out

    result = carry_out(out, quick=quick, quiet=quiet)
    if not quiet:
        for name, metrics in result.metrics.items():
            print_metrics(metrics, title=name)
        print_comparison(result.comparison)
    if quick:
        typer.echo("--quick proves the path, not the quality: the models are hardly trained")
    typer.echo(f"report: {result.report}")
