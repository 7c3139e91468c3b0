"""What an optimizer keeps of each number that trains, and what it needs for a while: asked of the optimizer itself."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer

from lossmith.config.train import TrainConfig
from lossmith.doctor.plan.duration import Duration, Speed
from lossmith.doctor.plan.live import LiveBytes, bytes_of
from lossmith.models.precision import Precision
from lossmith.train.arguments import own_optimizer, training_arguments
from lossmith.train.checkpoint_space import state_bytes

SIDE = 512


@dataclass(frozen=True)
class OptimizerNeeds:
    """Bytes by number that trains: `kept` between steps, and `briefly` in a step, for all numbers together or, where
    not `together`, for those of one parameter at a time; `seconds` by number.
    """

    kept: float
    briefly: float
    together: bool
    seconds: float

    def in_a_step(self, trained: int, largest: int) -> int:
        """Bytes of a step beside weights, gradients and state; `largest` is the largest parameter's numbers."""
        return round(self.briefly * (trained if self.together else largest))


def optimizer_needs(train: TrainConfig, *, precision: Precision, speed: Speed) -> OptimizerNeeds:
    """Two steps of the configured optimizer on one small parameter, and on two.

    An optimizer that cannot step here (some run on a GPU alone) is taken by the table of what its kind keeps.
    """
    arguments = training_arguments(train, output_dir=Path("plan"), seed=0, precision=precision, report_to=[])
    one, other = (_parameters(number, precision.device) for number in (1, 2))
    try:
        with warnings.catch_warnings():
            # What an optimizer lacks here, training will say.
            warnings.simplefilter("ignore")
            kept, alone, seconds = _step(one, train, arguments, speed)
            _, both, _ = _step(other, train, arguments, speed)
    except (TypeError, ValueError, ImportError, RuntimeError, NotImplementedError):
        return OptimizerNeeds(state_bytes(train.optim), 0.0, together=False, seconds=0.0)
    numbers = SIDE * SIDE
    return OptimizerNeeds(kept / numbers, alone / numbers, together=both > 1.5 * alone, seconds=seconds / numbers)


def _parameters(number: int, device: torch.device) -> nn.ParameterDict:
    held = {f"matrix{place}": nn.Parameter(torch.zeros(SIDE, SIDE, device=device)) for place in range(number)}
    for parameter in held.values():
        parameter.grad = torch.ones_like(parameter)
    return nn.ParameterDict(held)


def _step(model: Any, train: TrainConfig, arguments: Any, speed: Speed) -> tuple[int, int, float]:
    """Bytes kept, bytes needed for a while, and seconds of a step."""
    made, keywords = own_optimizer(train) or Trainer.get_optimizer_cls_and_kwargs(arguments, model)
    optimizer = made(model.parameters(), **keywords)
    optimizer.step()
    state = [value for held in optimizer.state.values() for value in held.values() if isinstance(value, Tensor)]
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    live, duration = LiveBytes([*model.parameters(), *gradients, *state]), Duration(speed)
    with live, duration:
        optimizer.step()
    return bytes_of(state), live.peak, duration.seconds
