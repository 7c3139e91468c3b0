"""`lossmith plan`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def plan(
    config: ConfigArgument,
    overrides: Overrides = None,
    memory: Annotated[
        float | None, typer.Option("--memory", help="Plan for so many GiB, not for what this device has left.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Take a few real steps, too, and hold the plan against them.")
    ] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Tell steps, tokens, memory by part and time of a training before it begins; what to change if it does not fit.

    No weight is loaded: the model's shape is enough. Records are prepared, as training would.

    Example: lossmith plan recipes/sinkhorn data.files=recipes.jsonl model=scratch-small --memory 8
    """
    from lossmith.cli.plan_screen import print_plan
    from lossmith.cli.screen import counting
    from lossmith.doctor.plan.plan import make_plan
    from lossmith.errors import InputError

    if memory is not None and memory <= 0:
        raise InputError("--memory is no amount of memory", got=memory, expected="GiB above 0")
    room = None if memory is None else round(memory * 2**30)
    with counting("preparing", "records", quiet=quiet or json_) as progress:
        found = make_plan(config, overrides or [], room=room, measured=measure, progress=progress)
    if json_:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=1))
    elif not quiet:
        print_plan(found)
