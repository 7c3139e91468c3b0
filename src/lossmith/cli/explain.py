"""`lossmith explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Json, Quiet, RunArgument, Split


def explain(
    run: RunArgument,
    id_: Annotated[
        str | None, typer.Option("--id", help="A record's id; default: what the whole run looks for and rests on.")
    ] = None,
    split: Split = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="With --id: the whole document that data.assemble cut the record from.")
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", help="With --id: write the record as a page, too.")] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Show what a retrieval classifier's predictions rest on: of one record, or of the run.

    Of a record: the chunks that each query read, with weights, and how far the prediction falls without each chunk. Of
    a run: the nearest chunks and terms of each query, and whether predictions fall when their evidence is taken away.

    Example: lossmith explain runs/criteria --id 17 --html evidence.html
    """
    from lossmith.cli.explain_screen import print_evidence, print_run_evidence
    from lossmith.cli.screen import counting
    from lossmith.errors import InputError
    from lossmith.evidence.explain import explain as carry_out

    if id_ is None and (whole or html is not None):
        raise InputError(
            f"{'--whole' if whole else '--html'} is for one record",
            got="no --id",
            expected="--id ID beside it",
            fix=f"a run's own evidence stands in its report: lossmith report {run}",
        )
    with counting("explaining", "records", quiet=quiet or json_) as progress:
        found = carry_out(run, id=id_, split=split, whole=whole, progress=progress)
    if json_:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False))
    elif not quiet:
        (print_run_evidence if id_ is None else print_evidence)(found)
    if html is not None:
        from lossmith.report.evidence.record_page import write_evidence_page

        write_evidence_page(found, html)
        if not quiet:
            typer.echo(f"page: {html}", err=json_)
