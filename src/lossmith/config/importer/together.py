"""Keys that mean something only together: one function for each rule, carried out in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossmith.errors import ConfigError

# What transformers takes where a strategy is `steps` and nobody says how many.
DEFAULT_STEPS = 500


@dataclass
class Entry:
    """A key of the file: what it means (`said`: the first key of its row), what it sets, or why it sets nothing."""

    key: str
    value: Any
    said: str
    targets: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    known: bool = True

    def leave_out(self, why: str) -> None:
        """Set nothing, and say why."""
        self.targets, self.note = {}, why


@dataclass(frozen=True)
class Implied:
    """A value that no key gives but that other keys imply, and why."""

    path: str
    value: Any
    why: str


def settle(entries: Sequence[Entry]) -> list[Implied]:
    """Carry out every rule; returns what keys imply together.

    Raises ConfigError where they contradict each other.
    """
    return [implied for rule in RULES for implied in rule(entries)]


def _saying(entries: Sequence[Entry], said: str) -> list[Entry]:
    return [entry for entry in entries if entry.said == said and entry.targets]


def _value(entries: Sequence[Entry], path: str) -> Any:
    return next((entry.targets[path] for entry in entries if path in entry.targets), None)


def _warmup(entries: Sequence[Entry]) -> list[Implied]:
    """Steps win over a ratio, unless they are 0: so transformers reads the two."""
    steps, ratios = _saying(entries, "warmup_steps"), _saying(entries, "warmup_ratio")
    if steps and ratios:
        given = any(entry.targets["train.warmup_steps"] for entry in steps)
        for entry in ratios if given else steps:
            entry.leave_out(f"{(steps if given else ratios)[0].key} wins over it, as in transformers")
    return []


def _evaluations(entries: Sequence[Entry]) -> list[Implied]:
    """A number of steps and the strategy `steps` need each other."""
    found = []
    for stage in ("eval", "save"):
        steps = _saying(entries, f"{stage}_steps")
        strategy = _value(entries, f"train.{stage}_strategy")
        if steps and strategy is None:
            found.append(Implied(f"train.{stage}_strategy", "steps", f"{steps[0].key} is given"))
        elif strategy == "steps" and not steps:
            logged = _value(entries, "train.logging_steps") if stage == "eval" else None
            why = "logging_steps says how many, as in transformers" if logged else "transformers' own number"
            found.append(Implied(f"train.{stage}_steps", logged or DEFAULT_STEPS, why))
        elif strategy not in (None, "steps"):
            for entry in steps:
                entry.leave_out(f"the strategy is {strategy}")
    if _value(entries, "train.eval_strategy") == "no" and _value(entries, "train.load_best_model_at_end") is None:
        found.append(Implied("train.load_best_model_at_end", False, "nothing is evaluated while training"))
    return found


def _early_stopping(entries: Sequence[Entry]) -> list[Implied]:
    """A switch beside a patience says only whether the patience counts."""
    patience = _saying(entries, "early_stopping_patience")
    for switch in _saying(entries, "early_stopping"):
        if patience and switch.targets["train.early_stopping_patience"]:
            switch.leave_out(f"{patience[0].key} says how long")
        for entry in patience if switch.targets else ():
            entry.leave_out(f"{switch.key} is off")
    return []


def _number_format(entries: Sequence[Entry]) -> list[Implied]:
    """`auto` gives way to a format that another key names."""
    formats = [entry for entry in entries if "model.dtype" in entry.targets]
    named = [entry for entry in formats if entry.targets["model.dtype"] != "auto"]
    for entry in formats if named else ():
        if entry not in named:
            entry.leave_out(f"{named[0].key} names the format")
    return []


def _four_bit(entries: Sequence[Entry]) -> list[Implied]:
    """A switch that is off beside QLoRA's name says nothing, and one of 8 bits is no 4-bit base."""
    switches = [entry for entry in entries if "model.load_in_4bit" in entry.targets]
    if any(entry.targets["model.load_in_4bit"] for entry in switches):
        for entry in switches:
            if entry.said == "use_qlora" and not entry.targets["model.load_in_4bit"]:
                entry.leave_out("another key asks for 4 bit")
    return []


def _batch(entries: Sequence[Entry]) -> list[Implied]:
    """The batch of a step is the batch of a device times the accumulation."""
    one, whole = _saying(entries, "per_device_train_batch_size"), _saying(entries, "effective_batch_size")
    batches = _saying(entries, "batch_size")
    size = one[0].targets["train.per_device_train_batch_size"] if one else None
    for entry in batches:
        given = entry.targets["train.per_device_train_batch_size"]
        if size and given > size and not given % size:
            entry.targets = {"train.gradient_accumulation_steps": given}
            whole = [*whole, entry]
        size = size or given
    accumulation = _saying(entries, "gradient_accumulation_steps")
    for entry in whole:
        total = entry.targets["train.gradient_accumulation_steps"]
        if accumulation and size is None:
            steps = accumulation[0].targets["train.gradient_accumulation_steps"]
            _divide(entry, total, steps, "train.per_device_train_batch_size")
        elif accumulation:
            steps = accumulation[0].targets["train.gradient_accumulation_steps"]
            if size * steps != total:
                raise ConfigError(
                    f"{entry.key} contradicts the batch size and {accumulation[0].key}",
                    got=f"{total}, {size} and {steps}",
                    expected="a batch of a step that is their product",
                    fix="take one of the three out",
                )
            entry.leave_out("the batch size and the accumulation say it")
        elif size is None:
            entry.targets = {"train.per_device_train_batch_size": total}
        else:
            _divide(entry, total, size, "train.gradient_accumulation_steps")
    return []


def _divide(entry: Entry, total: int, by: int, path: str) -> None:
    if total % by:
        raise ConfigError(f"{entry.key} is no multiple of {by}", got=total, expected=f"a multiple of {by}")
    entry.targets = {path: total // by}
    entry.note = f"{total} / {by}, on one device"


def _folder(entries: Sequence[Entry]) -> list[Implied]:
    """Beside a name the whole folder is where runs lie."""
    if _saying(entries, "experiment_name"):
        for entry in _saying(entries, "output_dir"):
            entry.targets = {"runs_dir": str(entry.value).rstrip("/")}
    return []


def _label_smoothing(entries: Sequence[Entry]) -> list[Implied]:
    """Smoothing belongs to the loss of the task."""
    for entry in _saying(entries, "label_smoothing_factor"):
        if _value(entries, "task.kind") == "classification":
            entry.targets = {"objective.class_cross_entropy": entry.targets["objective.cross_entropy"]}
    return []


RULES: tuple[Callable[[Sequence[Entry]], list[Implied]], ...] = (
    _warmup,
    _evaluations,
    _early_stopping,
    _number_format,
    _four_bit,
    _batch,
    _folder,
    _label_smoothing,
)
