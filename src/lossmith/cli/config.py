"""`lossmith config`: the resolved configuration, and the recipes of other tools translated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def config(
    config: ConfigArgument = "causal",
    overrides: Overrides = None,
    provenance: Annotated[bool, typer.Option("--provenance", help="Say where each value came from.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of configurations.")] = False,
    json_: Json = False,
) -> None:
    """Show the resolved configuration; required keys that are missing are ???.

    `lossmith config import FILE` translates a recipe of another tool (`lossmith config import --help`).

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


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A JSON or YAML file.", show_default=False)],
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; default: standard output.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="The preset below it; default: the bare one of its task.")
    ] = None,
    keep_unknown: Annotated[
        bool, typer.Option("--keep-unknown", help="Write keys that are not known as comments.")
    ] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Translate a recipe of another tool: flat JSON or YAML, or sections of one level.

    Every key is told of: translated, left out on purpose, or not known. docs/import.md has the table.

    Example: lossmith config import default.json --out mine.yaml
    """
    from lossmith.config.importer.translate import translate
    from lossmith.config.importer.writing import as_commented_yaml, as_json, listing
    from lossmith.errors import InputError
    from lossmith.runs import write_text

    if out is not None and out.exists():
        raise InputError(f"{out} exists already and is not overwritten", got=out, fix="name another with --out FILE")
    found = translate(file, preset=preset, keep_unknown=keep_unknown)
    if out is not None:
        write_text(out, as_commented_yaml(found))
    if json_:
        typer.echo(json.dumps({"out": out and str(out), **as_json(found)}, ensure_ascii=False, indent=1))
        return
    if out is None:
        typer.echo(as_commented_yaml(found), nl=False)
    if not quiet:
        typer.echo(listing(found), err=out is None)
        if out is not None:
            typer.echo(f"wrote {out}; look at it with: lossmith config {out}")


class ConfigCommand(TyperCommand):
    """`config`, whose first argument may be `import`: then that is the command."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command that is meant."""
        if args[:1] != ["import"]:
            return super().make_context(info_name, args, parent=parent, **extra)
        verbs = typer.Typer(add_completion=False, rich_markup_mode=None)
        verbs.command("import")(import_)
        return typer.main.get_command(verbs).make_context(f"{info_name} import", args[1:], parent=parent, **extra)


def _origin(path: str, origin: dict[str, str]) -> str:
    """The layer that set a path or the mapping it lies in."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if found := origin.get(".".join(parts[:length])):
            return found
    return "default"
