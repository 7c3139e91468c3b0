"""What a configuration asks to be measured, judged before there is anything to measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lossmith.config.schema import Config
from lossmith.errors import ConfigError, nearest
from lossmith.evaluate.baselines import check_baselines
from lossmith.evaluate.gates import Gate, read_gates
from lossmith.evaluate.measures import find_measure
from lossmith.metrics.thresholds import check_aim
from lossmith.names import METRICS, find_metric


class Asked(NamedTuple):
    """Names of metrics in their order, each once, those that gates name among them; and the gates."""

    metrics: tuple[str, ...]
    gates: tuple[Gate, ...]


def check_asked(config: Config) -> Asked:
    """The metrics and gates that are asked for.

    Raises InputError for a metric, gate, baseline or aim that can't be understood, or that does not fit the task:
    judged before training, not after it.
    """
    asked = config.evaluate
    if not asked.metrics:
        raise ConfigError("evaluate.metrics names no metric", got="[]", expected="at least one metric")
    fitting = _fitting(config)
    for name in asked.metrics:
        if ":" in name:
            find_measure(name)
        else:
            _check_fits(name, fitting, config, where="evaluate.metrics")
    _check_best(config, fitting)
    check_baselines(config)
    if isinstance(asked.threshold, Mapping):
        check_aim(asked.threshold)
    # What is measured of texts costs much; what is measured of classes nothing, so that a gate may ask for it alone.
    measured = [*asked.metrics, *(name for name in fitting if METRICS[name].reads != "texts")]
    gates = read_gates(asked.require, list(dict.fromkeys(measured)))
    own = [gate.metric for gate in gates]
    return Asked(tuple(dict.fromkeys([*asked.metrics, *own])), tuple(gates))


def _fitting(config: Config) -> list[str]:
    """The metrics that what is predicted has the columns for."""
    if not config.classifies:
        return [name for name, row in METRICS.items() if row.reads == "texts"]
    writes = not config.reads_texts
    return [name for name, row in METRICS.items() if row.reads != "texts" or writes]


def _check_fits(name: str, fitting: Sequence[str], config: Config, *, where: str) -> None:
    row = find_metric(name, where=where)
    base = name if name in METRICS else name.partition(".")[0]
    if base in fitting:
        return
    if row.reads == "texts":
        what = "it compares texts, and a classification by a head writes none"
    else:
        what = f"it compares classes, and the task {config.task.kind} predicts none"
    near = nearest(base, fitting)
    raise ConfigError(
        f"{where}: '{name}' does not fit the task: {what}",
        got=name,
        expected="one of " + ", ".join(fitting),
        fix=f"did you mean '{near}'?" if near else None,
    )


def _check_best(config: Config, fitting: Sequence[str]) -> None:
    if config.train is None:
        return
    name = config.train.metric_for_best_model.removeprefix("eval_")
    if (name if name in METRICS else name.partition(".")[0]) not in METRICS:
        return
    _check_fits(name, fitting, config, where="train.metric_for_best_model")
    if "group" in find_metric(name).columns and config.data.group is None:
        raise ConfigError(
            f"train.metric_for_best_model '{name}' compares groups, and the records have none",
            got="data.group is null",
            expected="the column that names each record's group",
            fix="data.group=COLUMN",
        )
