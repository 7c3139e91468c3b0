"""What predictions under several generation presets come to, each by itself and against the first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmith.config.schema import Config
from lossmith.evaluate.compare import compare_predictions
from lossmith.evaluate.measures import Resampling, figure, find_measures
from lossmith.evaluate.predictions import Predictions, read_predictions


def preset_figures(predictions: Path, config: Config) -> dict[str, Any]:
    """Records, failures and every metric of `evaluate.metrics` with its interval, as metrics.json has them."""
    held = _read(predictions, config)
    how = Resampling(config.evaluate.resamples, config.seed)
    measures = find_measures(config.evaluate.metrics, held.classes)
    return {
        "n": len(held),
        "failed": int(held.failed.sum()),
        "metrics": {
            name: figure(measure, measure.score(held), held.clusters, how=how) for name, measure in measures.items()
        },
    }


def preset_differences(predictions: Mapping[str, Path], config: Config) -> dict[str, Any] | None:
    """Each further preset against the first, on every metric of `evaluate.metrics`, as `compare_runs` compares runs.

    None where there is one preset alone.
    """
    if len(predictions) < 2:
        return None
    held = [(name, _read(path, config)) for name, path in predictions.items()]
    how = Resampling(config.evaluate.resamples, config.seed)
    return compare_predictions(held, config.evaluate.metrics, how=how)


def _read(predictions: Path, config: Config) -> Predictions:
    return read_predictions(predictions, smallest_group=config.evaluate.smallest_group)
