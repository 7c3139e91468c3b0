"""`lossmith ablate`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lossmith.cli.options import ConfigArgument, Json, Overrides, Quiet


def ablate(
    config: ConfigArgument,
    overrides: Overrides = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="How many seeds; ablate.seeds.")] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train each objective of ablate.objectives with each seed, on the same records; one table with paired tests.

    Goes on with the runs that are missing; more seeds may be added later.

    Example: lossmith ablate imbalance data.files=records.csv model.base=path/to/encoder
    """
    from lossmith.cli.screen import counting
    from lossmith.cli.study_screen import print_ablation
    from lossmith.studies.ablate import carry_out_ablation
    from lossmith.studies.folder import check_whole

    options = [] if seeds is None else [f"ablate.seeds={seeds}"]
    with counting("training", "runs", quiet=quiet) as progress:
        study = carry_out_ablation(config, [*(overrides or []), *options], progress=progress)
    if json_:
        typer.echo(json.dumps(study, ensure_ascii=False, indent=1))
    elif not quiet and study["results"] is not None:
        print_ablation(study)
    check_whole(study["runs"], what="runs")
