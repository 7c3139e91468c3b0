"""`lossmith prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def prepare(
    config: ConfigArgument,
    overrides: Overrides = None,
    export_jsonl: Annotated[
        Path | None,
        typer.Option("--export-jsonl", metavar="FILE", help="Also write the rendered messages, one record a line."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="With --export-jsonl: train, validation or test alone.")
    ] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Turn sources into tokenised parquet, and print the audit.

    Example: lossmith prepare recipes/cross-entropy data.files=recipes.jsonl model=scratch-tiny
    """
    from lossmith.cli.screen import counting, print_audit
    from lossmith.config.load import load_config
    from lossmith.errors import InputError
    from lossmith.tasks.prepare import export_config
    from lossmith.tasks.prepare import prepare_config as carry_out

    if split is not None and export_jsonl is None:
        raise InputError(
            "--split chooses what --export-jsonl writes", got=f"--split {split}", fix="--export-jsonl FILE"
        )
    settings = load_config(config, overrides or [])
    with counting("preparing", "records", quiet=quiet or json_) as progress:
        prepared = carry_out(settings, progress=progress)
    exported = None
    if export_jsonl is not None:
        with counting("writing", "records", quiet=quiet or json_) as progress:
            exported = export_config(settings, prepared, export_jsonl, split=split, progress=progress)
    if json_:
        more = {} if exported is None else {"exported": {"file": str(export_jsonl), "records": exported}}
        told = {"folder": str(prepared.folder), "audit": prepared.audit, **more}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    if quiet:
        for sentence in prepared.audit["warnings"]:
            typer.echo(f"warning: {sentence}", err=True)
        return
    print_audit(prepared.audit)
    typer.echo(f"prepared: {prepared.folder}")
    if exported is not None:
        typer.echo(f"exported: {exported} records to {export_jsonl}")
