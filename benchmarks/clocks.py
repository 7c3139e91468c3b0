"""Where the time of a trainer's step goes: clocks around its methods, each second charged to one part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

# In the order of a step.
PARTS = (
    "fetch and collate",
    "counting",
    "model forward",
    "head and loss",
    "share measurement",
    "model backward",
    "norm, clipping, finite?",
    "optimizer",
    "logging",
    "rest of the loop",
)
_RESTING = "resting"


class Clocks:
    """Seconds by part of a Trainer, or of lossmith's, which is one; on CPU, where a call ends when it returns."""

    def __init__(self) -> None:
        self._part, self._since = _RESTING, 0.0
        self.clear()

    def clear(self) -> None:
        """Start at zero, at rest."""
        self.seconds = dict.fromkeys((*PARTS, _RESTING), 0.0)
        self.calls = dict.fromkeys(PARTS, 0)
        self._part, self._since = _RESTING, time.perf_counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the training has its turn; what passes outside is charged to nothing."""
        self.switch(PARTS[-1])
        yield
        self.switch(_RESTING)

    def switch(self, part: str) -> None:
        """Charge what has passed to the part that was running, and start another."""
        now = time.perf_counter()
        self.seconds[self._part] += now - self._since
        self._part, self._since = part, now

    @contextmanager
    def inside(self, part: str) -> Iterator[None]:
        """A part that another is interrupted for."""
        before = self._part
        self.switch(part)
        self.calls[part] += 1
        try:
            yield
        finally:
            self.switch(before)

    def around(self, owner: Any, method: str, part: str) -> None:
        """Charge every call of a method to a part."""
        own = getattr(owner, method)

        def timed(*args: Any, **keywords: Any) -> Any:
            with self.inside(part):
                return own(*args, **keywords)

        object.__setattr__(owner, method, timed)

    def put_into(self, trainer: Any) -> None:
        """Clocks around all that a step calls."""
        for method, part in (
            ("get_batch_samples", "fetch and collate"),
            ("compute_loss", "head and loss"),
            ("_clip_grad_norm", "norm, clipping, finite?"),
            ("_get_grad_norm", "norm, clipping, finite?"),
            ("log", "logging"),
        ):
            self.around(trainer, method, part)
        # Within it the gradient of the hidden states tells where the head ends and the model begins.
        self.around(trainer.accelerator, "backward", "head and loss")
        self.around(trainer.model, "zero_grad", "optimizer")
        self._around_the_backbone(trainer.model.model)
        if hasattr(trainer, "work"):
            self.around(trainer.work.objective, "counts", "counting")
            self.around(trainer.work.objective, "shares", "share measurement")
        trainer.add_callback(self._optimizer())

    def _around_the_backbone(self, backbone: Any) -> None:
        own = backbone.forward

        def forward(*args: Any, **keywords: Any) -> Any:
            with self.inside("model forward"):
                found = own(*args, **keywords)
            found.last_hidden_state.register_hook(lambda _: self.switch("model backward"))
            return found

        backbone.forward = forward

    def _optimizer(self) -> TrainerCallback:
        clocks = self

        class Optimizer(TrainerCallback):
            def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
                clocks.switch("optimizer")

            def on_optimizer_step(self, *_: Any, **__: Any) -> None:
                clocks.switch("rest of the loop")

        return Optimizer()
