"""`lossmith prepare`."""

from __future__ import annotations

import json

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def prepare(config: ConfigArgument, overrides: Overrides = None, quiet: Quiet = False, json_: Json = False) -> None:
    """Turn sources into tokenised parquet, and print the audit.

    Example: lossmith prepare recipes/cross-entropy data.files=recipes.jsonl model=scratch-tiny
    """
    from lossmith.cli.screen import counting, print_audit
    from lossmith.config.load import load_config
    from lossmith.tasks.prepare import prepare_config as carry_out

    with counting("preparing", "records", quiet=quiet or json_) as progress:
        prepared = carry_out(load_config(config, overrides or []), progress=progress)
    if json_:
        typer.echo(json.dumps({"folder": str(prepared.folder), "audit": prepared.audit}, ensure_ascii=False, indent=1))
        return
    if quiet:
        for sentence in prepared.audit["warnings"]:
            typer.echo(f"warning: {sentence}", err=True)
        return
    print_audit(prepared.audit)
    typer.echo(f"prepared: {prepared.folder}")
