"""`lossmith cv`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def cv(  # noqa: PLR0913 - one parameter an option
    config: ConfigArgument,
    overrides: Overrides = None,
    folds: Annotated[int | None, typer.Option("--folds", help="How many folds; cv.folds.")] = None,
    repeats: Annotated[int | None, typer.Option("--repeats", help="How often they are cut anew; cv.repeats.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="auto, k-fold, stratified, clustered or stratified-clustered; cv.kind."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Deal out the test split, too; cv.all_records.")] = False,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Go on where folds share texts or clusters; cv.allow_leaks.")
    ] = False,
    enforce: Annotated[bool, typer.Option("--enforce", help="Exit with 3 where a gate is missed.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Cross-validate: a run a fold, out-of-fold predictions pooled and scored, mean and spread over folds.

    Goes on with the folds that are missing. Texts or clusters in two folds are refused, unless --allow-leaks.

    Example: lossmith cv screening/weighted data.files=records.csv --folds 5
    """
    from lossmith.cli.screen import counting
    from lossmith.cli.study_screen import print_cv
    from lossmith.runs import RunFolder, read_json
    from lossmith.stages import check_gates
    from lossmith.studies.cv import cv as carry_out

    asked = {
        "folds": folds,
        "repeats": repeats,
        "kind": kind,
        "all_records": all_ or None,
        "allow_leaks": allow_leaks or None,
    }
    options = [f"cv.{key}={value}" for key, value in asked.items() if value is not None]
    with counting("cross-validating", "folds", quiet=quiet) as progress:
        study = carry_out(config, [*(overrides or []), *options], progress=progress)
    metrics = read_json(RunFolder(Path(study["path"])).metrics())
    if json_:
        typer.echo(json.dumps(study, ensure_ascii=False, indent=1))
    elif not quiet:
        print_cv(study, metrics)
    if enforce:
        check_gates(metrics)
