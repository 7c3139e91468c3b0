"""One split under several generation presets: the same prompts and the same model, decoded in different ways."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from lossmith.config.generate import GenerateConfig
from lossmith.config.generation_presets import with_preset
from lossmith.config.schema import Config
from lossmith.errors import ConfigError
from lossmith.evaluate.sweep import preset_differences, preset_figures
from lossmith.generate.settings import check_settings
from lossmith.models.load import Loaded
from lossmith.names import TASKS
from lossmith.runs import RunFolder, write_json
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Progress, Task
from lossmith.train.decision import decide
from lossmith.train.predict import open_model, rows_to_predict
from lossmith.train.run import stage

logger = logging.getLogger("lossmith")
SCHEMA = 1


@dataclass(frozen=True)
class _Sweep:
    """What all presets of a sweep share."""

    run: RunFolder
    split: str
    rows: Rows
    task: Task
    loaded: Loaded
    given: Given
    decision: Any


def sweep_split(
    run: RunFolder,
    config: Config,
    presets: Mapping[str, Mapping[str, Any]],
    *,
    split: str,
    allow_other_template: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict a split under each preset, score it, and write `predictions/<split>.<preset>.parquet` and
    `sweep.<split>.json`, whose content is returned; `comparison` in it tests each further preset against the first.

    `presets` are settings by name, each laid over the run's own (`with_preset`). Raises ConfigError for a task that
    generates nothing and for settings that contradict each other, before anything is generated.
    """
    ways = {name: with_preset(config.generate, settings) for name, settings in presets.items()}
    check_sweep(config, ways)
    prepared, rows = rows_to_predict(run, config, split)
    with stage(run, f"sweep.{split}"):
        task, loaded, given = open_model(run, config, prepared, allow_other_template=allow_other_template)
        with given.precision.autocast():
            decided = decide(task, loaded, given)
            shared = _Sweep(run, split, rows, task, loaded, given, decided.decision if decided else None)
            found = [
                _one(shared, name, how, _told(progress, place, len(ways), len(rows)))
                for place, (name, how) in enumerate(ways.items())
            ]
        comparison = preset_differences({one["name"]: run.path / one["predictions"] for one in found}, config)
    result = {
        "schema": SCHEMA,
        "split": split,
        "n": len(rows),
        "seed": config.seed,
        "presets": found,
        "comparison": comparison,
    }
    write_json(run.sweep(split), result)
    return result


def check_sweep(config: Config, ways: Mapping[str, GenerateConfig]) -> None:
    """Raise ConfigError for a task that generates nothing, and for contradictory settings with their preset's name."""
    way = TASKS[config.task.kind].way(config.task.method)
    if not way.writes:
        raise ConfigError(
            "a sweep of generation presets is for a task that writes its answers",
            got=f"task.kind={config.task.kind}" + (f", task.method={config.task.method}" if config.task.method else ""),
            expected="causal, seq2seq, or a classification by task.method=json_answer",
        )
    for name, how in ways.items():
        try:
            check_settings(how.settings())
        except ConfigError as error:
            raise ConfigError(
                f"preset '{name}': {error.message}", got=error.got, expected=error.expected, fix=error.fix
            ) from error


def _one(sweep: _Sweep, name: str, how: GenerateConfig, progress: Progress | None) -> dict[str, Any]:
    config = sweep.given.config.model_copy(update={"generate": how})
    given = replace(sweep.given, config=config)
    path = sweep.run.predictions(f"{sweep.split}.{name}")
    begun = perf_counter()
    outputs = sweep.task.answers(sweep.loaded, sweep.rows, given, progress)
    sweep.task.write(sweep.rows, outputs, path, given, sweep.decision)
    seconds = perf_counter() - begun
    logger.info("%s: %d records predicted under %s in %.1f s", sweep.split, len(sweep.rows), name, seconds)
    return {
        "name": name,
        "settings": how.model_dump(exclude_defaults=True) | {"max_new_tokens": how.max_new_tokens},
        "predictions": str(path.relative_to(sweep.run.path)),
        "seconds": round(seconds, 3),
        **preset_figures(path, config),
    }


def _told(
    progress: Progress | None, place: int, presets: int, records: int
) -> Callable[[int, int | None], None] | None:
    """Progress over all presets from that of one."""
    if progress is None:
        return None
    return lambda done, _: progress(place * records + done, presets * records)
