"""`lossmith init`: a commented starting configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Quiet


def init(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A preset of `lossmith list presets`.")],
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; default: NAME.yaml.")] = None,
    quiet: Quiet = False,
) -> None:
    """Write a commented configuration to start from.

    Example: lossmith init recipes/sinkhorn --out mine.yaml
    """
    from lossmith.config.starter import starter_text
    from lossmith.errors import InputError
    from lossmith.runs import write_text

    text = starter_text(preset)
    path = out or Path(f"{preset.replace('/', '-')}.yaml")
    if path.exists():
        raise InputError(f"{path} exists already and is not overwritten", got=path, fix="name another with --out FILE")
    write_text(path, text)
    if not quiet:
        typer.echo(f"wrote {path}; set data.files in it, then: lossmith run {path}")
