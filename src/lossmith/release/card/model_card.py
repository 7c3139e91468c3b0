"""The card of a model: one Markdown page from the files of its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmith.models.source import find_source
from lossmith.models.stored import Stored, stored_model
from lossmith.names import TASKS
from lossmith.release.card.data import data_section
from lossmith.release.card.front_matter import front_matter, is_hub_name
from lossmith.release.card.markdown import number, section, table, without_places
from lossmith.release.card.objective import objective_section
from lossmith.release.card.results import groups_section, results_section
from lossmith.release.card.usage import usage_section
from lossmith.release.run_model import TrainedRun, facts_of
from lossmith.runs import read_json

_SETTINGS = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
)


def model_card(trained: TrainedRun, folder: Path, *, name: str | None = None, license_name: str | None = None) -> str:
    """The card of the model in `folder` that `trained` made; `name` is what it is loaded by, its own where not given.

    It holds no absolute path of this machine, and no record of the data.
    """
    run, config = trained.folder, trained.config
    manifest = run.manifest()
    audit = read_json(run.audit) if run.audit.exists() else None
    metrics = read_json(run.metrics()) if run.metrics().exists() else None
    stored, title = stored_model(folder), (name or trained.name).rpartition("/")[2]
    base = str(config.model.base)
    sources = [Path(file["path"]).name for file in manifest.get("data", {}).get("files", ())]
    parts = [
        front_matter(title, stored, base=base, sources=sources, metrics=metrics, license_name=license_name),
        f"# {title}",
        _about(trained, stored, base),
        usage_section(name or str(folder.name), stored, config, facts_of(folder)),
        results_section(metrics),
        groups_section(metrics),
        objective_section(manifest),
        data_section(manifest, audit),
        _training_section(trained, manifest),
        _warnings_section(manifest),
    ]
    return without_places("\n\n".join(part for part in parts if part)) + "\n"


def _about(trained: TrainedRun, stored: Stored, base: str) -> str:
    """What it is, in two sentences."""
    task = TASKS[trained.config.task.kind]
    what = f"[`{base}`](https://huggingface.co/{base})" if is_hub_name(base) else f"`{Path(base).name}`"
    merged = facts_of(stored.folder).get("merged", {}).get("base")
    kind = "A LoRA adapter for" if stored.is_adapter else "A LoRA adapter merged into" if merged else "Fine-tuned from"
    told = f"{kind} {what}, to {task.about}."
    if trained.config.model.is_scratch:
        told = f"Trained from random weights ({base}), to {task.about}: it knows nothing but its training data."
    if stored.head is not None:
        told += f" Its classes or labels: {', '.join(f'`{name}`' for name in stored.head.names)}."
    return f"{told} Made with lossmith {trained.folder.manifest().get('lossmith') or ''}".rstrip() + "."


def _training_section(trained: TrainedRun, manifest: Mapping[str, Any]) -> str:
    train, model = trained.config.train, manifest.get("model", {})
    assert train is not None, "a trained run has a train group"
    settings = {name: getattr(train, name, None) for name in _SETTINGS}
    best = manifest.get("best", {})
    rows = {
        **{name: value for name, value in settings.items() if value is not None},
        "steps": manifest.get("steps"),
        "best step": f"{best['step']} by {best['metric']} {number(best['value'])}" if best else None,
        "seed": manifest.get("seed"),
        "trainable parameters": model.get("trainable_parameters"),
        "parameters": model.get("parameters"),
        "device, number format": f"{manifest.get('device')}, {manifest.get('dtype')}",
        "seconds": manifest.get("stages", {}).get("train", {}).get("seconds"),
        **_adapter(trained),
        **manifest.get("versions", {}),
    }
    return section(
        "Training", table([{"what": what, "value": _told(value)} for what, value in rows.items() if value is not None])
    )


def _adapter(trained: TrainedRun) -> dict[str, Any]:
    if trained.config.model.resolved_adapter != "lora":
        return {}
    source = find_source(str(trained.folder.model))
    own = read_json(Path(str(source.adapter)) / "adapter_config.json") if source.adapter else {}
    return {
        "LoRA r, alpha, dropout": ", ".join(number(own.get(key)) for key in ("r", "lora_alpha", "lora_dropout")),
        "LoRA on": ", ".join(sorted(own.get("target_modules") or ())),
        "4-bit base in training": "yes" if trained.config.model.load_in_4bit else None,
    }


def _told(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else number(value)


def _warnings_section(manifest: Mapping[str, Any]) -> str:
    return section("Warnings that the run gave", "\n".join(f"- {told}" for told in manifest.get("warnings", ())))
