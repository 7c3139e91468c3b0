"""`lossmith list losses --check`: the laws tried on one loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer

from lossmith.errors import InputError, LossmithError

_SAID = {True: "pass", False: "FAIL", None: "-"}


def check(loss: str, settings: Sequence[str], *, as_json: bool) -> None:
    """Print a line for each law.

    Raises InputError where the loss cannot be read, LossmithError where a law does not hold.
    """
    from lossmith.config.overrides import parse_override
    from lossmith.losses.laws import check_loss, term_to_check

    given = {override.key: override.value for override in map(parse_override, settings)}
    if reserved := sorted(given.keys() & {"weight", "span", "loss"}):
        raise InputError(
            "--set gives parameters of the loss itself",
            got=", ".join(reserved),
            expected="parameters of the formula, such as --set gamma=1",
        )
    term = term_to_check(loss, given)
    verdicts = check_loss(term)
    if as_json:
        facts = {"loss": loss, "kind": term.kind, "needs": term.needs, "parameters": term.params}
        typer.echo(json.dumps({**facts, "laws": [asdict(verdict) for verdict in verdicts]}, indent=1))
    else:
        parameters = "".join(f", {name}={value}" for name, value in term.params.items())
        typer.echo(f"{loss}: {term.kind}, reads {' and '.join(term.needs)}{parameters}")
        for verdict in verdicts:
            typer.echo(f"{_SAID[verdict.passed]:4}  {verdict.law:12}  {verdict.reason}")
    broken = [verdict.law for verdict in verdicts if verdict.passed is False]
    if broken:
        raise LossmithError(
            f"{loss} breaks {len(broken)} of {len(verdicts)} laws",
            got=", ".join(broken),
            expected="every law to hold, or not to be promised (-)",
            fix="docs/write-a-loss.md says what each law asks for",
        )
