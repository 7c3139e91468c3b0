"""One plain-data row per loss, metric and task. Functions are looked up when a row is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.errors import InputError, nearest, unknown_name

INFINITY = float("inf")


@dataclass(frozen=True)
class Parameter:
    """A keyword of a loss or metric: its type in words, default and closed range."""

    name: str
    type: Literal["float", "int", "bool", "str", "number or none", "int or none"]
    default: float | int | bool | str | None
    low: float = -INFINITY
    high: float = INFINITY
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossRow:
    """What is known of a loss before torch is loaded.

    `kind` is separable (a sum over positions) or set (looks at many positions together); `unit` is what its
    denominator counts; `span` is its default span, None where it must be given.
    """

    name: str
    function: str
    kind: Literal["separable", "set"]
    unit: Literal["token", "example", "set"]
    needs: tuple[str, ...]
    low: float
    high: float
    formula: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    span: str | None = "answer"
    unit_of_value: str = "nats"
    selects_checkpoints: bool = True

    def load(self) -> Callable[..., Any]:
        """The function itself; imports torch."""
        return load_attribute(self.function, what="loss")


@dataclass(frozen=True)
class MetricRow:
    """What is known of a metric: `columns` of the predictions file are its positional arguments, in order."""

    name: str
    function: str
    direction: Literal["up", "down"]
    low: float
    high: float
    columns: tuple[str, ...]
    undefined: str
    about: str
    interval: Literal["wilson", "bootstrap"] = "bootstrap"
    parameters: tuple[Parameter, ...] = ()

    def load(self) -> Callable[..., Any]:
        """The function itself."""
        return load_attribute(self.function, what="metric")


@dataclass(frozen=True)
class TaskRow:
    """What is known of a task: the module that carries it out and the kind of losses it reads."""

    name: str
    module: str
    about: str
    losses: Literal["token", "class"] = "token"


def load_attribute(path: str, *, what: str) -> Any:
    """The object that `module:attribute` names.

    Raises InputError, naming what is missing and the nearest name the module has.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise InputError(
            f"a {what} of your own is written module:attribute", got=path, expected="my_package.my_module:name"
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"the module of the {what} '{path}' could not be imported: {error}",
            got=module_name,
            expected="a module that Python can import from here",
            fix="install it, or set PYTHONPATH to the folder that holds it",
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        near = nearest(attribute, dir(module))
        raise InputError(
            f"module '{module_name}' has no '{attribute}'",
            got=path,
            expected=f"an attribute of {module_name}",
            fix=f"did you mean '{module_name}:{near}'?" if near else None,
        ) from error


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
                Parameter("tolerance", "number or none", None, low=0.0),
            ),
            unit_of_value="1",
        ),
    )
}

LOSS_ALIASES: Mapping[str, str] = {"topological": "sinkhorn"}


def _text(name: str, module: str, direction: Literal["up", "down"], about: str, **facts: Any) -> MetricRow:
    facts.setdefault("high", 1.0)
    facts.setdefault("undefined", "no records")
    return MetricRow(
        name,
        f"lossmith.metrics.{module}:{name}",
        direction,
        low=0.0,
        columns=("prediction", "target"),
        about=about,
        **facts,
    )


METRICS: Mapping[str, MetricRow] = {}

TASKS: Mapping[str, TaskRow] = {
    row.name: row
    for row in (TaskRow("causal", "lossmith.tasks.causal", "continue a prompt with a decoder-only model"),)
}


def find_loss(name: str) -> LossRow:
    """The row of a loss by name or alias; a misspelt name raises with the nearest one.

    >>> find_loss("topological").name
    'sinkhorn'
    """
    try:
        return LOSSES[LOSS_ALIASES.get(name, name)]
    except KeyError:
        raise unknown_name("loss", name, [*LOSSES, *LOSS_ALIASES]) from None
