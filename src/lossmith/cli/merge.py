"""`lossmith merge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Json, Quiet, RunArgument


def merge(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the merged model; default: merged in the run folder.")
    ] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", help="float32, bfloat16 or float16; 16 bits take half the room and round.")
    ] = "float32",
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Add the adapter of a run to its base and write one whole model that plain transformers load.

    Example: lossmith merge runs/dreams --dtype bfloat16
    """
    from lossmith.release.merge import merge as carry_out

    merged = carry_out(run, out=out, dtype=dtype)
    if json_:
        told = {"path": str(merged.path), "size_bytes": merged.size_bytes, "notes": merged.notes}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
    elif not quiet:
        for note in merged.notes:
            typer.echo(note)
        typer.echo(f"merged model: {merged.path} ({merged.size_bytes / 2**20:,.1f} MiB)")
        where = f"{run}" if out is None else f"{out} --against {run}"
        typer.echo(f"lossmith verify {where} compares it with the run")
