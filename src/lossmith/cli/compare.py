"""`lossmith compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Json, Quiet


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs scored on the same records.")],
    metrics: Annotated[str | None, typer.Option("--metrics", help="Names, separated by commas.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the comparison as a page, too.")] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Compare runs record by record: difference, interval, permutation test, Holm over the metrics.

    Example: lossmith compare runs/cross-entropy runs/sinkhorn --metrics ingredient_f1,rouge1
    """
    from lossmith.cli.screen import print_comparison
    from lossmith.stages import compare as carry_out
    from lossmith.stages import report

    result = carry_out(runs, metrics=metrics.split(",") if metrics else None)
    if json_:
        typer.echo(json.dumps(result, ensure_ascii=False, indent=1))
    elif not quiet:
        print_comparison(result)
    if html is not None:
        path = report(runs, out=html, comparison=result)
        if not quiet:
            typer.echo(f"report: {path}", err=json_)
