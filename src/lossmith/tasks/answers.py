"""Classification by a model that writes: by the likelihood of each label's words, or by a JSON answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import logsumexp

from lossmith.answer_schema import CLASSIFICATION, CONFIDENCE, answer_schema, parse_answer
from lossmith.errors import ConfigError, InputError
from lossmith.generate.likelihood import log_likelihoods
from lossmith.labels import Classes
from lossmith.losses import Objective
from lossmith.models.load import Loaded
from lossmith.tasks.causal import CAUSAL, answers_in, check_answers
from lossmith.tasks.classified import DEFAULT_THRESHOLD, Decision, Scored, schema_of, told_of
from lossmith.tasks.predictions_file import table_of_rows, write_rows
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Given, Progress, Task

logger = logging.getLogger("lossmith")


@dataclass(frozen=True)
class Answered(Scored):
    """What a model says of one row, and the further keys of its answer."""

    answer: dict[str, str] = field(default_factory=dict)


def label_likelihoods(
    loaded: Loaded, rows: Rows, given: Given, progress: Progress | None
) -> Iterator[tuple[np.ndarray | None, str | None]]:
    """For each row the log-likelihood of each class, (classes,) float64 in nats, or why there is none.

    The texts that say a class are those that preparation wrote to `answers`: where there are several, none is the
    beginning of another, and their likelihoods add up.
    """
    prompts: list[list[int]] = []
    said: list[list[list[int]]] = []
    sizes: list[list[int]] = []
    errors: list[str | None] = []
    for number in range(len(rows)):
        row = rows[number]
        errors.append(str(row["error"]) if row.get("error") else None)
        if errors[-1] is None:
            prompts.append(row["input_ids"][: row["prompt_length"]])
            said.append([way for ways in row["answers"] for way in ways])
            sizes.append([len(ways) for ways in row["answers"]])
    made = log_likelihoods(
        loaded.model,
        prompts,
        said,
        pad_token_id=given.tokenizer.pad_token_id,
        batch_size=given.config.generate.batch_size,
        tell=lambda sentence: logger.warning("%s", sentence),
        progress=progress,
    )
    size = iter(sizes)
    for error in errors:
        if error is not None:
            yield None, error
            continue
        found = next(made)
        if found.error is not None:
            next(size)
            yield None, found.error
        else:
            pieces = np.split(np.array(found.values), np.cumsum(next(size))[:-1])
            yield np.array([logsumexp(piece) for piece in pieces]), None


def by_label_words(loaded: Loaded, rows: Rows, given: Given, progress: Progress | None) -> Iterator[Scored]:
    """Each row with the log-likelihoods of its labels' words; score and threshold decide."""
    for number, (logits, error) in enumerate(label_likelihoods(loaded, rows, given, progress)):
        yield Scored(number, logits, error=error)


def by_json(loaded: Loaded, rows: Rows, given: Given, progress: Progress | None) -> Iterator[Answered]:
    """Each row with the answer that is generated, read strictly, and the likelihood of each class at its place.

    An answer that the schema does not accept is a failed row, with its text.
    """
    _check_threshold(given)
    classes, words = _classes(given), _words(given)
    schema = _answer_schema(given)
    of_word = {word: name for name, word in words.items()}
    scores = label_likelihoods(loaded, rows, given, None)
    texts = answers_in(schema, loaded, rows, given=given, progress=progress)
    assert len(of_word) == len(classes), "preparation refuses two classes of the same words"
    for (number, text, failed), (logits, unscored) in zip(texts, scores, strict=True):
        reason = failed or unscored
        answer: dict[str, str] = {}
        if reason is None:
            try:
                answer = parse_answer(text, schema)
            except InputError as error:
                reason = error.message
        if reason is not None:
            yield Answered(number, text=text, error=reason)
        else:
            yield Answered(number, logits, text, of_word[answer.pop(CLASSIFICATION)], answer=answer)


def _check_json(objective: Objective, rows: Mapping[str, Rows], given: Given) -> list[str]:
    _check_threshold(given)
    check_answers(_answer_schema(given), given)
    return CAUSAL.check(objective, rows, given)


def _answer_schema(given: Given) -> dict[str, Any]:
    return answer_schema(list(_words(given).values()), list(given.config.task.answer))


def _check_threshold(given: Given) -> None:
    threshold = given.config.evaluate.threshold
    if threshold != DEFAULT_THRESHOLD:
        raise ConfigError(
            "a JSON answer says its class itself, whatever the threshold",
            got=f"evaluate.threshold={threshold}",
            expected=f"evaluate.threshold={DEFAULT_THRESHOLD}",
            fix="task.method=label_words decides by the likelihood of each class",
        )


def _classes(given: Given) -> Classes:
    assert given.prepared.classes is not None, "a classification has classes"
    return given.prepared.classes


def _words(given: Given) -> dict[str, str]:
    """The words that answer each class, in the order of the classes."""
    return {name: given.config.task.label_words.get(name, name) for name in _classes(given).names}


def _told_words(rows: Rows, scored: Iterator[Scored], given: Given, decision: Decision) -> Iterator[dict[str, Any]]:
    words = _words(given)
    for one in scored:
        told = told_of(one, rows.table.column("label")[one.row].as_py(), _classes(given), decision)
        yield {**told, "prediction": words.get(told["predicted"])}


def _told_json(rows: Rows, scored: Iterator[Answered], given: Given, decision: Decision) -> Iterator[dict[str, Any]]:
    for one in scored:
        told = told_of(one, rows.table.column("label")[one.row].as_py(), _classes(given), decision)
        told[CONFIDENCE] = None
        if one.error is None and one.logits is not None:
            told[CONFIDENCE] = float(np.exp(one.logits[_classes(given).index(str(one.predicted))]))
        yield told | {f"answer.{key}": one.answer.get(key) for key in given.config.task.answer}


def _json_schema(given: Given, decision: Decision) -> pa.Schema:
    """The columns of every classification, the predicted label's likelihood, and each further key of the answer."""
    schema = schema_of(_classes(given), decision).append(pa.field(CONFIDENCE, pa.float64()))
    for key in given.config.task.answer:
        schema = schema.append(pa.field(f"answer.{key}", pa.string()))
    return schema


def write_words(rows: Rows, scored: Iterator[Scored], path: Path, given: Given, decision: Decision) -> tuple[int, int]:
    """Write the predictions file of label words; `prediction` are the words of the predicted class."""
    made = schema_of(_classes(given), decision)
    return write_rows(rows, _told_words(rows, scored, given, decision), path, made=made)


def table_of_words(rows: Rows, scored: Iterator[Scored], given: Given, decision: Decision) -> pa.Table:
    """The same in memory."""
    return table_of_rows(rows, _told_words(rows, scored, given, decision), made=schema_of(_classes(given), decision))


def write_json_answers(
    rows: Rows, scored: Iterator[Answered], path: Path, given: Given, decision: Decision
) -> tuple[int, int]:
    """Write the predictions file of JSON answers: `confidence` and the columns `answer.<key>` beside the others."""
    return write_rows(rows, _told_json(rows, scored, given, decision), path, made=_json_schema(given, decision))


def table_of_json_answers(rows: Rows, scored: Iterator[Answered], given: Given, decision: Decision) -> pa.Table:
    """The same in memory."""
    return table_of_rows(rows, _told_json(rows, scored, given, decision), made=_json_schema(given, decision))


LABEL_WORDS: Task = replace(CAUSAL, answers=by_label_words, write=write_words, table=table_of_words)
JSON_ANSWER: Task = replace(
    CAUSAL, check=_check_json, answers=by_json, write=write_json_answers, table=table_of_json_answers
)
