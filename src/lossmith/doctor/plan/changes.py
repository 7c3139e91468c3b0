"""What to change in a training that does not fit: each change with what it leaves, until one fits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lossmith.config.schema import Config
from lossmith.doctor.plan.machine import Machine
from lossmith.models.precision import multiplies_bf16


@dataclass(frozen=True)
class Change:
    """Overrides, those of earlier changes among them, and the highest point they leave, in bytes."""

    overrides: tuple[str, ...]
    why: str
    peak_bytes: int
    fits: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "overrides": list(self.overrides)}


def proposals(config: Config, machine: Machine) -> Iterator[tuple[tuple[str, ...], str]]:
    """Overrides that make a training smaller, and why each may be made; those that change least of it come first."""
    train, model, device = config.train, config.model, machine.precision.device
    assert train is not None
    size, windows = train.per_device_train_batch_size, train.gradient_accumulation_steps
    if size > 1:
        smaller = (
            "train.per_device_train_batch_size=1",
            f"train.gradient_accumulation_steps={size * windows}",
        )
        yield smaller, "the same windows in smaller batches: the gradient stays what it is, sets over a batch apart"
    if train.per_device_eval_batch_size > 1:
        yield ("train.per_device_eval_batch_size=1",), "evaluations come out the same"
    if not train.gradient_checkpointing:
        yield ("train.gradient_checkpointing=true",), "activations are computed twice: about a third more time"
    lora = model.resolved_adapter == "lora"
    if not lora and not model.is_scratch and not model.freeze_backbone:
        yield ("model.adapter=lora",), "an adapter trains, and no longer the model's own weights"
        lora = True
    if machine.precision.name == "float32" and lora and multiplies_bf16(device):
        yield ("model.dtype=bfloat16",), "frozen weights and products in half the bytes"
    if lora and not model.load_in_4bit and not model.is_scratch and importlib.util.find_spec("bitsandbytes"):
        yield ("model.load_in_4bit=true",), "frozen weights in an eighth of the bytes, and a little less exact"
    if train.optim == "adamw_torch" and not lora:
        yield ("train.optim=adafactor",), "an optimizer that keeps almost no state, and another path of training"


def changes(config: Config, machine: Machine, peak_of: Callable[[tuple[str, ...]], int]) -> list[Change]:
    """The proposals one after another, each with those before it, up to the first that fits.

    `peak_of` gives the highest point of the configuration under some overrides; a proposal that lowers nothing is left
    out.
    """
    found: list[Change] = []
    made: tuple[str, ...] = ()
    lowest: int | None = None
    for overrides, why in proposals(config, machine):
        peak = peak_of((*made, *overrides))
        if lowest is not None and peak >= lowest:
            continue
        made, lowest = (*made, *overrides), peak
        found.append(Change(made, why, peak, peak <= machine.room))
        if found[-1].fits:
            break
    return found
