"""`lossmith demo`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Quiet


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few steps on a small corpus: proves the path, not the quality.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for the corpus, the runs and the report.")] = Path(
        "runs/demo"
    ),
    quiet: Quiet = False,
) -> None:
    """Train the same small model on two objectives, compare them on unseen recipes, and write a report.

    Takes about three minutes on two processor cores; the path of the report is the last line printed.

    Example: lossmith demo --quick --out try
    """
    from lossmith.cli.screen import counting, print_comparison, print_metrics, print_rows
    from lossmith.demo import answers_to_first, carry_out

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text)

    bar = partial(counting, "predicting", "records", quiet=quiet)
    result = carry_out(out, quick=quick, quiet=quiet, say=say, bar=bar)
    if quiet:
        return
    first, lines = answers_to_first(result.folders)
    say("")
    print_rows(lines, title=f"ingredients of {first}, the first test record")
    for name, metrics in result.metrics.items():
        say("")
        print_metrics(metrics, title=f"{name}: {metrics['n']} test records, {metrics['clusters']} titles never seen")
    say("")
    print_comparison(result.comparison)
    for sentence in result.verdicts:
        say(f"\n{sentence}")
    if quick:
        say("\n--quick proves the path, not the quality: hardly trained models tell nothing of the objectives")
    say("\nthe report, to open in a browser:")
    say(str(result.report))
