"""A model that writes its classes: the likelihood of each label's words, and where it is asked so a JSON answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from lossmith.answer_schema import CLASSIFICATION, parse_answer
from lossmith.chat.asking import Kind, Question, Reply, Tell
from lossmith.chat.classifier import decided
from lossmith.chat.writer import Writer
from lossmith.config.generate import GenerateConfig
from lossmith.data.label_answers import LabelAnswers
from lossmith.errors import InputError
from lossmith.generate.likelihood import log_likelihoods
from lossmith.labels import Classes
from lossmith.tasks.classified import Decision


@dataclass(frozen=True)
class LabelWriter:
    """A question to the likelihood of each class; with a schema of answers the answer is written, too, and decides."""

    writer: Writer
    answers: LabelAnswers
    classes: Classes
    decision: Decision

    kind: Kind = "classifier"
    remembers: bool = False

    @property
    def name(self) -> str:
        """The writer's."""
        return self.writer.name

    @property
    def fields(self) -> tuple[str, ...]:
        """What the template reads."""
        return self.writer.fields

    @property
    def criteria(self) -> Mapping[str, str]:
        """Those of the run's pairs."""
        return self.writer.stored.config.data.pairs

    @property
    def own(self) -> GenerateConfig | None:
        """How its run generates; None where labels are not written but compared."""
        return self.writer.own if self.answers.schema is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        """The writer's."""
        return self.writer.notes

    def answer(self, question: Question, *, how: GenerateConfig | None, seed: int, tell: Tell | None = None) -> Reply:
        """The class, by score and threshold, or as the written answer says."""
        ids, notes = self.writer.prompt(question)
        notes = (*self.writer.stored.notes(question), *notes)
        record = self.writer.stored.record(question)
        ways = self.answers.ids(record, self.answers.template.render(record, self.writer.tokenizer))
        found = next(
            log_likelihoods(
                self.writer.loaded.model,
                [ids],
                [[way for each in ways for way in each]],
                pad_token_id=self.writer.tokenizer.pad_token_id,
            )
        )
        if found.error is not None:
            return Reply(error=found.error, notes=notes)
        edges = np.cumsum([len(each) for each in ways])[:-1]
        logits = np.array([logsumexp(piece) for piece in np.split(np.array(found.values), edges)])
        decision = self.decision.of(self.writer.stored.criterion(question))
        if self.answers.schema is None:
            return decided(logits, self.classes, decision, notes=notes)
        writer = replace(self.writer, schema=self.answers.schema)
        written = writer.answer(question, how=how, seed=seed, tell=tell)
        return self._read(written, decided(logits, self.classes, decision, notes=notes))

    def _read(self, written: Reply, scored: Reply) -> Reply:
        """What is written beside the scores; an answer that the schema does not accept predicts nothing."""
        predicted, error = None, written.error
        if written.text is not None:
            assert self.answers.schema is not None, "what is written has a schema"
            try:
                word = parse_answer(written.text, self.answers.schema)[CLASSIFICATION]
                predicted = next(name for name, own in self.answers.words.items() if own == word)
            except InputError as wrong:
                error = wrong.message
        return Reply(
            written.text,
            predicted,
            scored.scores,
            finished=written.finished,
            tokens=written.tokens,
            notes=scored.notes,
            error=error,
        )
