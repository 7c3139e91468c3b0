"""The table of losses."""

from __future__ import annotations

from collections.abc import Mapping

from lossmith.errors import unknown_name
from lossmith.names.rows import INFINITY, LossRow, Parameter


def _smooth(default: float) -> Parameter:
    return Parameter("smooth", "float", default, low=0.0)


# Over what a set loss over tokens is taken; it shapes what the formula reads and never reaches it.
SCOPE = Parameter("scope", "str", "sequence", choices=("sequence", "batch"), batch="batch")
_CLASS_WEIGHT = Parameter(
    "class_weight", "list or none", None, low=0.0, choices=("balanced", "inverse", "effective_number")
)
_GAMMA = Parameter("gamma", "float", 2.0, low=0.0)

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
            parameters=(_GAMMA,),
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
            parameters=(_smooth(1e-5), SCOPE),
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
            parameters=(SCOPE,),
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
                SCOPE,
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
        LossRow(
            "class_cross_entropy",
            "lossmith.losses.class_cross_entropy:class_cross_entropy",
            kind="separable",
            unit="weight",
            needs=("logits", "labels"),
            low=0.0,
            high=INFINITY,
            formula="-(1-e) w_y log p_y - e mean_c w_c log p_c, divided by the sum of w_y",
            source="as torch.nn.functional.cross_entropy",
            parameters=(_CLASS_WEIGHT, Parameter("label_smoothing", "float", 0.0, low=0.0, high=1.0)),
            reads="class head",
            activation="softmax",
        ),
        LossRow(
            "class_focal",
            "lossmith.losses.class_focal:class_focal",
            kind="separable",
            unit="example",
            needs=("logits", "labels"),
            low=0.0,
            high=INFINITY,
            formula="-w_y (1-p_y)^g log p_y",
            source="Lin et al. 2017",
            parameters=(_GAMMA, _CLASS_WEIGHT),
            reads="class head",
            activation="softmax",
        ),
        LossRow(
            "binary_cross_entropy",
            "lossmith.losses.binary_cross_entropy:binary_cross_entropy",
            kind="separable",
            unit="example",
            needs=("logits", "labels"),
            low=0.0,
            high=INFINITY,
            formula="mean over labels of -(w y log p + (1-y) log(1-p))",
            source="as torch.nn.functional.binary_cross_entropy_with_logits",
            parameters=(Parameter("pos_weight", "number, list or none", None, low=0.0, choices=("auto",)),),
            reads="class head",
            activation="sigmoid",
        ),
        LossRow(
            "binary_focal",
            "lossmith.losses.binary_focal:binary_focal",
            kind="separable",
            unit="example",
            needs=("logits", "labels"),
            low=0.0,
            high=INFINITY,
            formula="mean over labels of -(a y (1-p)^g log p + (1-a) (1-y) p^g log(1-p))",
            source="Lin et al. 2017",
            parameters=(
                _GAMMA,
                Parameter(
                    "alpha",
                    "number, list or none",
                    None,
                    low=0.0,
                    high=1.0,
                    choices=("inverse", "auto", "prevalence"),
                ),
            ),
            reads="class head",
            activation="sigmoid",
        ),
        LossRow(
            "multilabel_dice",
            "lossmith.losses.multilabel_dice:multilabel_dice",
            kind="separable",
            unit="example",
            needs=("logits", "labels"),
            low=0.0,
            high=1.0,
            formula="1 - (2 sum p y + s) / (sum p + sum y + s) over the labels of an example, or over examples",
            source="Milletari et al. 2016",
            parameters=(
                _smooth(1.0),
                Parameter("over", "str", "labels", choices=("labels", "examples"), batch="examples"),
            ),
            unit_of_value="1",
            reads="class head",
            activation="sigmoid",
        ),
        LossRow(
            "query_diversity",
            "lossmith.losses.query_diversity:query_diversity",
            kind="set",
            unit="example",
            needs=("queries",),
            low=0.0,
            high=2.0,
            formula="sum over ordered pairs of relu(cos(q_i, q_j) - t), divided by N(N-1)",
            source="orthogonality penalty on learnt queries",
            parameters=(Parameter("threshold", "float", 0.4, low=-1.0, high=1.0),),
            unit_of_value="1",
            reads="class head",
        ),
        LossRow(
            "squared_error",
            "lossmith.losses.squared_error:squared_error",
            kind="separable",
            unit="value",
            needs=("predictions", "targets", "present"),
            low=0.0,
            high=INFINITY,
            formula="(prediction - target)^2",
            source="as torch.nn.functional.mse_loss",
            unit_of_value="1",
            reads="regression head",
        ),
        LossRow(
            "huber",
            "lossmith.losses.huber:huber",
            kind="separable",
            unit="value",
            needs=("predictions", "targets", "present"),
            low=0.0,
            high=INFINITY,
            formula="d^2/2 where |d| <= delta, else delta (|d| - delta/2), d = prediction - target",
            source="Huber 1964",
            parameters=(Parameter("delta", "float", 1.0, low=1e-6),),
            unit_of_value="1",
            reads="regression head",
        ),
        LossRow(
            "log_quantity",
            "lossmith.losses.log_quantity:log_quantity",
            kind="separable",
            unit="value",
            needs=("predictions", "targets", "present"),
            low=0.0,
            high=INFINITY,
            formula="(prediction - log(1 + quantity))^2",
            source="mean squared logarithmic error",
            unit_of_value="1",
            reads="regression head",
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
