"""4-bit weights that give the same numbers in training and in prediction, on every processor."""

from __future__ import annotations

from torch import nn

_LAYOUT = "support_avx512bf16_for_cpu"


def keep_one_layout(model: nn.Module) -> None:
    """Keep bitsandbytes from rewriting 4-bit layers when they are first asked in eval mode.

    On processors with bfloat16 it lays their weights out anew then, rounds scales and inputs to bfloat16 whatever the
    compute format, fails on layers narrower than a block, and after it lets no gradient through: an evaluation in the
    middle of training would end the training of all layers below.
    """
    for module in model.modules():
        if hasattr(module, _LAYOUT):
            setattr(module, _LAYOUT, False)
