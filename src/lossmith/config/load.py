"""The checked configuration, its text, and the hashes that say which stages it makes stale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossmith.answer_schema import load_schema
from lossmith.config.compose import Composed, compose
from lossmith.config.generate import check_custom
from lossmith.config.objective import BY_TASK, WrittenTerm, check_objective, written_terms
from lossmith.config.retrieval import check_retrieval
from lossmith.config.schema import Config
from lossmith.config.seq2seq import check_seq2seq
from lossmith.config.structure import check_structure
from lossmith.errors import ConfigError, nearest, unknown_name
from lossmith.names import METRICS, TASKS, find_loss, find_metric, import_from, known_metric

# A change in generate or evaluate leaves the trained model as it is.
_TRAINING = ("seed", "task", "model", "data", "objective", "train")


def load_config(config: str | Path | Mapping[str, Any] | Config, overrides: Sequence[str] = ()) -> Config:
    """Compose and check a configuration.

    Raises ConfigError with the path, what was got, what was expected and the nearest valid name.
    """
    if isinstance(config, Config):
        if not overrides:
            return config
        config = config.model_dump()
    composed = compose(config, overrides)
    if not isinstance(config, Mapping) and composed.source == str(config):
        # A file's own functions are looked for beside it.
        import_from(Path(config).expanduser().parent)
    return check(composed)


def load_run_config(file: Path, overrides: Sequence[str] = ()) -> Config:
    """A run's own configuration, with overrides of `generate` and `evaluate`; the rest is what was trained.

    Raises ConfigError for an override of anything else.
    """
    for override in overrides:
        group = override.lstrip("+~").split("=")[0].split(".")[0]
        if group not in ("generate", "evaluate"):
            raise ConfigError(
                f"the override '{override}' would change what was trained",
                got=override,
                expected="overrides of generate or evaluate",
                fix=f"for another model write a new run: lossmith run CONFIG name=... {override}",
            )
    return load_config(file, overrides)


def check(composed: Composed) -> Config:
    """Judge composed values by the schema."""
    from pydantic import ValidationError

    from lossmith.config.explain import explain

    values = _with_schema(composed.values)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise explain(error, values) from None
    if config.task.kind not in TASKS:
        raise unknown_name("task", config.task.kind, TASKS, where="task.kind")
    check_objective(config.objective, TASKS[config.task.kind], config.task.method)
    if BY_TASK in config.objective and config.data.task is None:
        raise ConfigError(
            f"objective.{BY_TASK} needs to know each record's task",
            got="data.task is null",
            expected="the column that names it",
            fix="data.task=COLUMN",
        )
    _check_frozen(config)
    check_retrieval(config)
    check_seq2seq(config)
    check_custom(config.generate, trusted=config.model.trust_remote_code)
    check_structure(config)
    weighed = [term.where for term in written_terms(config.objective) if term.weights_by and term.weight]
    if weighed and config.data.group is None:
        raise ConfigError(
            f"{weighed[0]}.weights_by needs to know each record's group",
            got="data.group is null",
            expected="the column that names it",
            fix=f"data.group=COLUMN, or ~{weighed[0]}.weights_by",
        )
    for metric in config.evaluate.metrics:
        if ":" not in metric:
            find_metric(metric, where="evaluate.metrics")
    _check_best_metric(config)
    return config


def _with_schema(values: dict[str, Any]) -> dict[str, Any]:
    """The schema of answers in place of where it lies: what a run was made with stays with the run."""
    data = values.get("data")
    given = data.get("answer_schema") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(given, str | Mapping):
        return values
    return {**values, "data": {**data, "answer_schema": load_schema(given)}}


def _check_frozen(config: Config) -> None:
    """Refuse a frozen backbone where there is no class head that would train, or where an adapter would."""
    if not config.model.freeze_backbone:
        return
    if config.task.kind != "classification" or config.task.method != "head":
        raise ConfigError(
            "model.freeze_backbone trains a class head alone, and this task has none",
            got=f"task.kind={config.task.kind}" + (f", task.method={config.task.method}" if config.task.method else ""),
            expected="task.kind=classification with task.method=head",
            fix="model.freeze_backbone=false",
        )
    if config.model.adapter == "lora" or config.model.load_in_4bit:
        raise ConfigError(
            "an adapter or 4-bit weights and a frozen backbone exclude each other",
            got="model.adapter=lora" if config.model.adapter == "lora" else "model.load_in_4bit=true",
            expected="the head alone, or an adapter with it",
            fix="model.freeze_backbone=false, or take the other out",
        )


def _check_best_metric(config: Config) -> None:
    train = config.train
    if train is None or train.greater_is_better is not None:
        return
    metric = train.metric_for_best_model.removeprefix("eval_")
    terms = {term.name: term for term in written_terms(config.objective)}
    if metric != "loss" and known_metric(metric) is None and metric not in terms:
        near = nearest(metric, ["loss", *METRICS, *terms])
        raise ConfigError(
            f"train.metric_for_best_model '{train.metric_for_best_model}' is not in the table of metrics",
            got=train.metric_for_best_model,
            expected="eval_loss, a metric of `lossmith list metrics`, a term of the objective, or greater_is_better "
            "beside it",
            fix=f"did you mean '{near}'?" if near else "set train.greater_is_better to true or false",
        )
    if train.load_best_model_at_end or train.early_stopping_patience:
        _check_selection(terms, metric)


def _check_selection(terms: Mapping[str, WrittenTerm], metric: str) -> None:
    """Refuse to choose a checkpoint by a loss whose value is no measure of progress."""
    judging = [metric] if metric in terms else list(terms) if metric == "loss" else []
    if judging and all(_is_no_progress(terms[name]) for name in judging):
        raise ConfigError(
            f"the value of {', '.join(judging)} is no measure of progress, so it cannot choose a checkpoint",
            got=f"train.metric_for_best_model={metric}",
            expected="a metric of `lossmith list metrics`, or eval_loss of an objective with another term",
            fix="train.metric_for_best_model=rougeL; train.load_best_model_at_end=false keeps the last checkpoint; "
            "train.greater_is_better=false beside it says that you mean it",
        )


def _is_no_progress(term: WrittenTerm) -> bool:
    return not term.weight or (not term.is_own and not find_loss(term.loss).selects_checkpoints)


def missing_keys(config: Config) -> list[str]:
    """Required keys that are not set; shown as ??? by `lossmith config`."""
    missing = []
    if config.data.files is None and config.data.source is None:
        missing.append("data.files")
    if config.model.base is None:
        missing.append("model.base")
    if config.classifies and not (config.data.label or config.data.pairs):
        missing.append("data.label")
    return missing


def require_complete(config: Config) -> Config:
    """The configuration itself, or ConfigError naming the keys that work on it needs."""
    if missing := missing_keys(config):
        example = {
            "data.files": "data.files=recipes.jsonl",
            "model.base": "model=scratch-tiny",
            "data.label": "data.label=COLUMN",
        }
        raise ConfigError(
            f"the configuration lacks {' and '.join(missing)}",
            got="???",
            expected="a value",
            fix="add " + " ".join(example[key] for key in missing),
        )
    return config


def as_yaml(config: Config) -> str:
    """The resolved configuration as YAML; reading it back gives the same configuration."""
    import yaml

    values = config.model_dump()
    for path in missing_keys(config):
        group, key = path.split(".")
        values[group][key] = "???"
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def training_hash(config: Config) -> str:
    """Hash of what decides the trained model; runs_dir, name, generate and evaluate leave it unchanged."""
    values = config.model_dump()
    return _digest({key: values[key] for key in _TRAINING})


def prediction_hash(config: Config, manifest: Mapping[str, Any], *, split: str) -> str:
    """Hash of what decides the predictions of a split: the trained model and data of the manifest, generation, and of a
    classification how scores become classes.
    """
    asked = config.evaluate
    limit = asked.limit if split == asked.split else None
    decision = [asked.threshold, asked.calibration] if config.classifies else []
    made = [manifest.get("trained"), manifest.get("data", {}).get("fingerprint")]
    shared = [asked.references] if asked.references != "own" else []
    return _digest([training_hash(config), config.generate.model_dump(), limit, *decision, *shared, *made])


def evaluation_hash(config: Config, manifest: Mapping[str, Any], *, split: str) -> str:
    """Hash of what decides metrics.json: the predictions that the manifest tells of, and what is asked of them."""
    return _digest([config.evaluate.model_dump(), split, manifest.get("made_from", {}).get(f"predict.{split}")])


def evidence_hash(config: Config, manifest: Mapping[str, Any], *, split: str) -> str:
    """Hash of what decides evidence.json: the predictions that the manifest tells of, and how much of it is asked."""
    asked = [config.evaluate.evidence_documents, config.evaluate.resamples]
    return _digest([*asked, split, manifest.get("made_from", {}).get(f"predict.{split}")])


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
