"""`lossmith doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from lossmith.cli.options import Json, Quiet
from lossmith.errors import LossmithError

if TYPE_CHECKING:
    from lossmith.doctor.health.finding import Finding

# Libraries that people ask about first; of the others a number is enough where nothing is wrong with them.
_NAMED = ("python", "torch", "transformers", "peft", "tokenizers")


def doctor(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="A run, a folder or a hub name, to look at its weights and tokenizer."),
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

    found: list[Finding] = []
    for finding in examine(model):
        found.append(finding)
        if json_ or (quiet and finding.state == "ok"):
            continue
        if not quiet and (len(found) == 1 or found[-2].area != finding.area):
            _tell_folded(found[:-1])
            typer.echo(finding.area)
        if not _is_folded(finding):
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


def _is_folded(finding: Finding) -> bool:
    """Whether it is a library as it should be, told among others."""
    return (
        finding.area == "versions"
        and finding.state == "ok"
        and "version" in finding.facts
        and finding.name not in _NAMED
    )


def _tell_folded(found: Sequence[Finding]) -> None:
    """One line for the libraries that had none of their own, at the end of their area."""
    folded = [finding for finding in found if _is_folded(finding)]
    if folded and found[-1].area == "versions":
        typer.echo(f"  ok      {len(folded)} other libraries: within their tested ranges (--json names them)")
