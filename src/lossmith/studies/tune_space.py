"""The space of a search: which keys it varies and between what, checked against the schema before the first trial."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lossmith.config.compose import GROUPS
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, InputError, nearest
from lossmith.studies.children import changed

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_KEYS = ("low", "high", "log", "step")
_EXPECTED = "{low, high}, with log: true or a step, or a list of choices"
# What these say is no question of a search; data.split would measure trials on different records.
_REFUSED = ("name", "runs_dir", "tune", "cv", "ablate", "tracking", "evaluate.split", "evaluate.require", "data.split")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both in it; whole numbers where all of them are."""

    key: str
    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))

    @property
    def tried(self) -> list[Any]:
        """The values that the schema judges: both ends."""
        return [self.low, self.high]

    @property
    def grid(self) -> list[Any] | None:
        """All values in order, None where there is no end of them."""
        step = self.step or (1 if self.is_whole else None)
        if step is None:
            return None
        return [self.low + number * step for number in range(round((self.high - self.low) / step) + 1)]

    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.is_whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    def value(self, drawn: Any) -> Any:
        """What the key is set to where Optuna drew this."""
        return drawn

    def drawn(self, value: Any) -> Any:
        """What Optuna draws for a value."""
        return value

    def told(self) -> dict[str, Any]:
        """As tune.space says it."""
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}


@dataclass(frozen=True)
class Choices:
    """Values to choose from; those that are no scalars stand for themselves as JSON."""

    key: str
    values: tuple[Any, ...]

    @property
    def tried(self) -> list[Any]:
        """The values that the schema judges: all."""
        return list(self.values)

    @property
    def grid(self) -> list[Any]:
        """All values in order."""
        return list(self.values)

    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([self.drawn(value) for value in self.values])

    def value(self, drawn: Any) -> Any:
        """What the key is set to where Optuna drew this."""
        return next(value for value in self.values if self.drawn(value) == drawn)

    def drawn(self, value: Any) -> Any:
        """What Optuna draws for a value."""
        return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value

    def told(self) -> list[Any]:
        """As tune.space says it."""
        return list(self.values)


Dimension = Range | Choices


def space_of(config: Config) -> list[Dimension]:
    """The dimensions of `tune.space`, each end and every choice checked by the schema.

    Keys may be dotted, or nested mappings. Raises ConfigError naming the key, with the nearest name for one that the
    configuration does not have.
    """
    dimensions = [_dimension(key, spec) for key, spec in _flat(config.tune.space)]
    if not dimensions:
        raise ConfigError(
            "tune.space is empty, so there is nothing to search",
            expected=f"key: {_EXPECTED}",
            fix="tune.space.train.learning_rate={low: 1e-5, high: 1e-3, log: true}",
        )
    for dimension in dimensions:
        _check(config, dimension)
    return dimensions


def grid_of(dimensions: list[Dimension], *, seed: int) -> list[dict[str, Any]]:
    """Every combination, in an order drawn by the seed, as Optuna draws them.

    Raises ConfigError where a range has no end of values.

    >>> sorted(point["a"] for point in grid_of([Range("a", 1, 3)], seed=0))
    [1, 2, 3]
    """
    endless = [dimension.key for dimension in dimensions if dimension.grid is None]
    if endless:
        raise ConfigError(
            f"a grid needs to know the values of {', '.join(endless)}",
            got="a range without a step",
            expected="a step, or a list of choices",
            fix="tune.sampler=tpe searches ranges",
        )
    values = [[dimension.drawn(value) for value in dimension.grid or ()] for dimension in dimensions]
    keys = [dimension.key for dimension in dimensions]
    points = [dict(zip(keys, point, strict=True)) for point in itertools.product(*values)]
    random.Random(seed).shuffle(points)
    return points


def _flat(space: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and what it ranges over; a mapping with none of a range's keys is a group of keys."""
    for key, spec in space.items():
        if isinstance(spec, Mapping) and spec and not set(spec) & {*_KEYS, "choices"}:
            yield from _flat(spec, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", spec


def _dimension(key: str, spec: Any) -> Dimension:
    if isinstance(spec, Mapping) and set(spec) == {"choices"}:
        spec = spec["choices"]
    if isinstance(spec, list):
        values = [json.dumps(value, sort_keys=True) for value in spec]
        if not spec or len(set(values)) < len(values):
            raise ConfigError(f"tune.space.{key} has no choices, or one of them twice", got=spec, expected=_EXPECTED)
        return Choices(key, tuple(spec))
    if not isinstance(spec, Mapping) or not {"low", "high"} <= set(spec):
        raise ConfigError(f"tune.space.{key} is no range and no list", got=spec, expected=_EXPECTED)
    if unknown := [name for name in spec if name not in _KEYS]:
        near = nearest(unknown[0], _KEYS)
        fix = f"did you mean '{near}'?" if near else None
        raise ConfigError(f"tune.space.{key} has an unknown key '{unknown[0]}'", got=spec, expected=_EXPECTED, fix=fix)
    numbers = [spec[name] for name in ("low", "high", "step") if spec.get(name) is not None]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
        raise ConfigError(f"tune.space.{key} is no range of numbers", got=spec, expected=_EXPECTED)
    found = Range(key, spec["low"], spec["high"], bool(spec.get("log", False)), spec.get("step"))
    if reason := _unfit(found):
        raise ConfigError(f"tune.space.{key}: {reason}", got=spec, expected=_EXPECTED)
    return found


def _unfit(found: Range) -> str | None:
    """Why a range is none, or None."""
    if found.low >= found.high:
        return "low must lie below high"
    if found.log and found.low <= 0:
        return "a logarithmic range begins above 0"
    if found.log and found.step is not None:
        return "a logarithmic range has no steps"
    if found.step is not None:
        steps = (found.high - found.low) / found.step
        if found.step <= 0 or abs(steps - round(steps)) > 1e-9 * max(1.0, abs(steps)):
            return "high must lie a number of steps above low"
    return None


def _check(config: Config, dimension: Dimension) -> None:
    """Judge a dimension's values, each by itself, as what the configuration would be with it."""
    from lossmith.train.preflight import check_names

    key = dimension.key
    refused = next((name for name in _REFUSED if key == name or key.startswith(f"{name}.")), None)
    if refused or key in GROUPS:
        raise ConfigError(
            f"tune.space.{key} cannot be searched",
            got=key,
            expected="keys that say how a model is trained or how it answers",
            fix=f"search {key}.base, or compare whole models with lossmith ablate" if key in GROUPS else None,
        )
    for value in dimension.tried:
        try:
            check_names(changed(config, {key: value}))
        except InputError as error:
            raise ConfigError(
                f"tune.space.{key}: {error.message}", got=error.got, expected=error.expected, fix=error.fix
            ) from None
