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
    gguf: Annotated[
        str | None, typer.Option("--gguf", help="Write a GGUF file beside it, f16 or q8_0: Llama and Qwen families.")
    ] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Add the adapter of a run to its base and write one whole model that plain transformers load.

    Example: lossmith merge runs/dreams --dtype bfloat16
    """
    from lossmith.release.merge import merge as carry_out

    merged = carry_out(run, out=out, dtype=dtype, gguf=gguf)
    if json_:
        told = {
            "path": str(merged.path),
            "size_bytes": merged.size_bytes,
            "gguf": None if merged.gguf is None else str(merged.gguf),
            "notes": merged.notes,
        }
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
    elif not quiet:
        for note in merged.notes:
            typer.echo(note)
        typer.echo(f"merged model: {merged.path} ({merged.size_bytes / 2**20:,.1f} MiB)")
        if merged.gguf is not None:
            typer.echo(f"GGUF: {merged.gguf} ({merged.gguf.stat().st_size / 2**20:,.1f} MiB)")
        where = f"{run}" if out is None else f"{out} --against {run}"
        typer.echo(f"lossmith verify {where} compares it with the run")
