"""`lossmith doctor`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lossmith.cli.options import Json, Quiet
from lossmith.errors import LossmithError


def doctor(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="A hub name or folder, to look at its tokenizer.")
    ] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Examine the machine: versions, devices, disk, trackers, the hub; each finding with its fix.

    Exit code 1 where something keeps work from being done.

    Example: lossmith doctor Qwen/Qwen3-0.6B
    """
    from lossmith.cli.visible_text import visible
    from lossmith.doctor.health.examine import examine
    from lossmith.doctor.health.finding import is_healthy

    found = []
    for finding in examine(model):
        found.append(finding)
        if json_ or (quiet and finding.state == "ok"):
            continue
        if not quiet and (len(found) == 1 or found[-2].area != finding.area):
            typer.echo(finding.area)
        typer.echo(f"  {finding.state:<8}{finding.name}: {visible(finding.said)}")
        if finding.fix and finding.state != "ok":
            typer.echo(f"          fix: {visible(finding.fix)}")
    if json_:
        findings = [finding.as_json() for finding in found]
        typer.echo(json.dumps({"healthy": is_healthy(found), "findings": findings}, ensure_ascii=False, indent=1))
    errors = [finding for finding in found if finding.state == "error"]
    if errors:
        names = ", ".join(f"{finding.area} {finding.name}" for finding in errors)
        raise LossmithError(f"{len(errors)} of {len(found)} findings keep work from being done", got=names)
    if not (json_ or quiet):
        warnings = sum(finding.state == "warning" for finding in found)
        typer.echo(f"nothing keeps work from being done; {warnings} of {len(found)} findings are warnings")
