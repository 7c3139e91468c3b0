"""How records of a classification are labelled: from which columns, by which names, in which words."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossmith.config.schema import Config
from lossmith.data.columns import MISSING, as_text, lookup
from lossmith.data.rejection import RecordError
from lossmith.errors import ConfigError, DataError, nearest, unknown_name
from lossmith.labels import CRITERION, Classes

Label = str | tuple[int, ...]

# What a template may read of a label; the words of all classes, in their order, stand beside it.
NAME, WORD, WORDS = "label", "label_word", "label_words"
JOINT = ", "
MOST_CLASSES = 1000
POSITIVE_NAMES = ("true", "1", "yes", "positive")
_FLAGS: Mapping[str, int] = {"true": 1, "1": 1, "yes": 1, "false": 0, "0": 0, "no": 0}


@dataclass(frozen=True)
class Labelling:
    """Columns, names and words of the labels of a run.

    `columns` are one, or the 0/1 columns of labels that do not exclude each other (`multi_label`), in the order of the
    classes; of `data.pairs` they are those of the criteria, of which each record answers one by 0 or 1. `declared` are
    the names of `task.classes`, `positive` is `task.positive`, `words` are what answers a class where that is not its
    name. `found` are the classes in their order, once they are known.
    """

    columns: tuple[str, ...]
    multi_label: bool = False
    declared: tuple[str, ...] | None = None
    positive: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    found: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Config) -> Labelling | None:
        """The labelling of a classification, None for other tasks.

        Raises ConfigError where names contradict each other.
        """
        task, label = config.task, config.data.label
        if not config.classifies:
            return None
        if config.data.pairs:
            label = list(config.data.pairs)
        if not label:
            raise ConfigError(
                "a classification needs the label of each record",
                got="data.label is null",
                expected="the column that holds it, or the 0/1 columns of labels that do not exclude each other",
                fix="data.label=COLUMN",
            )
        multi_label = isinstance(label, list) and not config.data.pairs
        columns = tuple(label) if isinstance(label, list) else (label,)
        declared = tuple(task.classes) if task.classes is not None else None
        _check_names(columns if multi_label else declared, where="data.label" if multi_label else "task.classes")
        if multi_label and declared is not None:
            if sorted(declared) != sorted(columns):
                raise ConfigError(
                    "task.classes and data.label name other labels",
                    got=", ".join(declared),
                    expected=f"the columns of data.label in any order: {', '.join(columns)}",
                    fix="leave out task.classes: the columns name the labels",
                )
            columns = declared
        if not multi_label and declared is not None and len(declared) < 2:
            raise ConfigError("task.classes names fewer than two classes", got=", ".join(declared) or "nothing")
        found = cls(columns, multi_label, declared, task.positive, dict(task.label_words))
        if found.known is not None:
            found.check_known(found.known)
        _check_own_fields(config.data.fields, columns)
        return found

    @property
    def known(self) -> tuple[str, ...] | None:
        """The classes where they do not wait for the data."""
        return self.columns if self.multi_label else self.declared

    def read(self, values: Mapping[str, Any], *, criterion: str | None = None) -> Label:
        """The label of a row: a class's name, or a 0 or 1 for each label; in a pair "0" or "1", of its criterion.

        Raises RecordError where it is missing, no label, or none of the declared classes.
        """
        if self.multi_label:
            return tuple(read_flag(_cell(values, column), column) for column in self.columns)
        if criterion is not None:
            return self._declared(str(read_flag(_cell(values, criterion), criterion)))
        (column,) = self.columns
        cell = _cell(values, column)
        if isinstance(cell, (list, dict)):
            raise RecordError(f"bad label: column '{column}' holds a {type(cell).__name__}, no class")
        name = as_text(cell)
        if name is None or (isinstance(cell, float) and math.isnan(cell)):
            raise RecordError(f"missing label: column '{column}' is empty")
        return self._declared(name)

    def _declared(self, name: str) -> str:
        if self.declared is not None and name not in self.declared:
            near = nearest(name, self.declared)
            raise RecordError(
                f"unknown label: {name!r} is no class of task.classes",
                expected=", ".join(self.declared),
                fix=f"did you mean '{near}'?" if near else None,
            )
        return name

    def names(self, label: Label) -> tuple[str, ...]:
        """The classes that a label says hold."""
        if isinstance(label, str):
            return (label,)
        return tuple(name for name, holds in zip(self.columns, label, strict=True) if holds)

    def fields(self, label: Label) -> dict[str, Any]:
        """What a template may read of a label: its name, the words that answer it, and those of all classes.

        >>> Labelling(("y",), words={"1": "included"}, found=("0", "1")).fields("1")
        {'label': '1', 'label_word': 'included', 'label_words': ['0', 'included']}
        """
        names = self.names(label)
        spoken = {name: self.words.get(name, name) for name in (*self.found, *names)}
        return {
            NAME: JOINT.join(names),
            WORD: JOINT.join(spoken[name] for name in names),
            WORDS: [spoken[name] for name in self.found],
        }

    def check_number(self, found: int) -> None:
        """Raise DataError where a column holds so many different values that they are no classes."""
        if self.known is None and found > MOST_CLASSES:
            raise DataError(
                f"the label column has more than {MOST_CLASSES} different values",
                got=self.columns[0],
                expected="a column of classes",
                fix="look at data.label, or declare the classes: task.classes=[...]",
            )

    def class_names(self, found: Iterable[Label]) -> tuple[str, ...]:
        """The classes in their order: as declared, or those of the data, numbers by value before text.

        Raises DataError where the data have one class, or names of the configuration are none of its classes.
        """
        if self.known is not None:
            return self.known
        names = tuple(sorted({name for label in found for name in self.names(label)}, key=_by_value))
        if len(names) < 2:
            raise DataError(
                "all records have the same label, so there is nothing to tell apart",
                got=", ".join(names) or "no label",
                expected="two classes",
                fix="look at data.label, or declare task.classes=[...]",
            )
        self.check_known(names)
        return names

    def check_known(self, names: Sequence[str]) -> None:
        """Raise ConfigError where task.positive or task.label_words name no class, or words answer two."""
        for name in self.words:
            if name not in names:
                raise unknown_name("class", name, names, where="task.label_words")
        spoken = [self.words.get(name, name) for name in names]
        if twice := next((word for word in spoken if spoken.count(word) > 1), None):
            raise ConfigError("two classes have the same words", got=twice, expected="words of its own for each class")
        if self.positive is None:
            return
        if self.multi_label or len(names) != 2:
            raise ConfigError(
                "task.positive is about two classes that exclude each other",
                got=f"{self.positive}, with the {'labels' if self.multi_label else 'classes'} {', '.join(names)}",
                expected="no task.positive here: figures are reported by class",
            )
        if self.positive not in names:
            raise unknown_name("class", self.positive, names, where="task.positive")

    def classes(
        self, names: Sequence[str], counts: Mapping[str, Sequence[int]], examples: Mapping[str, int]
    ) -> Classes:
        """What everybody agrees on; `counts` holds for each split the records of each class."""
        return Classes(
            names=tuple(names),
            positive=None if self.multi_label else _positive(names, self.positive, counts["train"]),
            multi_label=self.multi_label,
            declared=self.declared is not None,
            counts={split: tuple(found) for split, found in counts.items()},
            examples=dict(examples),
        )


def check_label_unread(labelling: Labelling, fields: Mapping[str, str], prompt_variables: Collection[str]) -> None:
    """Refuse a template whose input holds the label that is to be found.

    Raises ConfigError naming the variable.
    """
    for name in sorted(prompt_variables):
        if name in (NAME, WORD) or fields.get(name, name) in labelling.columns:
            raise ConfigError(
                f"the text that the label is found from reads '{name}', which is the label",
                got=f"{{{{ {name} }}}} in data.template",
                expected="the label in the answer alone, or nowhere",
                fix=f"take {{{{ {name} }}}} out of data.template, or give the field another name",
            )


def check_criterion_read(pairs: Mapping[str, str], prompt_variables: Collection[str]) -> None:
    """Refuse a template to which all criteria of a document look alike; raises ConfigError."""
    if pairs and CRITERION not in prompt_variables:
        raise ConfigError(
            "data.pairs makes a record for each criterion, and data.template does not read which",
            got=f"a template of {', '.join(sorted(prompt_variables)) or 'no field'}",
            expected=f"{{{{ {CRITERION} }}}}, the text of the record's criterion",
            fix=f"data.template.pair='{{{{ {CRITERION} }}}}'",
        )


def _check_names(names: Sequence[str] | None, *, where: str) -> None:
    for name in names or ():
        if not name.strip():
            raise ConfigError(f"{where} holds an empty name", got=repr(name))
        if list(names or ()).count(name) > 1:
            raise ConfigError(f"{where} names '{name}' twice", got=name, expected="each name once")


def _check_own_fields(fields: Mapping[str, str], columns: Sequence[str]) -> None:
    for name in (NAME, WORD, WORDS):
        if name in fields and fields[name] not in columns:
            raise ConfigError(
                f"the template name '{name}' is the record's class, from data.label",
                got=f"data.fields.{name}={fields[name]}",
                expected=f"{name} for the class alone",
                fix=f"give the column '{fields[name]}' another name in data.fields",
            )


def _cell(values: Mapping[str, Any], column: str) -> Any:
    cell = lookup(values, column)
    if cell is MISSING:
        raise RecordError(f"missing column: '{column}'")
    return cell


def is_flag(cell: Any) -> bool:
    """Whether a cell is a 0 or a 1, in one of their ways of writing."""
    return not isinstance(cell, list | dict) and str(as_text(cell)).lower() in _FLAGS


def read_flag(cell: Any, column: str) -> int:
    """The 0 or 1 of a cell.

    Raises RecordError, naming the column, where it is empty or holds something else.
    """
    text = None if isinstance(cell, (list, dict)) else as_text(cell)
    if text is None and not isinstance(cell, (list, dict)):
        raise RecordError(f"missing label: column '{column}' is empty")
    flag = _FLAGS.get(str(text).lower())
    if flag is None:
        raise RecordError(f"bad label: column '{column}' holds {str(cell)[:40]!r}, neither 0 nor 1")
    return flag


def _positive(names: Sequence[str], given: str | None, training: Sequence[int]) -> str | None:
    """The class that binary figures are about: the given one, one called so, or the rarer in training."""
    if len(names) != 2 or given is not None:
        return given
    called = [name for name in names if name.lower() in POSITIVE_NAMES]
    if len(called) == 1:
        return called[0]
    return names[0] if training[0] < training[1] else names[1]


def _by_value(name: str) -> tuple[int, float, str]:
    try:
        number = float(name)
    except ValueError:
        return (1, 0.0, name)
    return (1, 0.0, name) if math.isnan(number) else (0, number, name)
