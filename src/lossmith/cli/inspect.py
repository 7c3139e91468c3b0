"""`lossmith inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Json, Overrides, Quiet


def inspect(  # noqa: PLR0913 - one parameter an option
    target: Annotated[
        str, typer.Argument(metavar="CONFIG-or-RUN", help="A preset, a YAML or JSON file, or a run folder.")
    ],
    overrides: Overrides = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, validation or test; default: train, or where --id is.")
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="A record's id, or file:line; default: the first of the split.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the record as a page, too.")] = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="Show the collated batch of the record.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Fold nothing.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Show what the model sees of a record: its tokens, what is learned, which terms read it, and the way back to text.

    A run's model tells the loss of every token; RUN/config.yaml in place of RUN leaves the model out.

    Example: lossmith inspect recipes/sinkhorn data.files=recipes.jsonl model=scratch-tiny --id recipes.jsonl:3
    """
    from lossmith.cli.inspect_screen import print_batch, print_inspection
    from lossmith.cli.screen import counting
    from lossmith.doctor.inspect import inspect_record
    from lossmith.errors import LossmithError

    with counting("preparing", "records", quiet=quiet or json_) as progress:
        found = inspect_record(target, overrides or [], split=split, id=id_, progress=progress)
    if json_:
        typer.echo(json.dumps(found.as_json(tensors=tensors), ensure_ascii=False, indent=1, allow_nan=False))
    elif not quiet:
        print_inspection(found, whole=all_)
        if tensors and found.batch is not None:
            print_batch(found, whole=all_)
    if html is not None:
        from lossmith.report.inspect_page import write_inspection

        path = write_inspection(found.as_page(), html)
        if not quiet:
            typer.echo(f"page: {path}", err=json_)
    if found.disagreements:
        raise LossmithError(
            "the prepared row of this record is not what its source gives",
            got="; ".join(found.disagreements),
            expected="the same ids, labels and spans from the prepared row, the collated batch and a fresh rendering",
            fix=f"remove {found.folder} and prepare again; if it comes back, lossmith is at fault",
        )
