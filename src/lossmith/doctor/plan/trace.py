"""A step of training followed through a model that has shapes and no numbers: what is alive, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lossmith.doctor.plan.duration import Duration, Speed
from lossmith.doctor.plan.live import LiveBytes
from lossmith.models.precision import Precision

# A model and a batch to a number whose gradient reaches all that trains.
Forward = Callable[[nn.Module, Mapping[str, Any]], Tensor]
# Two micro-batches: the second finds gradients of the first.
MICRO_BATCHES = 2


@dataclass(frozen=True)
class Moment:
    """What is alive beside weights and optimizer at the highest point of a phase, in bytes."""

    activations: int
    gradients: int


@dataclass(frozen=True)
class Trace:
    """The highest points of a micro-batch, what its activations hold where the loss begins, and its seconds."""

    forward: Moment
    kept: Moment
    backward: Moment
    seconds: float


class _Gradients:
    """Bytes of the gradients that the parameters of a model hold, as backward passes give them."""

    def __init__(self, model: nn.Module) -> None:
        self.held = 0
        self._known: set[int] = set()
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._grown)

    def _grown(self, parameter: Tensor) -> None:
        if id(parameter) not in self._known:
            self._known.add(id(parameter))
            self.held += parameter.numel() * parameter.element_size()


@contextmanager
def without_numbers(model: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Inside, a model of the meta device stands on `device` and runs there as if it had numbers; it holds none.

    The model is changed in place and of no use afterwards.
    """
    with FakeTensorMode():
        made: dict[int, Tensor] = {}

        def placed(tensor: Tensor) -> Tensor:
            if id(tensor) not in made:
                # What is shared stays shared.
                empty: Tensor = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                if isinstance(tensor, nn.Parameter):
                    empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
                made[id(tensor)] = empty
            return made[id(tensor)]

        for module in model.modules():
            for held in (module._parameters, module._buffers):
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = placed(tensor)  # type: ignore[assignment]
        yield model


def trace_training(
    model: nn.Module, forward: Forward, batch: Mapping[str, Any], *, precision: Precision, windows: int, speed: Speed
) -> Trace:
    """Follow the last micro-batch of a step whose window has `windows` of them.

    `model` lives inside `without_numbers`.
    """
    model.train()
    inputs = _placed(batch, precision.device)
    gradients = _Gradients(model)
    outside = [*model.parameters(), *model.buffers(), *_tensors(inputs)]
    live = LiveBytes(outside, watch=lambda: gradients.held)
    for _ in range(min(windows, MICRO_BATCHES)):
        duration = Duration(speed)
        with live, duration:
            live.restart()
            with precision.autocast():
                loss = forward(model, inputs)
            run, kept = _highest(live), Moment(live.now - gradients.held, gradients.held)
            live.restart()
            loss.backward()
            del loss
            backward = _highest(live)
    return Trace(run, kept, backward, duration.seconds)


def _highest(live: LiveBytes) -> Moment:
    return Moment(live.peak - live.of_peak, live.of_peak)


@torch.no_grad()
def trace_evaluation(
    model: nn.Module, forward: Forward, batch: Mapping[str, Any], *, precision: Precision, speed: Speed
) -> Trace:
    """Follow a batch of an evaluation."""
    model.eval()
    inputs = _placed(batch, precision.device)
    live, duration = LiveBytes([*model.parameters(), *model.buffers(), *_tensors(inputs)]), Duration(speed)
    with live, duration, precision.autocast():
        forward(model, inputs)
        kept = live.now
    nothing = Moment(0, 0)
    return Trace(Moment(live.peak, 0), Moment(kept, 0), nothing, duration.seconds)


def _placed(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch without its numbers."""
    return {
        name: torch.zeros(value.shape, dtype=value.dtype, device=device)
        if isinstance(value, Tensor)
        else _placed(value, device)
        if isinstance(value, Mapping)
        else value
        for name, value in batch.items()
    }


def _tensors(batch: Mapping[str, Any]) -> list[Tensor]:
    return [value for value in batch.values() if isinstance(value, Tensor)]
