"""The template of a run: records in, text with its answer and its spans out."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lossmith.answer_schema import parse_answer
from lossmith.config.data import Truncation
from lossmith.data.chat_template import (
    Chat,
    chat_template_text,
    check_date,
    check_template_kwargs,
    end_of_turn,
)
from lossmith.data.conversation import find_roles, render_conversation, render_prompt
from lossmith.data.encode import JOINED, Sides, encode_batch
from lossmith.data.environment import Part
from lossmith.data.record_text import BareRecord, RecordLike, check_unicode, write_parts
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Encoded, Rendered
from lossmith.data.template_form import ChatMessages, Form, OwnMessages, PlainText, PromptAnswer, read_form
from lossmith.data.tokenizer_facts import end_id, tokenizer_facts
from lossmith.data.turns import Conversation, read_messages, write_messages
from lossmith.errors import ConfigError, DataError, InputError
from lossmith.spans.characters import CharSpan, check_name, number_items

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_HASH_VERSION = 1  # raised when the same configuration comes to mean another text


class TemplateConfig(Protocol):
    """What a template reads of the `data` group."""

    template: dict[str, Any] | str | None
    template_kwargs: dict[str, Any]
    template_date: str
    turns: Literal["all", "last"]
    messages: str | None
    answer_schema: dict[str, Any] | None
    spans: dict[str, Any]
    special_tokens_in_text: Literal["reject", "keep"]
    end_of_cut_answer: Literal["drop", "keep"]


@dataclass(frozen=True)
class Template:
    """How a record becomes text: the same in training, prediction, chat and evaluation.

    `arguments` go to the chat template; `day` is the date it prints; `field_spans` names spans that records carry as
    offsets. With `keep_special_tokens` a field may hold the text of a special token. `sides`: how prompt and answer
    stand to each other. With a `schema` every answer has to keep to it.

    >>> template = Template(read_form({"prompt": "Cook {{ title }}: ", "answer": "{{ steps | join(' ') }}"}))
    >>> sorted(template.variables)
    ['steps', 'title']
    """

    form: Form
    arguments: Mapping[str, Any] = field(default_factory=dict)
    turns: Literal["all", "last"] = "all"
    day: datetime.date = datetime.date(2026, 1, 1)
    field_spans: frozenset[str] = frozenset()
    keep_special_tokens: bool = False
    sides: Sides = JOINED
    schema: Mapping[str, Any] | None = None

    @classmethod
    def from_config(cls, data: TemplateConfig) -> Template:
        """The template of a `data` group; raises ConfigError, naming the key, for what cannot be carried out."""
        return cls(
            form=read_form(data.template, own_messages=data.messages is not None, schema=data.answer_schema),
            arguments=check_template_kwargs(data.template_kwargs),
            turns=data.turns,
            day=check_date(data.template_date),
            field_spans=frozenset(check_name(name, where="data.spans") for name in data.spans),
            keep_special_tokens=data.special_tokens_in_text == "keep",
            sides=Sides(keep_end=data.end_of_cut_answer == "keep"),
            schema=data.answer_schema,
        )

    def of_pairs(self, *, apart: bool, target_length: int) -> Template:
        """The same for a text-to-text task, whose prompts and answers have limits of their own.

        `apart`: an encoder reads the prompt and a decoder writes the answer. Raises ConfigError for a form without two
        sides.
        """
        if isinstance(self.form, PlainText) or (apart and self.writes_chat):
            raise ConfigError(
                "an encoder-decoder reads a source and writes a target, and this template has no two texts"
                if apart
                else "a text-to-text task needs a source and a target, and this template has one text",
                got="data.messages or messages" if self.writes_chat else "{text}",
                expected="data.template={prompt, answer}",
            )
        return replace(self, sides=replace(self.sides, apart=apart, answer_length=target_length))

    @property
    def variables(self) -> frozenset[str]:
        """Names of the fields that the template reads."""
        return frozenset().union(*(part.variables for part in self.form.parts))

    @property
    def prompt_variables(self) -> frozenset[str]:
        """Those of them that stand before the answer."""
        match self.form:
            case PromptAnswer(prompt=prompt):
                return prompt.variables
            case ChatMessages(messages=messages):
                parts = [part for _, texts in messages[:-1] for part in texts.values()]
                return frozenset().union(*(part.variables for part in parts))
        return frozenset()

    @property
    def judged_variables(self) -> frozenset[str]:
        """The same: what the label of a classification is found from."""
        return self.prompt_variables

    @property
    def span_names(self) -> frozenset[str]:
        """Names that the template or `data.spans` can mark."""
        return self.field_spans.union(*(part.spans for part in self.form.parts))

    @property
    def writes_chat(self) -> bool:
        """Whether a chat template writes the text."""
        return isinstance(self.form, (ChatMessages, OwnMessages))

    def render(self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> Rendered:
        """The record as training text, with its answer and spans in characters.

        Raises RecordError for a record that cannot be used (a field is missing or holds a special token, the answer is
        empty or breaks the schema) and DataError for a template that no record could be trained on.
        """
        rendered = self._render(BareRecord(record) if isinstance(record, Mapping) else record, tokenizer)
        if self.schema is not None:
            try:
                parse_answer(rendered.target, self.schema)
            except InputError as error:
                told = error.message.removeprefix("unparsable answer: ")
                raise RecordError(f"the answer does not keep to data.answer_schema: {told}") from None
        return rendered

    def _render(self, record: RecordLike, tokenizer: PreTrainedTokenizerBase) -> Rendered:
        if self.writes_chat:
            return render_conversation(self._conversation(record, tokenizer), self._chat(tokenizer))
        texts, spans = self._join(record, tokenizer, self.form.parts)
        prompt, answer = texts if isinstance(self.form, PromptAnswer) else ("", *texts)
        if not answer.strip():
            raise RecordError("the answer is empty", got=repr(answer), expected="text to learn")
        supervised = ((len(prompt), len(prompt) + len(answer)),)
        return Rendered(prompt, answer, supervised, spans, answer, append_eos=True)

    def render_prompt(self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> Rendered:
        """What generation continues, for a record that need not have an answer.

        The fields of the answer are not read; of a record's own messages, an answer at the end is left out. Text and
        boundaries are those of `render`, so the token ids are too. Plain text has an empty prompt.
        """
        record = BareRecord(record) if isinstance(record, Mapping) else record
        if self.writes_chat:
            conversation = self._conversation(record, tokenizer, for_generation=True)
            return render_prompt(conversation, self._chat(tokenizer))
        parts = (self.form.prompt,) if isinstance(self.form, PromptAnswer) else ()
        texts, spans = self._join(record, tokenizer, parts)
        return Rendered("".join(texts), "", (), spans, "", append_eos=True)

    def render_messages(self, messages: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase) -> Rendered:
        """What generation continues after messages that a person typed, through the same chat template."""
        return replace(self, form=OwnMessages()).render_prompt(BareRecord(messages=list(messages)), tokenizer)

    def encode(
        self,
        rendered: Sequence[Rendered],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        truncation: Truncation,
        predicting: bool,
    ) -> list[Encoded | RecordError]:
        """Rendered records as token ids; see `encode_batch`."""
        return encode_batch(
            rendered,
            tokenizer,
            max_length=max_length,
            truncation=truncation,
            predicting=predicting,
            sides=self.sides,
        )

    def training_text(self, record: RecordLike | Mapping[str, Any]) -> str:
        """The text that a new tokenizer learns from: what the template writes, before any chat template."""
        record = BareRecord(record) if isinstance(record, Mapping) else record
        if isinstance(self.form, OwnMessages):
            texts = [message["content"] for message in read_messages(record, forbidden=None)]
        else:
            texts = [part.render(record.fields) for part in self.form.parts]
        check_unicode(texts)
        return ("\n" if self.writes_chat else "").join(texts)

    def written(self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """The record as other tools read it, before any chat template: messages, or prompt and answer, or text.

        Raises RecordError as `render` does.
        """
        record = BareRecord(record) if isinstance(record, Mapping) else record
        if self.writes_chat:
            return {"messages": self._conversation(record, tokenizer).plain}
        texts, _ = self._join(record, tokenizer, self.form.parts)
        return {part.label: text for part, text in zip(self.form.parts, texts, strict=True)}

    def stop_ids(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Ids that end a generated answer: the end token of the chat template, and EOS where there is one."""
        if not self.writes_chat:
            return [end_id(tokenizer)]
        end = end_of_turn(self._chat(tokenizer))
        ids = [tokenizer.convert_tokens_to_ids(end), tokenizer.eos_token_id]
        return sorted({number for number in ids if isinstance(number, int)})

    def hash(self, tokenizer: PreTrainedTokenizerBase) -> str:
        """16 hexadecimal digits that change with every text this template would write, the same in every process."""
        told: dict[str, Any] = {
            "version": _HASH_VERSION,
            "form": type(self.form).__name__,
            "texts": [(part.label, part.text) for part in self.form.parts],
            "special_tokens": [tokenizer.bos_token, tokenizer.eos_token],
        }
        if isinstance(self.form, ChatMessages):
            told["roles"] = [role for role, _ in self.form.messages]
        if self.sides.apart:
            told["sides"] = "apart"
        if self.writes_chat:
            told["chat_template"] = self._chat(tokenizer).template
            told["arguments"] = self.arguments
            told["turns"] = self.turns
        text = json.dumps(told, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def roles(
        self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[str, int, int]] | None:
        """Where each message's content stands in the training text, as (role, start, end); None without messages."""
        record = BareRecord(record) if isinstance(record, Mapping) else record
        if not self.writes_chat:
            return None
        conversation, chat = self._conversation(record, tokenizer), self._chat(tokenizer)
        return find_roles(conversation.plain, chat.write(conversation.plain), chat)

    def _conversation(
        self, record: RecordLike, tokenizer: PreTrainedTokenizerBase, *, for_generation: bool = False
    ) -> Conversation:
        assert isinstance(self.form, (ChatMessages, OwnMessages))
        return write_messages(
            self.form,
            record,
            forbidden=self._forbidden(tokenizer),
            turns=self.turns,
            for_generation=for_generation,
        )

    def _chat(self, tokenizer: PreTrainedTokenizerBase) -> Chat:
        text = chat_template_text(tokenizer, self.arguments, self.day)
        refusal = RecordError if isinstance(self.form, OwnMessages) else DataError
        return Chat(tokenizer, text, self.arguments, refusal)

    def _forbidden(self, tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
        return None if self.keep_special_tokens else tokenizer_facts(tokenizer).special

    def _join(
        self, record: RecordLike, tokenizer: PreTrainedTokenizerBase, parts: Sequence[Part]
    ) -> tuple[list[str], tuple[CharSpan, ...]]:
        """The texts of the parts, and the spans in their joined text."""
        written = write_parts(record, parts, forbidden=self._forbidden(tokenizer))
        found, at = [], 0
        for part, plain, marked in zip(parts, written.plain, written.marked, strict=True):
            marks = written.markers.read(marked, plain, where=f"template '{part.label}'")
            found += [(mark.name, at + mark.start, at + mark.end) for mark in marks]
            at += len(plain)
        return written.plain, number_items(found)
