"""`lossmith tune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def tune(  # noqa: PLR0913 - one parameter an option
    config: ConfigArgument,
    overrides: Overrides = None,
    trials: Annotated[
        int | None, typer.Option("--trials", help="How many, those there are included; tune.trials.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds after which no more trials begin; tune.timeout.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", help="Database URL that several machines share; tune.storage.")
    ] = None,
    outer: Annotated[
        int | None, typer.Option("--outer", help="Outer folds, each searched by itself; tune.outer.")
    ] = None,
    inner: Annotated[int | None, typer.Option("--inner", help="Inner folds of each search; tune.inner.")] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Search keys of the configuration (tune.space) for the best value of a metric on validation.

    Goes on where a search was stopped; the same command elsewhere, with the same --storage, works on the same search.

    Example: lossmith tune screening/focal data.files=records.csv "tune.space.train.learning_rate=[1e-5, 1e-4]"
    """
    from lossmith.cli.screen import counting
    from lossmith.cli.study_screen import print_cv, print_search
    from lossmith.runs import RunFolder, read_json
    from lossmith.studies.tune import tune as carry_out

    asked = {"trials": trials, "timeout": timeout, "outer": outer, "inner": inner}
    options = [f"tune.{key}={value}" for key, value in asked.items() if value is not None]
    if storage is not None:
        options.append(f"tune.storage='{storage}'")
    with counting("searching", "trials", quiet=quiet) as progress:
        study = carry_out(config, [*(overrides or []), *options], progress=progress)
    if json_:
        typer.echo(json.dumps(study, ensure_ascii=False, indent=1))
    elif study["kind"] == "cv" and not quiet:
        print_cv(study, read_json(RunFolder(Path(study["path"])).metrics()))
    elif not quiet:
        print_search(study)
