"""`lossmith publish`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lossmith.cli.options import Json, Quiet
from lossmith.errors import InputError

if TYPE_CHECKING:
    from lossmith.release.publication import Publication

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def publish(  # noqa: PLR0913 - one parameter an option
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run, its model or merged folder; with --dataset a data file.", show_default=False
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="REPO", help="NAME or OWNER/NAME on the hub.", show_default=False)],
    dataset: Annotated[bool, typer.Option("--dataset", help="Publish a data file.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Let everybody read it; without it, it is private.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Write into a repository that holds something else already.")
    ] = False,
    license_: Annotated[
        str | None, typer.Option("--license", metavar="NAME", help="For the card, as the hub names it: apache-2.0.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Give a model away: with its card, to a hub, privately; then fetch it again and compare.

    The token is read from HF_TOKEN, or asked for without showing it; it is not stored. The same command goes on where
    it was cut off.

    Example: lossmith publish runs/dreams --to ann/dream-interpreter --dry-run
    """
    from lossmith.release.hub import full_name, hub_with, sign_in
    from lossmith.release.publication import data_publication, model_publication
    from lossmith.release.publish import publish as carry_out

    make = data_publication if dataset else model_publication
    if dry_run:
        _tell(make(target, to, public=public, license_name=license_), quiet=quiet, json_=json_)
        return
    silent = quiet or json_
    if silent or not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    hub = hub_with(_token())
    planned = make(target, full_name(to, sign_in(hub)), public=public, license_name=license_)
    for note in planned.notes if not silent else ():
        typer.echo(note)
    done = carry_out(planned, hub, update=update, say=_silence if silent else typer.echo)
    if json_:
        typer.echo(json.dumps(done.as_json(), ensure_ascii=False, indent=1))
    elif not quiet:
        typer.echo(f"published and compared: {done.url}")


def _tell(planned: Publication, *, quiet: bool, json_: bool) -> None:
    """What would be sent: the files, their sizes, and the card as it would stand there."""
    from lossmith.cli.screen import print_rows
    from lossmith.release.outgoing import refuse_secrets

    refuse_secrets(planned.files)
    rows = [{"file": file.path, "bytes": file.size, "sha256": file.sha256} for file in planned.files]
    if json_:
        told = {"repo": planned.repo, "kind": planned.kind, "public": planned.public, "notes": planned.notes}
        typer.echo(json.dumps({**told, "files": rows}, ensure_ascii=False, indent=1))
    elif not quiet:
        print_rows(rows, title=f"{planned.kind} {planned.repo}, {'public' if planned.public else 'private'}")
        typer.echo("\n".join(["", *planned.notes, planned.files[0].text]))
        typer.echo(f"nothing was sent: {len(planned.files)} files, {planned.size / 2**20:,.1f} MiB")


def _silence(_: str) -> None:
    """Say nothing."""


def _token() -> str:
    """From the environment, or asked for where somebody can be asked; a token of `hf auth login` is not looked for."""
    for name in _TOKENS:
        if given := os.environ.get(name):
            return given
    if not sys.stdin.isatty():
        raise InputError(
            "there is no token to publish with",
            got="no HF_TOKEN, and nobody to ask",
            expected="a token with the right to write",
            fix="set HF_TOKEN, or run this in a terminal, which asks for it without showing it",
        )
    return str(typer.prompt("token of the hub (not shown, not stored)", hide_input=True, err=True))
