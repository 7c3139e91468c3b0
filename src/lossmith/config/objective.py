"""Checks of the `objective` group against the table of losses, without loading torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lossmith.errors import ConfigError, nearest
from lossmith.names import LOSS_ALIASES, LOSSES, LossRow, Parameter, TaskRow, TaskWay, find_loss

TERM_KEYS = ("weight", "span", "loss", "weights_by", "group_step_size")
WEIGHTS_BY = ("group", "worst_group")
BY_TASK = "by_task"


@dataclass(frozen=True)
class WrittenTerm:
    """One term as an objective writes it, nothing of it checked.

    `name` is what history and report call it (`maths.focal` where it stands under by_task.maths), `where` its dotted
    path; `task` None for the terms beside by_task.
    """

    name: str
    task: str | None
    where: str
    loss: Any
    weight: Any
    span: Any
    parameters: Mapping[str, Any]
    weights_by: Any = None
    group_step_size: Any = None

    @property
    def is_own(self) -> bool:
        """Whether its loss is a function of the user's, module:function."""
        return ":" in str(self.loss)


def written_terms(objective: Mapping[str, Any]) -> list[WrittenTerm]:
    """Every term of an objective in the order it is written, those of by_task under their task's name.

    Raises ConfigError where by_task is no mapping of tasks to terms, or two terms have one name.

    >>> [term.name for term in written_terms({"focal": 1, "by_task": {"maths": {"cross_entropy": 0.6}}})]
    ['focal', 'maths.cross_entropy']
    """
    found = list(_written(objective))
    names = [term.name for term in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(
            f"two terms are named '{twice}'",
            got=twice,
            expected="a name for each term",
            fix="give one of them another name",
        )
    return found


def _written(objective: Mapping[str, Any]) -> Iterator[WrittenTerm]:
    for name, body in objective.items():
        if name != BY_TASK:
            yield _one(name, body, task=None)
            continue
        where, example = f"objective.{BY_TASK}", "{maths: {cross_entropy: 0.6, lovasz_softmax: 0.4}}"
        if not isinstance(body, Mapping) or not body:
            raise ConfigError(f"{where} names no task", got=repr(body), expected=f"terms for each task: {example}")
        for task, terms in body.items():
            if not isinstance(terms, Mapping) or not terms:
                known = task in LOSSES or task in LOSS_ALIASES
                raise ConfigError(
                    f"{where}.{task} holds no terms",
                    got=repr(terms),
                    expected=f"terms for each task: {example}",
                    fix=f"'{task}' is a loss: a task's name stands above it" if known else None,
                )
            for inner, one in terms.items():
                yield _one(inner, one, task=str(task))


def _one(name: str, body: Any, *, task: str | None) -> WrittenTerm:
    body = body if isinstance(body, Mapping) else {"weight": body}
    return WrittenTerm(
        name=name if task is None else f"{task}.{name}",
        task=task,
        where=f"objective.{name}" if task is None else f"objective.{BY_TASK}.{task}.{name}",
        loss=body.get("loss", name),
        weight=body.get("weight", 1.0),
        span=body.get("span"),
        parameters={key: value for key, value in body.items() if key not in TERM_KEYS},
        weights_by=body.get("weights_by"),
        group_step_size=body.get("group_step_size"),
    )


def check_objective(objective: Mapping[str, Any], task: TaskRow, method: str = "") -> None:
    """Raise ConfigError for an unknown loss or parameter, a wrong type, a value out of range.

    Also for a loss that reads what the task, carried out by this method, does not have, such as a class head.
    """
    if not objective:
        raise ConfigError(
            "the objective has no term",
            got="{}",
            expected="one term or more",
            fix="objective.cross_entropy=1",
        )
    terms = written_terms(objective)
    for term in terms:
        _check_term(term, task, task.way(method))
    for named in dict.fromkeys(term.task for term in terms):
        own = [term for term in terms if term.task == named]
        if not any(term.weight for term in own) and (named is not None or len(own) == len(terms)):
            of = "the objective" if named is None else f"the task '{named}'"
            raise ConfigError(
                f"every term of {of} has weight 0",
                got=", ".join(term.where for term in own),
                expected="a weight above 0",
            )


def _check_term(term: WrittenTerm, task: TaskRow, way: TaskWay) -> None:
    where, loss = term.where, term.loss
    if not isinstance(loss, str):
        raise ConfigError(f"{where}.loss is no name", got=repr(loss), expected="a loss, or module:function")
    if not term.is_own and loss not in LOSSES and loss not in LOSS_ALIASES:
        parent, _, key = where.rpartition(".")
        near = nearest(loss, [*LOSSES, *LOSS_ALIASES, *([BY_TASK] if term.task is None else [])])
        there = f"{parent}.{near}" if loss == key else f"{where}.loss={near}"
        raise ConfigError(
            f"unknown loss '{loss}' at {where}",
            got=loss,
            expected=", ".join(sorted(LOSSES)),
            fix=f"did you mean '{there}'?"
            if near
            else f"for a loss of your own write {where}={{loss: 'module:function', weight: ...}}",
        )
    weight = term.weight
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ConfigError(f"{where}.weight is no weight", got=repr(weight), expected="a number of 0 or more")
    _check_span(where, term.span)
    check_weights_by(term)
    if term.is_own:
        return
    row = find_loss(loss)
    if row.reads not in way.losses:
        read = "tokens" if row.reads == "tokens" else f"the outputs of a {row.reads}"
        raise ConfigError(
            f"{where} reads {read}, which the task '{task.name}' does not have",
            got=loss,
            expected="a loss that reads " + " or ".join(way.losses),
            fix="`lossmith list losses` says what each loss reads",
        )
    if row.reads != "tokens" and not set(way.gives).issuperset(row.needs):
        raise ConfigError(
            f"{where} reads {' and '.join(row.needs)}, which the task '{task.name}' does not give",
            got=loss,
            expected="a loss that reads " + " and ".join(way.gives),
            fix="`lossmith list losses` says what each loss reads",
        )
    if row.reads != "tokens" and term.span is not None:
        raise ConfigError(
            f"{where} reads the outputs of a {row.reads}, which have no spans",
            got=f"span: {term.span}",
            expected="no span",
            fix=f"~{where}.span",
        )
    if row.reads == "tokens" and row.span is None and term.span is None:
        raise ConfigError(f"{where} needs a span", got="none", expected="the span it reads", fix=f"{where}.span=NAME")
    for key, value in term.parameters.items():
        _check_parameter(where, row, key, value)
    if term.weights_by is not None:
        together = any(p.batch is not None and term.parameters.get(p.name) == p.batch for p in row.parameters)
        require_examples(term, weighable=row.reads == "class head" and row.kind == "separable" and not together)


def check_weights_by(term: WrittenTerm) -> None:
    """Raise ConfigError for a rule or a step size that is none."""
    rule, step = term.weights_by, term.group_step_size
    if rule is not None and rule not in WEIGHTS_BY:
        near = nearest(str(rule), WEIGHTS_BY)
        raise ConfigError(
            f"{term.where}.weights_by is no rule",
            got=repr(rule),
            expected=" or ".join(WEIGHTS_BY),
            fix=f"did you mean '{near}'?" if near else None,
        )
    if step is None:
        return
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step < float("inf"):
        raise ConfigError(f"{term.where}.group_step_size is no step size", got=repr(step), expected="a number above 0")
    if rule != "worst_group":
        raise ConfigError(
            f"{term.where}.group_step_size is the step of group DRO alone",
            got=f"weights_by: {rule}",
            expected="weights_by: worst_group beside it",
        )


def require_examples(term: WrittenTerm, *, weighable: bool) -> None:
    """Raise ConfigError where a term with weights_by has no value for each example of a class head."""
    if weighable:
        return
    raise ConfigError(
        f"{term.where} cannot weigh examples by their group",
        got=f"weights_by: {term.weights_by} on {term.loss}",
        expected="a loss that reads a class head and has a value for each example",
        fix=f"~{term.where}.weights_by, or a loss such as class_cross_entropy or binary_cross_entropy",
    )


def _check_span(where: str, span: Any) -> None:
    names = [span] if isinstance(span, str) else span
    if span is not None and (
        not isinstance(names, list) or not names or not all(isinstance(n, str) and n.strip("-") for n in names)
    ):
        raise ConfigError(f"{where}.span is no span", got=repr(span), expected="a name or a list of names")


def _check_parameter(where: str, row: LossRow, key: str, value: Any) -> None:
    known = {p.name: p for p in row.parameters}
    if key not in known:
        names = [*TERM_KEYS, *known]
        near = nearest(key, names)
        raise ConfigError(
            f"unknown key '{key}' at {where}",
            got=key,
            expected=", ".join(names),
            fix=f"did you mean '{where}.{near}'?" if near else None,
        )
    parameter = known[key]
    if not accepts(parameter, value):
        raise ConfigError(f"{where}.{key} is out of range", got=repr(value), expected=in_words(parameter))


def accepts(parameter: Parameter, value: Any) -> bool:
    """Whether a value has the parameter's type and lies in its range.

    >>> accepts(Parameter("gamma", "float", 2.0, low=0.0), -1)
    False
    """
    if value is None:
        return parameter.type.endswith("none")
    if isinstance(value, str):
        return value in parameter.choices if parameter.choices else parameter.type == "str"
    if isinstance(value, list | tuple):
        return "list" in parameter.type and len(value) > 0 and all(_is_number_within(parameter, each) for each in value)
    if isinstance(value, bool) or parameter.type == "bool":
        return isinstance(value, bool) and parameter.type == "bool"
    if parameter.type in ("str", "list or none"):
        return False
    return _is_number_within(parameter, value)


def _is_number_within(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if parameter.type.startswith("int") and not isinstance(value, int):
        return False
    return parameter.low <= value <= parameter.high


def in_words(parameter: Parameter) -> str:
    """Type and range of a parameter as a phrase.

    >>> in_words(Parameter("gamma", "float", 2.0, low=0.0))
    'float of at least 0.0 (default 2.0)'
    """
    names = " | ".join(parameter.choices)
    text = names if names and parameter.type == "str" else parameter.type
    if "list" in parameter.type:
        text += ", each"
    if parameter.low > -float("inf") and parameter.high < float("inf"):
        text += f" from {parameter.low} to {parameter.high}"
    elif parameter.low > -float("inf"):
        text += f" of at least {parameter.low}"
    if names and parameter.type != "str":
        text += f", or {names}"
    return f"{text} (default {parameter.default})"
