"""What is checked, with numbers, before the first step: what cannot work is refused, what is doubtful is said."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lossmith.config.objective import written_terms
from lossmith.config.schema import Config
from lossmith.config.train import TrainConfig
from lossmith.data.chat_template import CHAT_TEMPLATE
from lossmith.data.normalize import steps_of
from lossmith.errors import ConfigError
from lossmith.evaluate.asked import check_asked
from lossmith.generate.constrained import require_llguidance
from lossmith.generate.settings import check_settings
from lossmith.models.scratch import check_scratch
from lossmith.train.arguments import check_names as check_train_names

if TYPE_CHECKING:
    from lossmith.losses import Term

FEW_STEPS = 30
MOST_SHARES, FEWEST_SHARES = 50, 10
SHARE_STEPS_A_TERM = 5


@dataclass(frozen=True)
class Plan:
    """Optimizer steps and what they are made of."""

    records: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    share_steps: int

    def sentence(self) -> str:
        """The plan in words."""
        warm = f", {self.warmup_steps} of them warm-up" if self.warmup_steps else ""
        return (
            f"{self.records} training records, {self.steps_per_epoch} optimizer steps an epoch, "
            f"{self.total_steps} in all{warm}"
        )


def check_names(config: Config) -> None:
    """Judge every name that a later stage will look up, and the sizes of a model that it will build: a misspelt gate
    is told before training, not after it.

    Raises ConfigError or InputError with the nearest name.
    """
    check_asked(config)
    check_settings(config.generate.settings())
    if config.generate.constrained:
        require_llguidance()
    steps_of(config.data.normalize)
    if config.model.is_scratch:
        check_scratch(config.model, chat_template=CHAT_TEMPLATE)
    if any(term.is_own for term in written_terms(config.objective)):
        _try_own_losses(config.objective)
    if config.train is not None:
        check_train_names(config.train)
        _check_trackers(config.tracking.report_to)


def _try_own_losses(objective: Mapping[str, Any]) -> None:
    """A loss of the user's own is read and called once before data are prepared for it."""
    from lossmith.losses.terms import read_terms
    from lossmith.losses.trials import try_once

    with warnings.catch_warnings():
        # Terms of weight 0 are told when training starts.
        warnings.simplefilter("ignore", UserWarning)
        terms = read_terms(objective)
    for term in terms:
        if ":" in term.loss:
            try_once(term)


def _check_trackers(names: Sequence[str]) -> None:
    absent = [name for name in names if find_spec(name) is None]
    if absent:
        raise ConfigError(
            f"the tracker {', '.join(absent)} is not installed",
            got=f"tracking.report_to=[{', '.join(names)}]",
            expected="trackers that are installed",
            fix="pip install 'lossmith[track]', or tracking.report_to=[tensorboard]",
        )


def plan_steps(train: TrainConfig, *, records: int, processes: int, terms: int = 1) -> Plan:
    """Count the steps as the Trainer will, and choose those at which the shares of so many terms are measured.

    Raises ConfigError where no step would be taken, or warm-up would outlast training.
    """
    batches = _batches(train, records=records, processes=processes)
    per_epoch = max(1, math.ceil(batches / train.gradient_accumulation_steps))
    total = train.max_steps if train.max_steps > 0 else math.ceil(per_epoch * train.num_train_epochs)
    warmup = warm_up_steps(train.warmup_steps, total)
    if warmup >= total:
        raise ConfigError(
            "warm-up is longer than training: the full learning rate would never be reached",
            got=f"train.warmup_steps={train.warmup_steps:g} ({warmup} steps) of {total} steps",
            expected="fewer warm-up steps than training has",
            fix="lower train.warmup_steps (below 1 it is a share), or train longer",
        )
    # A measurement costs about a tenth of a step for each term: a short training is left with ten of them, no more.
    rarely = min(SHARE_STEPS_A_TERM * terms, total // FEWEST_SHARES)
    share_steps = train.share_steps or max(1, rarely, total // MOST_SHARES)
    return Plan(records, per_epoch, total, warmup, share_steps)


def _batches(train: TrainConfig, *, records: int, processes: int) -> int:
    if train.max_steps == 0 or train.max_steps < -1:
        raise ConfigError(
            "train.max_steps is no number of steps",
            got=train.max_steps,
            expected="a number above 0, or -1 for the steps of train.num_train_epochs",
        )
    together = train.per_device_train_batch_size * processes
    if not train.hf.get("dataloader_drop_last"):
        return math.ceil(records / together)
    if records < together:
        raise ConfigError(
            "train.hf.dataloader_drop_last leaves no whole batch",
            got=f"{records} records in batches of {together}",
            fix="lower train.per_device_train_batch_size, or take dataloader_drop_last out",
        )
    return records // train.per_device_train_batch_size // processes


def warm_up_steps(warmup: float, total: int) -> int:
    """Warm-up in steps: below 1 a share of all steps.

    >>> warm_up_steps(0.05, 200), warm_up_steps(40, 200)
    (10, 40)
    """
    return math.ceil(total * warmup) if warmup < 1 else int(warmup)


def without_gradient(terms: Sequence[Term]) -> list[str]:
    """Sentences on losses of the user's own whose formula gives made-up positions no gradient at all."""
    from lossmith.losses.laws import LAWS
    from lossmith.losses.trials import as_tried

    return [
        f"the term '{term.name}' will be dead: {term.loss} has no gradient on made-up positions, so it trains nothing. "
        f"Something in its formula is detached; `lossmith list losses --check {term.loss}` tells more"
        for term in terms
        if ":" in term.loss and not LAWS["alive"](as_tried(term))[0]
    ]


def doubts(plan: Plan, audit: Mapping[str, Any]) -> list[str]:
    """Sentences on what will probably disappoint."""
    found = list(audit.get("warnings", []))
    if plan.total_steps < FEW_STEPS:
        found.append(
            f"only {plan.total_steps} optimizer steps (fewer than {FEW_STEPS}): the model will hardly move. "
            "Train more epochs, or lower the batch size or gradient_accumulation_steps"
        )
    train = audit["splits"]["train"]
    cut = train["truncation"].get("cut_answer", 0)
    if cut and train["end_supervised"] < train["records"]:
        found.append(
            f"{cut} of {train['records']} training answers are cut at {audit['limits']}, their end "
            "token with them: the model does not learn there where an answer ends"
        )
    return found


def tell(plan: Plan, audit: Mapping[str, Any], *, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Say the plan and warn of the doubts."""
    say(plan.sentence())
    for sentence in doubts(plan, audit):
        warn(sentence)
