"""The answers that a record could get, one for each class, as the very token ids that training would see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lossmith.answer_schema import CLASSIFICATION, answer_of, answer_schema, parse_answer
from lossmith.config.schema import Config
from lossmith.data.labelling import NAME, WORD, Labelling
from lossmith.data.layout import lay_out
from lossmith.data.records import Record
from lossmith.data.rendered import Encoded, HeadText, Rendered
from lossmith.data.template import Template
from lossmith.data.template_form import ChatMessages, PromptAnswer
from lossmith.errors import ConfigError, DataError, InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# For each class the token ids that say it: more than one where what follows the class may change its last token.
Answers = list[list[list[int]]]


@dataclass
class LabelAnswers:
    """Writes each record with the words of every class in place of its own.

    `words` are those of each class, in the order of the classes. With a `schema` the answer is a JSON object with the
    keys and fields of `keys` beside the classification, and a class is said by all tokens up to the one that closes
    its value; without, by the whole answer, the token that ends it included.
    """

    template: Template
    tokenizer: PreTrainedTokenizerBase
    words: Mapping[str, str]
    schema: Mapping[str, Any] | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    _shared: Answers | None = None

    @classmethod
    def of(
        cls,
        config: Config,
        labelling: Labelling | None,
        names: tuple[str, ...],
        *,
        template: Any,
        tokenizer: PreTrainedTokenizerBase,
    ) -> LabelAnswers | None:
        """Those of a classification whose labels a model writes; None for other tasks and for heads.

        Raises ConfigError for a template without an answer of its own, and for labels that do not exclude each other.
        """
        if labelling is None or config.reads_texts:
            return None
        if labelling.multi_label:
            raise ConfigError(
                f"task.method={config.task.method} is about classes that exclude each other",
                got=f"the labels {', '.join(names)}",
                expected="one column in data.label",
                fix="task.method=head, or a run for each label",
            )
        assert isinstance(template, Template)
        if not isinstance(template.form, ChatMessages | PromptAnswer):
            raise ConfigError(
                f"task.method={config.task.method} needs a template whose answer is the label",
                got="data.messages" if config.data.messages else "{text}",
                expected="messages, or {prompt, answer}, whose answer reads {{ label_word }}",
            )
        words = {name: labelling.words.get(name, name) for name in names}
        if config.task.method == "label_words":
            return cls(template, tokenizer, words)
        if CLASSIFICATION not in template.span_names:
            raise ConfigError(
                f"the template of task.method=json_answer does not mark its '{CLASSIFICATION}'",
                expected=f'{{% span "{CLASSIFICATION}" %}}...{{% endspan %}} around its value',
                fix="leave data.template to a prompt set (task.prompts), whose answer is made from task.answer",
            )
        keys = config.task.answer
        for name in sorted(template.prompt_variables & set(keys.values())):
            raise ConfigError(
                f"the text that the answer is found from reads '{name}', which task.answer asks for",
                got=f"{{{{ {name} }}}} in data.template",
                expected="the field in the answer alone, or not in it",
                fix=f"take it out of task.answer: {', '.join(key for key in keys if keys[key] == name)}",
            )
        return cls(template, tokenizer, words, answer_schema(tuple(words.values()), tuple(keys)), keys)

    def ids(self, record: Record, rendered: Rendered | HeadText) -> Answers:
        """The ids of every class's answer, after the prompt that `rendered`, the record's own text, has.

        Written anew for each record only where the answer reads more of it than its label. Raises DataError, naming
        the record, where two classes have the same answer, and where its own is none that the schema accepts.
        """
        assert isinstance(rendered, Rendered), "a head has no answers"
        if self.schema is not None:
            self._check_target(record, rendered)
        if self._shared is not None:
            return self._shared
        made = self._written(record, rendered)
        if not self._answer_variables - {NAME, WORD, *self.keys.values()}:
            self._shared = made
        return made

    def check(self, record: Record, answers: Answers, encoded: Encoded) -> None:
        """Raise DataError where the record's own answer is not taught in the ids that are scored."""
        taught = encoded.input_ids[encoded.prompt_length :]
        if encoded.answer_is_cut or encoded.truncation in ("dropped", "prompt_too_long"):
            return
        own = answers[list(self.words).index(str(record.label))]
        if not any(taught[: len(way)] == way and (self.schema or len(taught) == len(way)) for way in own):
            raise DataError(
                f"the answer that record {record.id} teaches is written in other tokens than the one that is scored",
                expected="the same tokens after every prompt",
                fix="report this chat template: it writes an answer otherwise after another prompt",
            )

    @property
    def _answer_variables(self) -> frozenset[str]:
        form = self.template.form
        assert isinstance(form, ChatMessages | PromptAnswer)
        parts = [form.answer] if isinstance(form, PromptAnswer) else form.messages[-1][1].values()
        return frozenset().union(*(part.variables for part in parts))

    def _written(self, record: Record, rendered: Rendered) -> Answers:
        bare = replace(record, spans={})
        made: Answers = []
        for name, word in self.words.items():
            ways: list[list[int]] = []
            for fields in self._variants({**record.fields, NAME: name, WORD: word}):
                other = self.template.render(replace(bare, fields=fields), self.tokenizer)
                if (other.prompt, other.boundaries) != (rendered.prompt, rendered.boundaries):
                    raise DataError(
                        f"the prompt of record {record.id} is another one for another answer",
                        expected="a prompt that does not depend on the answer",
                        fix="report this chat template, or write data.template as {prompt, answer}",
                    )
                found = self._said(other)
                if found not in ways:
                    ways.append(found)
            made.append(ways)
        flat = [tuple(way) for ways in made for way in ways]
        if len(set(flat)) < len(flat):
            raise DataError(
                f"two classes have the same answer to record {record.id}",
                got=", ".join(self.words.values()),
                expected="an answer that reads {{ label_word }} or {{ label }}, other for each class",
                fix="look at data.template, and at the tokens that the tokenizer has for these words",
            )
        return made

    def _variants(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The record without further keys, and with each of them the first: none of its own data tell the class."""
        none = {**fields, **dict.fromkeys(self.keys.values())}
        return [none, *({**none, name: "x"} for name in self.keys.values())] if self.schema else [dict(fields)]

    def _said(self, rendered: Rendered) -> list[int]:
        """The ids by which an answer says its class."""
        (layout,) = lay_out([rendered], self.tokenizer)
        end = len(layout.ids)
        if self.schema is not None:
            span = next(one for one in rendered.spans if one.name == CLASSIFICATION)
            # The character after the value is its closing quote; the token that holds it belongs to the class.
            end = int(np.searchsorted(layout.offsets[:, 0], span.end, side="right"))
        return layout.ids[layout.prompt_length : end]

    def _check_target(self, record: Record, rendered: Rendered) -> None:
        assert self.schema is not None
        wanted = answer_of(record.fields, record.fields[WORD], self.keys)
        try:
            found = parse_answer(rendered.target, self.schema)
        except InputError as error:
            raise DataError(
                f"the answer that record {record.id} would teach cannot be parsed: {error.message}",
                expected="one JSON object with the classification and the keys of task.answer",
                fix="look at data.template; a chat template may change what stands in an answer",
            ) from None
        if found != wanted:
            wrong = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
            raise DataError(
                f"the answer that record {record.id} would teach does not say what the record says",
                got=f"another value of {', '.join(wrong)}",
                expected="the record's own class and fields",
                fix="look at data.template and task.answer",
            )
