"""The score from which on a record is positive, chosen for a named aim."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lossmith.errors import ConfigError, nearest
from lossmith.labels import Classes
from lossmith.metrics.outcomes import FEW_POSITIVES
from lossmith.metrics.rates import MAXIMA, RATES

FALLBACK = 0.5
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*([0-9.eE+-]+)\s*")
# The sign that makes sense of a rate, and which of the thresholds that keep the bound is taken: the largest says no
# more often than it must, the smallest finds as many positives as it may.
_BOUNDED: Mapping[str, tuple[str, str]] = {
    "recall": (">", "largest"),
    "tpr": (">", "largest"),
    "fnr": ("<", "largest"),
    "fpr": ("<", "smallest"),
    "specificity": (">", "smallest"),
    "precision": (">", "smallest"),
    "selection_rate": ("<", "smallest"),
}
_EXPECTED = (
    f"{{max: METRIC}} with one of {', '.join(MAXIMA)}, or a bound on one of {', '.join(_BOUNDED)}, "
    'as {recall: ">= 0.95"} or {fpr: "<= 0.1"}'
)


@dataclass(frozen=True)
class Threshold:
    """A threshold, what it is for, and whether validation could give it; if not, it is .5 and `reason` says why."""

    value: float
    aim: str
    reached: bool = True
    reason: str | None = None


def choose_threshold(aim: Mapping[str, str], truth: np.ndarray, scores: np.ndarray) -> Threshold:
    """The threshold of an aim on validation records: positive when score >= value.

    `truth` (records,) is true for positives, `scores` (records,) are their scores, nan where a record failed: it is
    then wrong at every threshold. Candidates are the scores. `{max: METRIC}` takes the largest threshold that makes
    the metric as large as it gets, `{recall: ">= 0.95"}` the largest that reaches it, `{fpr: "<= 0.1"}` the smallest
    that keeps it. Raises ConfigError for an aim that can't be read.

    >>> choose_threshold({"recall": ">= 0.5"}, np.array([True, True, False]), np.array([0.9, 0.2, 0.4])).value
    0.9
    >>> choose_threshold({"max": "f1"}, np.array([False, False]), np.array([0.9, 0.2])).reason
    'validation has no positive record'
    """
    choose = _read(aim)
    told = ", ".join(f"{key}: {value}" for key, value in aim.items())
    truth = np.asarray(truth, dtype=bool)
    scores = np.asarray(scores, dtype=np.float64)
    if reason := _unusable(truth, scores):
        return Threshold(FALLBACK, told, reached=False, reason=reason)
    candidates, counts = _tables(truth, scores)
    place, reason = choose(counts)
    if place is None:
        return Threshold(FALLBACK, told, reached=False, reason=reason)
    return Threshold(float(candidates[place]), told)


def choose_thresholds(
    aim: Mapping[str, str], gold: np.ndarray, scores: np.ndarray, classes: Classes
) -> dict[str, Threshold]:
    """A threshold for each label, or for the positive class, of masks `gold` and scores (records, classes).

    Raises ConfigError where the classes have no threshold.
    """
    check_has_threshold(aim, classes)
    names = classes.names if classes.multi_label else (str(classes.positive),)
    places = {name: classes.index(name) for name in names}
    return {name: choose_threshold(aim, gold[:, place], scores[:, place]) for name, place in places.items()}


def choose_by_criterion(
    aim: Mapping[str, str], truth: np.ndarray, scores: np.ndarray, criteria: Sequence[str]
) -> dict[str, Threshold]:
    """A threshold for each criterion on its own validation records, in alphabetical order.

    One with fewer than 10 positives or negatives has none of its own (not `reached`): chance would set it.

    >>> found = choose_by_criterion({"max": "f1"}, np.arange(40) < 20, np.linspace(1, 0, 40), ["old"] * 39 + ["new"])
    >>> found["old"].value > 0.5, found["new"].reason
    (True, '0 positives and 1 negatives in validation, of at least 10 each')
    """
    named = np.array(criteria)
    found: dict[str, Threshold] = {}
    for criterion in sorted(set(criteria)):
        own = np.asarray(truth, dtype=bool)[named == criterion]
        found[criterion] = choose_threshold(aim, own, np.asarray(scores)[named == criterion])
        positives, negatives = int(own.sum()), int((~own).sum())
        if min(positives, negatives) < FEW_POSITIVES:
            few = f"{positives} positives and {negatives} negatives in validation, of at least {FEW_POSITIVES} each"
            found[criterion] = replace(found[criterion], reached=False, reason=few)
    return found


def check_has_threshold(aim: Mapping[str, str], classes: Classes) -> None:
    """Raise ConfigError for more than two classes that exclude each other: of them the likeliest is taken."""
    if not classes.multi_label and classes.positive is None:
        raise ConfigError(
            "a threshold with an aim is for two classes, or for labels that do not exclude each other",
            got=f"evaluate.threshold={dict(aim)} with {len(classes)} classes",
            expected="a number: of more than two classes the likeliest is taken",
            fix="evaluate.threshold=0.5",
        )


def check_aim(aim: Mapping[str, str]) -> None:
    """Judge an aim before there are scores.

    Raises ConfigError where it can't be read.
    """
    _read(aim)


Choice = Callable[[np.ndarray], tuple[int | None, str | None]]


def _read(aim: Mapping[str, str]) -> Choice:
    """A function from the tables (candidates, 4) of falling thresholds to a place, or the reason for none."""
    if len(aim) != 1:
        raise ConfigError("evaluate.threshold holds one aim", got=dict(aim), expected=_EXPECTED)
    (key, value), *_ = aim.items()
    if key == "max":
        return _maximum(str(value))
    if key not in _BOUNDED:
        near = nearest(key, ["max", *_BOUNDED])
        fix = f"write {{max: {key}}}" if key in MAXIMA else f"did you mean '{near}'?" if near else None
        raise ConfigError(f"evaluate.threshold can't be chosen for '{key}'", got=dict(aim), expected=_EXPECTED, fix=fix)
    return _bound(key, str(value))


def _maximum(name: str) -> Choice:
    if name not in MAXIMA:
        near = nearest(name, MAXIMA)
        raise ConfigError(
            f"evaluate.threshold can't make '{name}' largest",
            got=f"{{max: {name}}}",
            expected=_EXPECTED,
            fix=f"did you mean '{near}'?" if near else None,
        )

    def choose(counts: np.ndarray) -> tuple[int | None, str | None]:
        values = MAXIMA[name](counts)
        if np.isnan(values).all():
            return None, f"{name} is undefined at every validation score"
        best = np.nanmax(values)
        # Equal values that differ in the last bits are equal; the first is the largest threshold.
        return int(np.flatnonzero(values >= best - 1e-12)[0]), None

    return choose


def _bound(name: str, text: str) -> Choice:
    sign, which = _BOUNDED[name]
    found = _BOUND.fullmatch(text)
    try:
        number = float(found[2]) if found else float("nan")
    except ValueError:
        number = float("nan")
    if found is None or not 0 <= number <= 1 or found[1][0] != sign:
        raise ConfigError(
            f"evaluate.threshold can't be chosen for {name} '{text}'",
            got=f'{{{name}: "{text}"}}',
            expected=f'{{{name}: "{sign}= NUMBER"}} with a number of 0 to 1',
        )
    strict = "=" not in found[1]

    def choose(counts: np.ndarray) -> tuple[int | None, str | None]:
        values = RATES[name](counts)
        gain = values - number if sign == ">" else number - values
        # A rate that is the bound but for rounding keeps it; nan keeps nothing.
        kept = np.flatnonzero(gain > 1e-12 if strict else gain >= -1e-12)
        if not len(kept):
            best = np.nanmax(values) if sign == ">" else np.nanmin(values)
            return None, f"{name} {text.strip()} is reached at no validation score: the best is {best:.4g}"
        return int(kept[0] if which == "largest" else kept[-1]), None

    return choose


def _unusable(truth: np.ndarray, scores: np.ndarray) -> str | None:
    if truth.shape != scores.shape or truth.ndim != 1:
        raise ValueError(f"truth and scores have one entry a record, not {truth.shape} and {scores.shape}")
    if not len(truth):
        return "validation has no record"
    if np.isnan(scores).all():
        return "no validation record has a score"
    if not truth.any():
        return "validation has no positive record"
    if truth.all():
        return "validation has no negative record"
    return None


def _tables(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct scores from the largest down (candidates,), and the table of each as threshold (candidates, 4)."""
    scored = ~np.isnan(scores)
    order = np.argsort(-scores[scored], kind="stable")
    ranked, positive = scores[scored][order], truth[scored][order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = np.cumsum(positive)[last].astype(np.float64)
    # A record without a score is wrong: a positive that is missed, a negative that is taken for one.
    wrongly = last + 1 - found + np.sum(~truth & ~scored)
    missed, left = truth.sum() - found, (~truth).sum() - wrongly
    return ranked[last], np.stack([found, wrongly, missed, left], axis=1)
