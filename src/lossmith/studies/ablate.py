"""Objectives x seeds (x models) on the same records, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lossmith.config.load import load_config, require_complete
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, unknown_name
from lossmith.report.studies.page import write_study_report
from lossmith.stages import ConfigLike
from lossmith.studies.ablation_table import ablation_table
from lossmith.studies.children import Child, child_of
from lossmith.studies.folder import StudyFolder, check_whole, claim_study
from lossmith.studies.study import Progress, carry_out_study
from lossmith.studies.workers import processes_for


def ablate(config: ConfigLike, overrides: Sequence[str] = (), *, progress: Progress | None = None) -> dict[str, Any]:
    """Train every objective of ablate.objectives with every seed; returns what study.json holds, and its `path`.

    All runs have the records and the split of one seed, so that seeds vary what chance does to training: the first
    weights and the order of the records. More seeds may be asked for later: the study grows. Raises ConfigError for
    objectives that cannot be read and, after the others, LossmithError where a run failed: study.json then has the
    table of those that did not.
    """
    study = carry_out_ablation(config, overrides, progress=progress)
    check_whole(study["runs"], what="runs")
    return study


def carry_out_ablation(
    config: ConfigLike, overrides: Sequence[str] = (), *, progress: Progress | None = None
) -> dict[str, Any]:
    """The same without an error for a run that failed; `missing` names it, and its row of `runs` has the error."""
    settings = require_complete(load_config(config, overrides))
    from lossmith.train.preflight import check_names

    _check(settings)
    by_model = {
        name: require_complete(load_config(config, [*overrides, *given]))
        for name, given in (settings.ablate.models or {"": []}).items()
    }
    study = claim_study(settings, "ablate", growing=("seeds",))
    with study.files.lock():
        children = ablation_children(study, by_model, settings)
        for child in children:
            check_names(child.config)
        processes = processes_for(settings, len(children), asked=settings.ablate.processes)
        rows = carry_out_study(study, settings, children, processes=processes, progress=progress)
        held = study.write(settings, rows, results=ablation_table(study, settings, rows))
        write_study_report(study.path)
    return {"path": str(study.path), **held}


def ablation_children(study: StudyFolder, by_model: Mapping[str, Config], config: Config) -> list[Child]:
    """A run for each model, objective and seed, seeds innermost.

    Raises ConfigError, naming the objective, where one cannot be read.
    """
    children: list[Child] = []
    for model, settings in by_model.items():
        for objective, terms in config.ablate.objectives.items():
            for seed in seeds_of(config):
                changes: dict[str, Any] = {"objective": terms, "seed": seed, "data.split.seed": config.split_seed}
                if children:
                    # The records are the same, so what needs no model is measured once.
                    changes["evaluate.baselines"] = "none"
                varies = {"objective": objective, "seed": seed, **({"model": model} if model else {})}
                name = "-".join([*([model] if model else []), objective, f"seed-{seed}"])
                try:
                    child = child_of(study, settings, name=name, changes=changes, varies=varies)
                except ConfigError as error:
                    message = f"ablate.objectives.{objective}: {error.message}"
                    raise ConfigError(message, got=error.got, expected=error.expected, fix=error.fix) from error
                children.append(child)
    return children


def seeds_of(config: Config) -> list[int]:
    """The seeds asked for: those listed, or so many from the configuration's own on.

    >>> seeds_of(Config.model_validate({"seed": 3, "ablate": {"seeds": 2}}))
    [3, 4]
    """
    asked = config.ablate.seeds
    return list(range(config.seed, config.seed + asked)) if isinstance(asked, int) else list(asked)


def _check(config: Config) -> None:
    asked = config.ablate
    if len(asked.objectives) * len(asked.models or [""]) < 2:
        raise ConfigError(
            "an ablation needs two objectives or more",
            got=", ".join(asked.objectives) or "ablate.objectives is empty",
            expected="name: objective",
            fix="ablate.objectives={plain: {cross_entropy: 1.0}, focal: {focal: 1.0}}",
        )
    if asked.baseline is not None and asked.baseline not in asked.objectives:
        raise unknown_name("objective", asked.baseline, asked.objectives, where="ablate.baseline")
    seeds = seeds_of(config)
    if len(set(seeds)) < len(seeds) or not seeds or min(seeds) < 0:
        raise ConfigError(
            "ablate.seeds names no seeds, or one of them twice", got=seeds, expected="different numbers from 0"
        )
