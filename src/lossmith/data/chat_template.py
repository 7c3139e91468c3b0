"""Chat templates: which one a tokenizer writes with, on what day, and where a turn of it ends."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jinja2

from lossmith.data.tokenizer_facts import tokenizer_facts
from lossmith.errors import ConfigError, DataError

if TYPE_CHECKING:
    import re

    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, Any]

# Used where a tokenizer has no chat template of its own. The end of a turn is the tokenizer's EOS, the one token that
# generation stops at without being told to; the headers are those of ChatML, single tokens where the tokenizer has
# them. A BOS of its own stands first, as the base was trained; one that is EOS under another name does not.
CHAT_TEMPLATE = (
    "{%- if bos_token and bos_token != eos_token %}{{ bos_token }}{%- endif %}"
    "{%- for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + eos_token + '\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)

# Names of apply_chat_template itself, which a template argument cannot take.
_TAKEN = {
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "max_length",
    "messages",
    "padding",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "sanitize_control_tokens",
    "tokenize",
    "tokenizer_kwargs",
    "truncation",
}

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def check_template_kwargs(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`data.template_kwargs` as plain values; raises ConfigError for a name that the renderer itself uses."""
    if taken := sorted(_TAKEN & set(arguments)):
        raise ConfigError(
            f"data.template_kwargs cannot set {', '.join(taken)}",
            expected="arguments that the chat template itself reads, such as enable_thinking",
        )
    return dict(arguments)


def check_date(day: str | datetime.date) -> datetime.date:
    """`data.template_date` as a date; raises ConfigError for anything but year-month-day."""
    if isinstance(day, datetime.date):
        return day
    try:
        return datetime.date.fromisoformat(day)
    except (TypeError, ValueError):
        raise ConfigError(
            "data.template_date is no date", got=repr(day), expected="year-month-day, as 2026-01-01"
        ) from None


def chat_template_text(tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any], day: datetime.date) -> str:
    """The text of the chat template that records are written with.

    The tokenizer's own, else the built-in one. One that asks for today's date is given `day`: transformers answers
    with the clock, and no argument overrides that. Raises ConfigError where there is neither template nor EOS.
    """
    if tokenizer.chat_template:
        return freeze_date(tokenizer.get_chat_template(tools=arguments.get("tools")), day)
    if not tokenizer.eos_token:
        raise ConfigError(
            "the tokenizer has neither a chat template nor an end token",
            got=type(tokenizer).__name__,
            expected="a tokenizer with chat_template, or at least eos_token",
            fix="write data.template as {prompt, answer} and give the tokenizer an eos_token",
        )
    return CHAT_TEMPLATE


@lru_cache(maxsize=32)
def freeze_date(template: str, day: datetime.date) -> str:
    """`template` with a macro `strftime_now` that always answers `day` at midnight, where it asks for the time.

    >>> freeze_date("no date", datetime.date(2026, 1, 1))
    'no date'
    """
    if "strftime_now" not in template:
        return template
    # Names in English whatever the locale of the machine, so that one configuration is one text.
    directives = {
        "Y": f"{day.year:04}", "y": f"{day.year % 100:02}", "m": f"{day.month:02}", "-m": f"{day.month}",
        "d": f"{day.day:02}", "-d": f"{day.day}", "e": f"{day.day:2}", "B": _MONTHS[day.month - 1],
        "b": _MONTHS[day.month - 1][:3], "A": _DAYS[day.weekday()], "a": _DAYS[day.weekday()][:3],
        "j": f"{day.timetuple().tm_yday:03}", "H": "00", "I": "12", "M": "00", "S": "00", "f": "000000", "p": "AM",
        "F": day.isoformat(), "T": "00:00:00", "Z": "", "z": "", "u": f"{day.isoweekday()}",
        "w": f"{day.isoweekday() % 7}",
    }  # fmt: skip
    steps = "".join(f"|replace('%{directive}', '{text}')" for directive, text in directives.items())
    return f"{{%- macro strftime_now(format) %}}{{{{ format{steps} }}}}{{%- endmacro %}}\n{template}"


@dataclass(frozen=True)
class Chat:
    """A tokenizer's chat template with its arguments: messages in, text out.

    `refusal` is the error of messages that it does not take: RecordError where every record brings its own.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    arguments: Mapping[str, Any]
    refusal: type[DataError] = DataError

    def find_end(self, text: str, start: int, end: int = sys.maxsize) -> re.Match[str] | None:
        """The first end token after `start`: a special token, or another added one where no special one follows."""
        facts = tokenizer_facts(self.tokenizer)
        return facts.special.search(text, start, end) or facts.added.search(text, start, end)

    def write(self, messages: Sequence[Message], *, for_generation: bool = False) -> str:
        """The text of the conversation, with the header of the next answer when it is for generation.

        Raises `refusal`, with the template's own words, when it does not take the messages.
        """
        try:
            text = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=for_generation,
                **self.arguments,
            )
        except (jinja2.TemplateError, AttributeError, LookupError, TypeError, ValueError) as error:
            roles = ", ".join(str(message.get("role")) for message in messages)
            raise self.refusal(
                f"the tokenizer's chat template refuses these messages: {error}",
                got=f"messages with roles {roles}",
                expected="roles and content as that template knows them",
                fix="a template without a system role wants that text at the head of the first user message",
            ) from error
        return str(text)


def end_of_turn(chat: Chat) -> str:
    """The token that ends an answer, found in a made-up conversation of one question and one answer."""
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    text = chat.write(turn)
    prompt = chat.write(turn[:1], for_generation=True)
    start = len(prompt) if text.startswith(prompt) else text.rfind("b")
    found = chat.find_end(text, start)
    if found is None:
        raise no_end_token(text, start)
    return found.group()


def no_end_token(text: str, after: int) -> DataError:
    """The error for a chat template that leaves an answer open; shows what stands before and after its end."""
    return DataError(
        "the chat template writes no end token after the answer, so a model would not learn to stop",
        got=f"answer ending in {text[max(0, after - 60) : after]!r}, then {text[after:][:120]!r}",
        expected="an end token of the tokenizer (such as its eos_token) after the answer",
        fix="use a tokenizer whose chat template closes the turn, or data.template as {prompt, answer}",
    )
