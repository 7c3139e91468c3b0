"""One plain-data row per loss, metric and task. Functions are looked up when a row is used."""

from __future__ import annotations

from lossmith.names.losses import LOSS_ALIASES, LOSSES, SCOPE, find_loss
from lossmith.names.metrics import METRICS, find_metric, known_metric
from lossmith.names.own import code_hash, import_folders, import_from, load_attribute
from lossmith.names.rows import (
    INFINITY,
    UNITS,
    Activation,
    LossRow,
    MetricRow,
    Parameter,
    Reads,
    TaskRow,
    TaskWay,
    Unit,
)
from lossmith.names.tasks import TASKS

__all__ = [
    "INFINITY",
    "LOSSES",
    "LOSS_ALIASES",
    "METRICS",
    "SCOPE",
    "TASKS",
    "UNITS",
    "Activation",
    "LossRow",
    "MetricRow",
    "Parameter",
    "Reads",
    "TaskRow",
    "TaskWay",
    "Unit",
    "code_hash",
    "find_loss",
    "find_metric",
    "import_folders",
    "import_from",
    "known_metric",
    "load_attribute",
]
