"""What predictions under one generation preset come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lossmith.config.schema import Config
from lossmith.evaluate.measures import Resampling, figure, find_measures
from lossmith.evaluate.predictions import read_predictions


def preset_figures(predictions: Path, config: Config) -> dict[str, Any]:
    """Records, failures and every metric of `evaluate.metrics` with its interval, as metrics.json has them."""
    held = read_predictions(predictions, smallest_group=config.evaluate.smallest_group)
    how = Resampling(config.evaluate.resamples, config.seed)
    measures = find_measures(config.evaluate.metrics, held.classes)
    return {
        "n": len(held),
        "failed": int(held.failed.sum()),
        "metrics": {
            name: figure(measure, measure.score(held), held.clusters, how=how) for name, measure in measures.items()
        },
    }
