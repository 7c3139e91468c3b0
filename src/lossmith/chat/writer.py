"""A model that writes: a conversation's next turn, the rest of a text, or the target of a source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lossmith.chat.asking import Kind, Question, Reply, Tell
from lossmith.chat.stored_template import TEXT, StoredTemplate
from lossmith.chat.streaming import TextPieces
from lossmith.config.generate import GenerateConfig, check_custom
from lossmith.data.encode import prompt_ids
from lossmith.data.layout import lay_out
from lossmith.data.rendered import Rendered
from lossmith.data.template import Template
from lossmith.data.template_form import OwnMessages, PlainText
from lossmith.errors import DataError, InputError
from lossmith.generate.decode import generate
from lossmith.generate.restrictions import restrictions_for
from lossmith.generate.settings import check_settings
from lossmith.models.load import Loaded
from lossmith.models.precision import Precision


@dataclass(frozen=True)
class Writer:
    """Text in, text out, rendered by the template of its run, or plainly where no run tells one.

    `longest`: tokens of a prompt, beyond which it is cut as in prediction; None where the model's positions alone
    bound it. `schema`: what answers keep to where they are constrained, if not that of its run.
    """

    name: str
    kind: Kind
    loaded: Loaded
    tokenizer: Any
    stored: StoredTemplate
    precision: Precision
    longest: int | None = None
    notes: tuple[str, ...] = ()
    criteria: Mapping[str, str] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """What the template reads."""
        return self.stored.fields

    @property
    def remembers(self) -> bool:
        """Whether the conversation so far is read: where the template is that of messages."""
        return isinstance(self._template.form, OwnMessages)

    @property
    def own(self) -> GenerateConfig:
        """How its run generates."""
        return self.stored.config.generate

    @property
    def _template(self) -> Template:
        assert isinstance(self.stored.template, Template), "what writes has a prompt and an answer"
        return self.stored.template

    def answer(self, question: Question, *, how: GenerateConfig | None, seed: int, tell: Tell | None = None) -> Reply:
        """What is written after the question."""
        how = how or self.own
        check_custom(how, trusted=self.stored.config.model.trust_remote_code)
        ids, notes = self.prompt(question)
        settings = how.settings()
        settled = check_settings(settings).num_beams == 1
        pieces = TextPieces(self.tokenizer, tell, settled=settled) if tell is not None else None
        with self.precision.autocast():
            made = next(
                generate(
                    self.loaded.model,
                    [ids],
                    settings=settings,
                    eos_token_ids=self.loaded.end_ids,
                    pad_token_id=self.tokenizer.pad_token_id,
                    seed=seed,
                    restrictions=restrictions_for(
                        how, self.tokenizer, schema=self.schema or self.stored.config.data.answer_schema
                    ),
                    watch=None if pieces is None else lambda _, written: pieces(self._without_end(written)),
                )
            )
        if made.error is not None:
            return Reply(error=made.error, notes=notes)
        text = self.tokenizer.decode(list(made.ids), skip_special_tokens=True)
        if pieces is not None:
            pieces.end(text, len(made.ids))
        return Reply(text, finished=made.finished, tokens=len(made.ids), notes=notes)

    def _without_end(self, ids: Any) -> Any:
        """The ids before an end token, which some tokenizers do not count among the special ones."""
        return ids[:-1] if ids and ids[-1] in self.loaded.end_ids else ids

    def prompt(self, question: Question) -> tuple[list[int], tuple[str, ...]]:
        """The ids that are continued, and what was done to them; raises DataError where there are none."""
        rendered = self._render(question)
        if isinstance(self._template.form, PlainText):
            # The text goes on itself, so that it begins as training texts do.
            (layout,) = lay_out([Rendered("", rendered.prompt, (), (), "", append_eos=True)], self.tokenizer)
            return layout.ids, ()
        sides = self._template.sides
        whole = prompt_ids(rendered, self.tokenizer, sides=sides)
        if not whole:
            raise DataError("the question is empty", got=repr(rendered.text), expected="text to answer")
        if self.longest is None or len(whole) <= self.longest:
            return whole, ()
        cut = prompt_ids(rendered, self.tokenizer, max_length=self.longest, sides=sides)
        if not cut:
            raise DataError(f"nothing of the question fits into {self.longest} tokens", got=f"{len(whole)} tokens")
        end = "end" if sides.apart else "beginning"
        return cut, (f"the question has {len(whole)} tokens, and {self.longest} fit: its {end} was cut off",)

    def _render(self, question: Question) -> Rendered:
        template = self._template
        if isinstance(template.form, OwnMessages):
            said = {"role": "user", "content": str(_one(question))}
            return template.render_messages([*question.before, said], self.tokenizer)
        if isinstance(template.form, PlainText):
            return Rendered(str(_one(question)), "", (), (), "", append_eos=True)
        return template.render_prompt(self.stored.record(question), self.tokenizer)


def _one(question: Question) -> Any:
    """The one text that is asked."""
    if set(question.fields) != {TEXT}:
        raise InputError(
            "this model is asked one text", got=", ".join(question.fields) or "no field", expected=f"the field {TEXT}"
        )
    return question.fields[TEXT]
