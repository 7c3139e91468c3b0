"""How far the weights in a folder are from those of a model, those too that no text which is asked happens to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossmith.models.merging import merge_adapter
from lossmith.models.pooled import PooledClassifier
from lossmith.release.stored_weights import stored_weights

# Largest difference over the largest number of its tensor, by the number format of the copy: what rounding makes of it,
# and in 32 bits what the order of a sum does.
ROUNDED: Mapping[str, float] = {"float32": 1e-5, "float16": 2.0**-11, "bfloat16": 2.0**-8}


@dataclass(frozen=True)
class Apart:
    """The largest difference over the largest number of its tensor, and that tensor; how many were compared.

    dtypes: the number formats that the folder's weights are stored in.
    """

    largest: float = 0.0
    tensor: str | None = None
    compared: int = 0
    dtypes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values; a figure without a value is null."""
        largest = self.largest if math.isfinite(self.largest) else None
        return {"largest": largest, "tensor": self.tensor, "compared": self.compared}


@torch.no_grad()
def weights_apart(model: Any, folder: Path) -> Apart:
    """Compare a model, its adapter merged into it here, with the whole model in a folder, by the names of tensors.

    Tensors that bear another name in the folder (some families rename them on loading) are left to the logits.

    >>> weights_apart(torch.nn.Linear(2, 1), Path("/nowhere")).compared
    0
    """
    whole = merge_adapter(model)
    own: Mapping[str, Tensor] = (whole.backbone if isinstance(whole, PooledClassifier) else whole).state_dict()
    largest, tensor, compared, dtypes = 0.0, None, 0, set()
    for name, stored in stored_weights(folder):
        dtypes.add(str(stored.dtype).removeprefix("torch."))
        if name not in own:
            continue
        compared += 1
        found = _apart(own[name].float().cpu(), stored.float())
        if found > largest:
            largest, tensor = found, name
    return Apart(largest, tensor, compared, tuple(sorted(dtypes)))


def _apart(own: Tensor, stored: Tensor) -> float:
    if own.shape != stored.shape:
        return math.inf
    if not own.numel():
        return 0.0
    found = (own - stored).abs().max().item() / max(own.abs().max().item(), 1e-12)
    return math.inf if math.isnan(found) else found


def complaints(apart: Apart, *, said: str, allowed: float) -> list[str]:
    """What is wrong, one sentence each; `said` is the number format that the folder claims.

    >>> complaints(Apart(0.5, "lm_head.weight", 3, ("float32",)), said="float32", allowed=1e-5)
    ['lm_head.weight differs by 5.00e-01 of its largest number, 1e-05 is allowed']
    """
    told = []
    if not apart.largest <= allowed:
        told.append(f"{apart.tensor} differs by {apart.largest:.2e} of its largest number, {allowed:.0e} is allowed")
    if apart.dtypes and said not in apart.dtypes:
        told.append(f"config.json says {said}, and the weights are stored in {' and '.join(apart.dtypes)}")
    return told
