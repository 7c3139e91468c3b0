"""An adapter added into the weights of its base, so that one whole model is left."""

from __future__ import annotations

from typing import Any

import torch

from lossmith.models.adapters import quiet_peft
from lossmith.models.pooled import PooledClassifier
from lossmith.models.tying import settle_tying


def merge_adapter(adapted: Any) -> Any:
    """The base of a peft model with what the adapter learned in its own weights; anything else as it is.

    Heads that trained whole and rows of added tokens take the place of the base's. An output layer that the adapter
    trained apart from the input embedding stays apart, and the configuration says so.
    """
    if isinstance(adapted, PooledClassifier):
        adapted.backbone = merge_adapter(adapted.backbone)
        return adapted
    if not hasattr(adapted, "peft_config"):
        return adapted
    tied = getattr(adapted.get_base_model().config, "tie_word_embeddings", None)
    with quiet_peft(), torch.no_grad():
        whole = adapted.merge_and_unload()
    # peft has changed it where the ends differ; of some families the same key says how states are scaled.
    if tied is not None:
        whole.config.tie_word_embeddings = tied
    settle_tying(whole)
    return whole
