"""`lossmith report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Quiet


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Run folders; several are compared.")],
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file; default: report.html.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write one self-contained HTML page on a run, or comparing several.

    Example: lossmith report runs/cross-entropy runs/sinkhorn --out comparison.html
    """
    from lossmith.stages import report as carry_out

    path = carry_out(runs, out=out)
    if not quiet:
        typer.echo(f"report: {path}")
