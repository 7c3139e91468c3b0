"""Learning rates that cannot be meant: told before the first step, by what they move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lossmith.config.schema import Config
from lossmith.config.train import TrainConfig
from lossmith.errors import ConfigError

Moved = Literal["full", "adapter", "scratch", "head"]


@dataclass(frozen=True)
class Usual:
    """Between which rates trainings of a kind are published; those ten times beyond are odd."""

    what: str
    lowest: float
    highest: float


# Of Adam and its kin, whose step is about the learning rate in every weight, whatever the gradient.
USUAL: Mapping[Moved, Usual] = {
    "full": Usual("all weights of a trained model", 1e-6, 5e-4),  # BERT 2e-5 to 5e-5, T5 up to 3e-4
    "adapter": Usual("an adapter", 1e-5, 2e-3),  # LoRA's paper 2e-4, prompts and small ranks up to 1e-3
    "scratch": Usual("a model from nothing", 1e-5, 2e-2),  # models of a million weights learn well at 1e-2
    "head": Usual("a head on a frozen model", 1e-5, 5e-2),
}
ODD = 10.0
# A weight of a network is rarely larger than 1: from here on a single step replaces it.
REPLACES = 1.0


def moved_by(config: Config) -> Moved:
    """What the learning rate moves."""
    if config.model.freeze_backbone or config.task.kind == "retrieval":
        return "head"
    if config.model.is_scratch:
        return "scratch"
    return "adapter" if config.model.resolved_adapter == "lora" else "full"


def doubts_of_rate(train: TrainConfig, moved: Moved) -> list[str]:
    """Sentences on a learning rate that is far from all that are used for what it moves.

    Raises ConfigError where one step would replace the weights. Optimizers that are not of Adam's kind are not judged.

    >>> doubts_of_rate(TrainConfig(learning_rate=0.02), "full")[0].partition(":")[0]
    'train.learning_rate=0.02 is 40 times the highest that is usual for all weights of a trained model (0.0005)'
    """
    name, rate, usual = train.optim.lower(), train.learning_rate, USUAL[moved]
    if ":" in name or not ("adam" in name or "lion" in name):
        return []
    told = f"train.learning_rate={rate:g}"
    if rate >= REPLACES:
        raise ConfigError(
            "the learning rate would replace every weight in one step",
            got=f"{told} with {train.optim}, whose step is about the learning rate in each weight",
            expected=f"{usual.lowest:g} to {usual.highest:g} for {usual.what}",
            fix=f"train.learning_rate={usual.highest / ODD:g}",
        )
    if rate > ODD * usual.highest:
        return [
            f"{told} is {rate / usual.highest:.0f} times the highest that is usual for {usual.what} "
            f"({usual.highest:g}): training will probably diverge, or forget what the model knew"
        ]
    if rate < usual.lowest / ODD:
        return [
            f"{told} is {usual.lowest / rate:.0f} times smaller than the lowest that is usual for {usual.what} "
            f"({usual.lowest:g}): the model will hardly move"
        ]
    return []
