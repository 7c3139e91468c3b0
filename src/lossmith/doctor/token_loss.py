"""The loss of every supervised token of a record under a run's model, in nats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lossmith.config.schema import Config
from lossmith.data.prepare import Prepared
from lossmith.losses import Objective
from lossmith.losses.cross_entropy import cross_entropy
from lossmith.runs import RunFolder
from lossmith.tasks.task import on_device
from lossmith.tasks.token_parts import TokenParts
from lossmith.train.predict import open_model
from lossmith.train.run import training_state

if TYPE_CHECKING:
    from lossmith.losses import Statistics


def has_model(run: RunFolder, config: Config) -> bool:
    """Whether the run has a model to ask: its trained one, or, where nothing is trained, its base."""
    return config.train is None or training_state(run) == "done"


def losses_of(run: RunFolder, config: Config, prepared: Prepared, rows: Sequence[dict[str, Any]]) -> list[float]:
    """Cross-entropy of every position of the batch of some rows under a run's model, in its order."""
    task, loaded, given = open_model(run, config, prepared, allow_other_template=True)
    forward = task.ready(loaded, rows[0], Objective({"cross_entropy": 1.0}), given).forward
    # The positions are those of the run's own objective, which may read the prompt, too.
    batch = on_device(task.collator(Objective(config.objective), given)(rows), given.precision.device)
    with torch.no_grad(), given.precision.autocast():
        parts = forward(loaded.model, batch)
        assert isinstance(parts, TokenParts), "a task of tokens"
        return position_losses(parts).tolist()


def position_losses(parts: TokenParts) -> Tensor:
    """Cross-entropy of each position, (positions,) in nats, computed as training computes it.

    >>> from lossmith.losses import Head
    >>> labels, examples = torch.tensor([1, 2]), torch.tensor([0, 0])
    >>> position_losses(TokenParts(torch.zeros(2, 3), Head(torch.zeros(4, 3)), labels, {}, examples))
    tensor([1.3863, 1.3863])
    """
    seen: list[Tensor] = []

    def remembered(stats: Statistics) -> Tensor:
        values = cross_entropy(stats)
        seen.append(values.detach().float().cpu())
        return values

    # An objective keeps sums alone; the separable formula itself sees every position, tile by tile in their order.
    (term,) = Objective({"cross_entropy": 1.0}).terms
    with torch.no_grad():
        parts.value(Objective.of((replace(term, function=lambda stats, **_: remembered(stats)),)))
    return torch.cat(seen) if seen else torch.zeros(0)
