"""The table of losses."""

from __future__ import annotations

from collections.abc import Mapping

from lossmith.errors import unknown_name
from lossmith.names.rows import INFINITY, LossRow, Parameter


def _smooth(default: float) -> Parameter:
    return Parameter("smooth", "float", default, low=0.0)


_SCOPE = Parameter("scope", "str", "sequence", choices=("sequence", "batch"))

LOSSES: Mapping[str, LossRow] = {
    row.name: row
    for row in (
        LossRow(
            "cross_entropy",
            "lossmith.losses.cross_entropy:cross_entropy",
            kind="separable",
            unit="token",
            needs=("label_log_prob", "mean_log_prob"),
            low=0.0,
            high=INFINITY,
            formula="-(1-e) log p_y - e mean_v log p_v",
            source="as torch.nn.functional.cross_entropy",
            parameters=(Parameter("label_smoothing", "float", 0.0, low=0.0, high=1.0),),
        ),
        LossRow(
            "focal",
            "lossmith.losses.focal:focal",
            kind="separable",
            unit="token",
            needs=("label_log_prob",),
            low=0.0,
            high=INFINITY,
            formula="-(1-p_y)^g log p_y",
            source="Lin et al. 2017",
            parameters=(Parameter("gamma", "float", 2.0, low=0.0),),
        ),
        LossRow(
            "generalized_dice",
            "lossmith.losses.generalized_dice:generalized_dice",
            kind="set",
            unit="example",
            needs=("class_log_probs",),
            low=0.0,
            high=1.0,
            formula="1 - (2 sum_c w_c I_c + s) / (sum_c w_c (S_c + n_c) + s), w_c = 1/n_c^2, present classes",
            source="Sudre et al. 2017",
            parameters=(_smooth(1e-5), _SCOPE),
            unit_of_value="1",
        ),
        LossRow(
            "lovasz_softmax",
            "lossmith.losses.lovasz_softmax:lovasz_softmax",
            kind="set",
            unit="example",
            needs=("class_log_probs",),
            low=0.0,
            high=1.0,
            formula="mean over present classes of the Lovasz extension of the Jaccard loss",
            source="Berman et al. 2018",
            parameters=(_SCOPE,),
            unit_of_value="1",
        ),
        LossRow(
            "self_adjusting_dice",
            "lossmith.losses.self_adjusting_dice:self_adjusting_dice",
            kind="separable",
            unit="token",
            needs=("label_log_prob",),
            low=0.0,
            high=1.0,
            formula="1 - (2f+s)/(f+1+s), f = (1-p_y)^a p_y",
            source="Li et al. 2020",
            parameters=(
                Parameter("alpha", "float", 1.0, low=0.0),
                _smooth(1.0),
                Parameter("detach", "bool", True),
            ),
            unit_of_value="1",
            selects_checkpoints=False,
        ),
        LossRow(
            "sinkhorn",
            "lossmith.losses.sinkhorn:sinkhorn",
            kind="set",
            unit="example",
            needs=("expected_embedding",),
            low=0.0,
            high=INFINITY,
            formula="OT(a,b) - OT(a,a)/2 - OT(b,b)/2 between expected and gold embeddings",
            source="Feydy et al. 2019",
            parameters=(
                Parameter("p", "float", 2.0, low=1.0, high=2.0),
                Parameter("blur", "float", 0.2, low=1e-3),
                Parameter("scaling", "float", 0.5, low=0.05, high=0.99),
                Parameter("points", "str", "tokens", choices=("tokens", "items")),
                Parameter("normalize", "bool", True),
                Parameter("top_k", "int or none", None, low=1),
                Parameter("tolerance", "number or none", None, low=1e-12),
            ),
            unit_of_value="1",
        ),
        LossRow(
            "tversky",
            "lossmith.losses.tversky:tversky",
            kind="set",
            unit="example",
            needs=("class_log_probs",),
            low=0.0,
            high=1.0,
            formula="1 - mean_c (I_c + s) / (I_c + a FP_c + b FN_c + s), present classes",
            source="Salehi et al. 2017",
            parameters=(
                Parameter("alpha", "float", 0.5, low=0.0),
                Parameter("beta", "float", 0.5, low=0.0),
                _smooth(1e-5),
                _SCOPE,
            ),
            unit_of_value="1",
        ),
        LossRow(
            "unlikelihood",
            "lossmith.losses.unlikelihood:unlikelihood",
            kind="separable",
            unit="token",
            needs=("label_log_prob",),
            low=0.0,
            high=INFINITY,
            formula="-log(1 - p_y)",
            source="Welleck et al. 2020",
            span=None,
        ),
        LossRow(
            "entropy_penalty",
            "lossmith.losses.entropy_penalty:entropy_penalty",
            kind="separable",
            unit="token",
            needs=("expected_log_prob",),
            low=-INFINITY,
            high=0.0,
            formula="sum_v p_v log p_v",
            source="Pereyra et al. 2017",
        ),
    )
}

LOSS_ALIASES: Mapping[str, str] = {"topological": "sinkhorn"}


def find_loss(name: str) -> LossRow:
    """The row of a loss by name or alias; a misspelt name raises with the nearest one.

    >>> find_loss("topological").name
    'sinkhorn'
    """
    try:
        return LOSSES[LOSS_ALIASES.get(name, name)]
    except KeyError:
        raise unknown_name("loss", name, [*LOSSES, *LOSS_ALIASES]) from None
