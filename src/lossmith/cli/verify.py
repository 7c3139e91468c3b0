"""`lossmith verify`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from lossmith.cli.options import Json, Quiet


def verify(
    folder: Annotated[
        str,
        typer.Argument(metavar="DIR", help="The folder of a model, or a run with a merged one.", show_default=False),
    ],
    against: Annotated[
        str | None,
        typer.Option("--against", help="Run or model folder to compare with; default: the run that DIR lies in."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="Largest difference of logits over the largest logit; default: by format."),
    ] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Load a model in a fresh process and hold it against the run it was made from: tokens, logits, written text.

    Exit code 1 where it differs by more than its number format explains.

    Example: lossmith verify runs/dreams/merged --against runs/dreams
    """
    from lossmith.release.verify import verify as carry_out

    found = carry_out(folder, against=against, tolerance=tolerance)
    if json_:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=1))
    elif not quiet:
        typer.echo(f"{found.folder} ({found.found['kind']}, {found.found['dtype']}) against {found.against}")
        _print_drift(found.found["drift"], tolerance=found.found["tolerance"])
        _print_weights(found.found["weights"])
        if (trained := found.found.get("drift_from_4bit")) is not None:
            typer.echo(f"from the 4-bit base as it was trained: logits {_figure(trained['logits'])}, not judged")
    found.require()
    if not (quiet or json_):
        typer.echo("it is the same model")


def _print_drift(drift: Mapping[str, Any], *, tolerance: float) -> None:
    typer.echo(f"  same tokens     {drift['same_tokens']} of {drift['probes']} probes")
    typer.echo(f"  logits          {_figure(drift['logits'])} of the largest apart at most, {tolerance:.0e} is allowed")
    typer.echo(f"  divergence      {_figure(drift['kl_nats'])} nats a position, {drift['positions']} positions")
    typer.echo(f"  same first      {drift['same_first']:.2%} of positions")
    if drift["asked_to_write"]:
        ties = f", {drift['near_ties']} more part at a tie" if drift["near_ties"] else ""
        typer.echo(f"  same text       {drift['same_written']} of {drift['asked_to_write']} continuations{ties}")


def _print_weights(weights: Mapping[str, Any]) -> None:
    if weights["compared"]:
        apart = f"{_figure(weights['largest'])} of the largest of its tensor apart at most"
        typer.echo(f"  weights         {apart}, {weights['compared']} tensors")


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1e}"
