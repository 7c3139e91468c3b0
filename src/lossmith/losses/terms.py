"""The terms of an objective: names, weights and parameters checked against the table of losses."""

from __future__ import annotations

import inspect
import math
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from lossmith.config.objective import (
    TERM_KEYS,
    WrittenTerm,
    accepts,
    check_weights_by,
    in_words,
    require_examples,
    written_terms,
)
from lossmith.errors import InputError, nearest
from lossmith.losses.groups import GroupWeights, WeightsBy
from lossmith.losses.statistics import HEAD_STATISTICS, POSITION_STATISTICS, SET_STATISTICS, Statistics
from lossmith.names import SCOPE, LossRow, Parameter, Reads, Unit, find_loss, load_attribute

# Parameters that say over what the statistics are taken; they shape what the formula reads and never reach it.
TOP_K = Parameter("top_k", "int or none", None, low=1)
STATISTIC_PARAMETERS = (SCOPE, TOP_K)
GROUP_STEP_SIZE = 0.01  # Sagawa et al. 2019


@dataclass(frozen=True)
class Term:
    """One loss with its weight, the spans it reads and all its parameters.

    `unit` is what its denominator counts: token (positions), example (examples, with positions where it reads
    tokens), set (one for each call, for a set loss with scope batch), or what the function's own `count` adds up:
    weight (weights of the examples), value (present values). A term that reads the outputs of a head has no span.
    Of its spans it reads the positions of `task` alone, where it stands under by_task, and those of no task in
    `other_than`, where it stands beside. `weights_by` weighs examples by their group; `groups` are these weights, None
    before they are counted on the training split.
    """

    name: str
    weight: float
    span: tuple[str, ...]
    loss: str
    function: Callable[..., Tensor]
    params: Mapping[str, Any]
    kind: Literal["separable", "set"]
    unit: Unit
    needs: tuple[str, ...]
    selects_checkpoints: bool = True
    reads: Reads = "tokens"
    task: str | None = None
    other_than: tuple[str, ...] = ()
    weights_by: WeightsBy | None = None
    group_step_size: float = GROUP_STEP_SIZE
    groups: GroupWeights | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """What its sums and counts are called: its name, or one for each group and, last, those without a group."""
        if self.groups is None:
            return (self.name,)
        return tuple(f"{self.name}#{place}" for place in range(len(self.groups.names) + 1))

    @property
    def scope(self) -> str | None:
        """Over what a set loss looks at once: sequence or batch; None for a separable loss and one of parameters."""
        if self.unit == "set":
            return "batch"
        return "sequence" if self.kind == "set" and self.reads == "tokens" else None

    @property
    def top_k(self) -> int | None:
        """How many of the likeliest words an expected embedding is taken over; None for all."""
        return self.params.get("top_k")

    @property
    def formula_parameters(self) -> dict[str, Any]:
        """The parameters that the function itself takes."""
        shaping = {parameter.name for parameter in STATISTIC_PARAMETERS}
        return {name: value for name, value in self.params.items() if name not in shaping}

    def values(self, stats: Statistics, *, shape: tuple[int, ...], of: str) -> Tensor:
        """What the function gives for these statistics: one for each `of`, in all (*shape).

        Raises InputError where a function of the user's own fails, and for another shape or whole numbers.
        """
        try:
            values = self.function(stats, **self.formula_parameters)
        except Exception as error:
            if isinstance(error, InputError) or ":" not in self.loss:
                raise
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise InputError(
                f"the loss '{self.loss}' failed: {type(error).__name__}: {error}",
                got=f"{last.filename} line {last.lineno}: {last.line}",
                expected=f"{shape}, one value for {of}",
                fix="`lossmith list losses --check` tries a loss on a few made-up positions",
            ) from error
        if not isinstance(values, Tensor) or values.shape != shape or not values.is_floating_point():
            found = f"{tuple(values.shape)} of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
            raise InputError(
                f"the loss '{self.loss}' returned something else than a {self.kind} loss must",
                got=found,
                expected=f"{shape} of floating point, one value for {of}",
            )
        return values


def read_terms(terms: Mapping[str, float | int | Mapping[str, Any]]) -> tuple[Term, ...]:
    """The terms of non-zero weight, checked.

    Raises InputError for an unknown loss or parameter, a value out of range, a negative weight, a missing span, and
    where no term is left. A term of weight 0 is left out with a warning.
    """
    if not isinstance(terms, Mapping):
        raise InputError("an objective is a mapping of terms", got=repr(terms), expected="{loss: weight}")
    written = written_terms(terms)
    named = tuple(dict.fromkeys(term.task for term in written if term.task is not None))
    read = [
        replace(_read_term(term), task=term.task, other_than=named if term.task is None else ()) for term in written
    ]
    for term in read:
        if term.weight == 0:
            warnings.warn(f"the term '{term.name}' has weight 0 and is left out", UserWarning, stacklevel=3)
    kept = tuple(term for term in read if term.weight > 0)
    if not kept:
        raise InputError(
            "the objective has no term of non-zero weight",
            got=dict(terms),
            expected="one term or more with a weight above 0",
            fix="for instance {'cross_entropy': 1.0}",
        )
    return kept


def _read_term(written: WrittenTerm) -> Term:
    name, loss, span, parameters = written.name, written.loss, written.span, written.parameters
    weight = _weight(name, written.weight)
    if not isinstance(loss, str):
        raise InputError(f"the loss of the term '{name}' is no name", got=repr(loss), expected="a string")
    if ":" in loss:
        return _weighed(_own_term(name, loss, parameters, weight=weight, span=span), written)
    row = find_loss(loss)
    params = _checked_parameters(name, row.parameters, parameters)
    function = row.load()
    together = any(parameter.batch == params[parameter.name] is not None for parameter in row.parameters)
    term = Term(
        name=name,
        weight=weight,
        span=_span(name, span, row.span, reads=row.reads),
        loss=row.name,
        function=function,
        params=params,
        kind="set" if together else row.kind,
        unit="set" if together else row.unit,
        needs=_needs(function, params, row=row),
        selects_checkpoints=row.selects_checkpoints,
        reads=row.reads,
    )
    return _weighed(term, written)


def _weighed(term: Term, written: WrittenTerm) -> Term:
    """The term with its examples weighed by group, where it is written so."""
    check_weights_by(written)
    if written.weights_by is None:
        return term
    require_examples(written, weighable=term.reads == "class head" and term.kind == "separable")
    return replace(
        term,
        weights_by=written.weights_by,
        group_step_size=float(written.group_step_size or GROUP_STEP_SIZE),
        # The examples of a window weigh as if each were there so many times.
        unit="weight" if written.weights_by == "group" else term.unit,
    )


def _needs(function: Callable[..., Tensor], params: Mapping[str, Any], *, row: LossRow) -> tuple[str, ...]:
    """What the function reads with these parameters; never more than its row says."""
    needs = getattr(function, "needs", row.needs)
    return tuple(needs(**params)) if callable(needs) else tuple(needs)


def _own_term(name: str, path: str, parameters: Mapping[str, Any], *, weight: float, span: Any) -> Term:
    """A term whose loss is a function of the user's own, module:function."""
    function = load_attribute(path, what="loss")
    kind, asked, reads = _own_facts(path, function)
    own = list(inspect.signature(function).parameters.values())
    takes = {p.name: p.default for p in own[1:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    anything = any(p.kind is p.VAR_KEYWORD for p in own)
    of_a_set = (SCOPE, TOP_K) if "expected_embedding" in asked else (SCOPE,)
    shaping = of_a_set if kind == "set" and reads == "tokens" else ()
    shape = _checked_parameters(
        name, shaping, {key: value for key, value in parameters.items() if key in {p.name for p in shaping}}
    )
    given = {key: value for key, value in parameters.items() if key not in shape}
    for key in given:
        if not anything and key not in takes:
            raise _unknown_parameter(name, key, [*takes, *shape])
    if missing := [key for key, default in takes.items() if default is inspect.Parameter.empty and key not in given]:
        raise InputError(f"the term '{name}' lacks parameters", got=sorted(given), expected=", ".join(missing))
    defaults = {key: default for key, default in takes.items() if key not in given}
    unit: Unit = "token" if kind == "separable" and reads == "tokens" else "example"
    if reads != "tokens" and hasattr(function, "count"):
        unit = "weight"
    return Term(
        name=name,
        weight=weight,
        span=_span(name, span, "answer", reads=reads),
        loss=path,
        function=function,
        params={**defaults, **given, **shape},
        kind=kind,
        unit="set" if shape.get("scope") == "batch" else unit,
        needs=asked,
        reads=reads,
    )


def _own_facts(path: str, function: Any) -> tuple[Literal["separable", "set"], tuple[str, ...], Reads]:
    """Kind, needs and what is read, as the function says by its attributes."""
    kind, needs = getattr(function, "kind", None), getattr(function, "needs", None)
    if not callable(function) or kind not in ("separable", "set"):
        raise InputError(
            f"the loss '{path}' does not say what kind it is",
            got=f"kind = {kind!r}",
            expected="a function with the attribute kind = 'separable' or 'set'",
            fix=f"after its definition: {path.partition(':')[2]}.kind = 'separable'",
        )
    asked = (needs,) if isinstance(needs, str) else tuple(needs or ())
    if not asked:
        raise InputError(
            f"the loss '{path}' does not say which statistics it reads",
            got=f"needs = {needs!r}",
            expected="; or ".join(
                ", ".join(held) for held in (POSITION_STATISTICS, SET_STATISTICS, *HEAD_STATISTICS.values())
            ),
            fix=f"after its definition: {path.partition(':')[2]}.needs = ('label_log_prob',)",
        )
    reads: Reads = next((head for head, held in HEAD_STATISTICS.items() if held.keys() >= {*asked}), "tokens")
    tokens = [*POSITION_STATISTICS, *(SET_STATISTICS if kind == "set" else ())]
    known = {"tokens": tokens, **HEAD_STATISTICS}[reads]
    if wrong := next((need for need in asked if need not in known), None):
        near = nearest(wrong, [*tokens, *(name for held in HEAD_STATISTICS.values() for name in held)])
        raise InputError(
            f"the loss '{path}' asks for statistics that do not exist for a {kind} loss",
            got=f"needs = {needs!r}",
            expected="; or ".join(", ".join(names) for names in (tokens, *HEAD_STATISTICS.values())),
            fix=f"did you mean '{near}'?" if near else None,
        )
    return kind, asked, reads


def _weight(name: str, weight: Any) -> float:
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight) or weight < 0:
        raise InputError(
            f"the weight of the term '{name}' is no weight", got=repr(weight), expected="a number of 0 or more"
        )
    return float(weight)


def _span(name: str, span: Any, default: str | None, *, reads: Reads) -> tuple[str, ...]:
    if reads != "tokens":
        if span is None:
            return ()
        raise InputError(
            f"the term '{name}' reads the outputs of a {reads}, which have no spans",
            got=f"span: {span}",
            expected="no span",
        )
    if span is None and default is None:
        raise InputError(
            f"the term '{name}' needs a span, since on the whole answer it would unlearn the answer",
            got="none",
            expected="the name of a span",
            fix=f"{{'{name}': {{'weight': ..., 'span': 'NAME'}}}}",
        )
    spans = (span,) if isinstance(span, str) else (default,) if span is None else span
    wrong = not isinstance(spans, list | tuple) or not spans
    if wrong or not all(isinstance(each, str) and each.strip("-") for each in spans):
        raise InputError(
            f"the span of the term '{name}' is no span", got=repr(span), expected="a name or a list of names"
        )
    return tuple(spans)


def _checked_parameters(name: str, known: tuple[Parameter, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    rows = {parameter.name: parameter for parameter in known}
    for key, value in given.items():
        if key not in rows:
            raise _unknown_parameter(name, key, list(rows))
        if not accepts(rows[key], value):
            raise InputError(
                f"'{key}' of the term '{name}' is out of range", got=repr(value), expected=in_words(rows[key])
            )
    return {parameter.name: given.get(parameter.name, parameter.default) for parameter in known}


def _unknown_parameter(name: str, key: str, known: list[str]) -> InputError:
    near = nearest(key, [*TERM_KEYS, *known])
    return InputError(
        f"unknown parameter '{key}' of the term '{name}'",
        got=key,
        expected=", ".join([*TERM_KEYS, *known]),
        fix=f"did you mean '{near}'?" if near else None,
    )
