"""Questions rendered as the records of a run: its fields, its text steps, its template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lossmith.chat.asking import Question
from lossmith.config.schema import Config
from lossmith.data.columns import parse_cell
from lossmith.data.labelling import Labelling
from lossmith.data.normalize import normalize, steps_of
from lossmith.data.prepare import template_of
from lossmith.data.records import Record
from lossmith.data.template import Template
from lossmith.data.template_form import OwnMessages, PlainText
from lossmith.data.writing import AnyTemplate
from lossmith.errors import InputError, unknown_name
from lossmith.labels import CRITERION

TEXT = "text"


@dataclass(frozen=True)
class StoredTemplate:
    """The template of a run's configuration, and how what is typed becomes the values that it reads.

    `labelling` is that of a classification, with its classes.
    """

    config: Config
    template: AnyTemplate
    labelling: Labelling | None = None

    @classmethod
    def of(cls, config: Config, *, apart: bool, classes: tuple[str, ...] = ()) -> StoredTemplate:
        """That of a configuration; with `apart` an encoder reads prompts and a decoder writes answers."""
        labelling = Labelling.of(config)
        if labelling is not None:
            labelling = replace(labelling, found=classes)
        return cls(config, template_of(config, apart=apart), labelling)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names that are asked for, in the order in which the template reads them; one where any text will do."""
        if isinstance(self.template, Template) and isinstance(self.template.form, OwnMessages | PlainText):
            return (TEXT,)
        spoken = set(self.labelling.fields(self._any_label)) if self.labelling else set()
        read = self.template.prompt_variables - spoken
        parts = self.template.form.parts if isinstance(self.template, Template) else self.template.parts
        text = "".join(part.text for part in parts)
        return tuple(sorted(read, key=lambda name: (_first_read(name, text), name)))

    @property
    def _any_label(self) -> Any:
        """A label as good as any other: a question has none."""
        assert self.labelling is not None, "a classification has labels"
        if self.labelling.multi_label:
            return tuple(0 for _ in self.labelling.columns)
        return self.labelling.found[0]

    def record(self, question: Question) -> Record:
        """The record that a question makes; one without an answer of its own has a label like any other.

        Raises InputError for a field that the template does not read.
        """
        for name in question.fields:
            if name not in self.fields:
                raise unknown_name("field", name, self.fields)
        values = {name: self._value(name, value) for name, value in question.fields.items()}
        values = dict(normalize(values, steps_of(self.config.data.normalize)))
        label = None
        if self.labelling is not None:
            label = self._any_label
            values |= self.labelling.fields(label)
        return Record("typed", values, label=label)

    def criterion(self, question: Question) -> str | None:
        """The name of the criterion that a question is judged by, where it is one of the run's."""
        given = question.fields.get(CRITERION)
        for name, text in self.config.data.pairs.items():
            if given in (name, text):
                return name
        return None

    def notes(self, question: Question) -> tuple[str, ...]:
        """What is to be said of a question: a criterion that may be a misspelt name is read as a text of its own."""
        names = self.config.data.pairs
        if CRITERION not in question.fields or not names or self.criterion(question) is not None:
            return ()
        return (f"the criterion is none of this run's ({', '.join(names)}), and is read as the text of another",)

    def _value(self, name: str, value: Any) -> Any:
        pairs: Mapping[str, str] = self.config.data.pairs
        if name == CRITERION and value in pairs:
            return pairs[value]
        how = self.config.data.parse.get(self.config.data.fields.get(name, name))
        return parse_cell(value, how) if how is not None and isinstance(value, str) else value


def _first_read(name: str, text: str) -> int:
    """Where a template's text first names a field inside its tags."""
    found = re.search(rf"\{{[{{%][^{{}}]*?\b{re.escape(name)}\b", text)
    return found.start() if found else len(text)


def fields_of(given: str | Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """What was typed as values by name: one text for one field, else a value for each.

    Raises InputError where there are several fields and one text.

    >>> fields_of("Dear all", ("text",)), fields_of({"title": "Soup"}, ("title", "steps"))
    ({'text': 'Dear all'}, {'title': 'Soup'})
    """
    if isinstance(given, Mapping):
        return dict(given)
    if len(names) == 1:
        return {names[0]: given}
    if not names:
        return {}
    raise InputError(
        "the template of this model reads several fields, and one text was given",
        got=given[:60],
        expected="a JSON object with " + ", ".join(names),
        fix="'{" + ", ".join(f'"{name}": "..."' for name in names) + "}'",
    )
