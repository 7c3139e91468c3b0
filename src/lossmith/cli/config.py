"""`lossmith config`: the resolved configuration."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides


def config(
    config: ConfigArgument = "causal",
    overrides: Overrides = None,
    provenance: Annotated[bool, typer.Option("--provenance", help="Say where each value came from.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of configurations.")] = False,
    json_: Json = False,
) -> None:
    """Show the resolved configuration; required keys that are missing are ???.

    Example: lossmith config recipes/sinkhorn objective.sinkhorn.weight=0.3 --provenance
    """
    from lossmith.config.compose import compose
    from lossmith.config.layers import leaves
    from lossmith.config.load import as_yaml, check, missing_keys
    from lossmith.config.schema import Config

    if schema:
        typer.echo(json.dumps(Config.model_json_schema(), indent=1))
        return
    composed = compose(config, overrides or [])
    checked = check(composed)
    if json_:
        typer.echo(json.dumps(checked.model_dump(), ensure_ascii=False, indent=1))
    elif provenance:
        missing = missing_keys(checked)
        for path, value in leaves(checked.model_dump()):
            origin = _origin(path, composed.origin)
            shown = "???" if path in missing else json.dumps(value, ensure_ascii=False)
            typer.echo(f"{path} = {shown}  # {origin}")
    else:
        typer.echo(as_yaml(checked), nl=False)


def _origin(path: str, origin: dict[str, str]) -> str:
    """The layer that set a path or the mapping it lies in."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if found := origin.get(".".join(parts[:length])):
            return found
    return "default"
