"""A model that tells classes: by a head, or by the likelihood of each label's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lossmith.chat.asking import Kind, Question, Reply, Tell
from lossmith.chat.judging import ClassAnswerer
from lossmith.config.generate import GenerateConfig
from lossmith.data.head_template import HeadTemplate
from lossmith.errors import DataError
from lossmith.evidence.reading import Judge
from lossmith.labels import Classes
from lossmith.models.load import Loaded
from lossmith.tasks.classified import Decision


@dataclass(frozen=True, kw_only=True)
class HeadClassifier(ClassAnswerer):
    """A text, or a text and its pair, to the probability of each class, by a head."""

    kind: Kind = "classifier"
    loaded: Loaded
    longest: int

    @torch.no_grad()
    def answer(
        self, question: Question, *, how: GenerateConfig | None = None, seed: int = 0, tell: Tell | None = None
    ) -> Reply:
        """The class that the scores decide on."""
        template = self.stored.template
        assert isinstance(template, HeadTemplate), "a head reads texts"
        text = template.render(self.stored.record(question), self.tokenizer)
        [encoded] = template.encode(
            [text], self.tokenizer, max_length=self.longest, truncation="cut_prompt", predicting=True
        )
        if isinstance(encoded, DataError):
            raise encoded
        if encoded.truncation == "prompt_too_long":
            return Reply(error=f"nothing of the text fits into {self.longest} tokens")
        logits = self._logits(encoded.input_ids, encoded.pair_start)
        cut = encoded.truncation is not None
        notes = (f"the text is longer than {self.longest} tokens: its end was cut off",) if cut else ()
        criterion, notes = self.stored.criterion(question), (*self.stored.notes(question), *notes)
        return judged(logits, self.judge, criterion=criterion, notes=notes)

    def _logits(self, ids: Sequence[int], pair_start: int | None) -> np.ndarray:
        device = next(self.loaded.model.parameters()).device
        given = torch.tensor([ids], device=device)
        batch: dict[str, Any] = {"input_ids": given, "attention_mask": torch.ones_like(given)}
        if "token_type_ids" in self.tokenizer.model_input_names:
            edge = len(ids) if pair_start is None else pair_start
            batch["token_type_ids"] = (torch.arange(len(ids), device=device) >= edge).long()[None]
        with self.precision.autocast():
            logits = self.loaded.model(**batch).logits
        return np.asarray(logits[0].double().cpu().numpy())


def judged(
    logits: np.ndarray, judge: Judge, *, criterion: str | None, notes: tuple[str, ...] = (), **more: Any
) -> Reply:
    """The reply that logits (outputs,) of a head make."""
    return decided(judge.of_classes(logits), judge.classes, judge.decision.of(criterion), notes=notes, **more)


def decided(logits: np.ndarray, classes: Classes, decision: Decision, **more: Any) -> Reply:
    """The reply that logits (classes,) make: probabilities, and the classes that they decide on."""
    scores = decision.scores(logits[None], classes)
    chosen = decision.predicted(scores, classes)[0]
    predicted = ", ".join(name for name, holds in zip(classes.names, chosen, strict=True) if holds)
    return Reply(predicted=predicted, scores=dict(zip(classes.names, scores[0].tolist(), strict=True)), **more)
