"""A conversation with one or several models: who answers and how, what was said, and how it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossmith.chat.asking import Answerer, LeftError, Question, Reply
from lossmith.chat.opening import open_answerer
from lossmith.chat.stored_template import TEXT, fields_of
from lossmith.chat.transcript import Said, write_transcript
from lossmith.config.generate import GenerateConfig
from lossmith.config.generation_presets import checked_settings, with_preset
from lossmith.errors import InputError, LossmithError
from lossmith.generate.settings import check_settings

OWN = "own settings"
Opener = Callable[[str], Answerer]
Presets = Sequence[str | None]


@dataclass(frozen=True)
class Voice:
    """A model, the preset that it answers by (None: the settings of its own run), and what is changed of that."""

    answerer: Answerer
    preset: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its answers are headed by."""
        return self.answerer.name if self.preset is None else f"{self.answerer.name} ({self.preset})"

    def how(self) -> GenerateConfig | None:
        """The settings that it generates by; None for a model that writes nothing.

        Raises ConfigError, naming what contradicts what, for settings that cannot be.
        """
        own = self.answerer.own
        if own is None:
            return None
        how = own if self.preset is None else with_preset(own, self.preset)
        if self.changes:
            how = GenerateConfig(**{**how.model_dump(), **checked_settings(self.changes)})
        check_settings(how.settings())
        return how


@dataclass
class Session:
    """Voices that are asked the same, each with the conversation it has had.

    `open` gives further models. `presets` and `changes` are how all models that write are asked, now and when others
    take their place. Answers that are drawn take another seed at every question, beginning with the one given as
    `next_seed`, so that a conversation can be had again word for word.
    """

    open: Opener
    voices: list[Voice] = field(default_factory=list)
    presets: Presets = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    next_seed: int = 0
    said: list[Said] = field(default_factory=list)
    _before: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def arrange(self, opened: Sequence[Answerer], presets: Presets, changes: Mapping[str, Any]) -> None:
        """Let these models answer by each of these presets, with these settings changed.

        Raises ConfigError, and leaves all as it was, where one of them cannot be asked so.
        """
        voices = [
            Voice(answerer, preset, changes)
            for answerer in opened
            for preset in (dict.fromkeys(presets) if presets and answerer.own is not None else [None])
        ]
        for voice in voices:
            voice.how()
        self.voices, self.presets, self.changes = voices, presets, changes

    @property
    def opened(self) -> list[Answerer]:
        """The models of its voices."""
        return list({id(voice.answerer): voice.answerer for voice in self.voices}.values())

    @property
    def fields(self) -> tuple[str, ...]:
        """The names that are asked for."""
        return fields_of_all(self.opened)

    @property
    def criteria(self) -> dict[str, str]:
        """The criteria that some model knows, text by name."""
        return {name: text for voice in self.voices for name, text in voice.answerer.criteria.items()}

    def replies(
        self, fields: Mapping[str, Any], *, tell: Callable[[Voice, str, int], None] | None = None
    ) -> Iterator[tuple[Voice, Reply]]:
        """What every voice says, one after another; `tell` is told of it while it is written (asking.Tell).

        What a question does to one voice alone is its reply's error. An interrupt ends the answer that is written, and
        no further voice is asked.
        """
        said = Said(dict(fields), seed=self.next_seed)
        self.said.append(said)
        self.next_seed += 1
        for voice in self.voices:
            asked = Question(_own(fields, voice.answerer), self._conversation(voice))
            begun = time.monotonic()
            reply = _reply(voice, asked, said.seed, tell)
            how = voice.how()
            settings = None if how is None else how.settings()
            said.add(voice.name, reply, settings=settings, seconds=time.monotonic() - begun)
            self._remember(voice, asked, reply)
            yield voice, reply
            if reply.stopped:
                return

    def forget(self) -> None:
        """Begin a new conversation; the transcript keeps the old one."""
        self._before.clear()

    def save(self, path: Path) -> None:
        """Write what was said, as JSON lines or as markdown."""
        write_transcript(path, self.said, system=self.system)

    def _conversation(self, voice: Voice) -> list[dict[str, str]]:
        if not voice.answerer.remembers:
            return []
        begins = [] if self.system is None else [{"role": "system", "content": self.system}]
        return begins + self._before.get(voice.name, [])

    def _remember(self, voice: Voice, asked: Question, reply: Reply) -> None:
        if not voice.answerer.remembers or reply.error is not None or not (reply.text or "").strip():
            return
        (text,) = asked.fields.values()
        turns = [{"role": "user", "content": str(text)}, {"role": "assistant", "content": str(reply.text)}]
        self._before.setdefault(voice.name, []).extend(turns)


def _reply(voice: Voice, asked: Question, seed: int, tell: Callable[[Voice, str, int], None] | None) -> Reply:
    """What a voice says; what it had written by then, where it was stopped."""
    written: list[str] = []
    tokens = 0

    def keep(piece: str, by_now: int) -> None:
        nonlocal tokens
        tokens = by_now
        written.append(piece)
        if tell is not None:
            tell(voice, piece, by_now)

    try:
        return voice.answerer.answer(asked, how=voice.how(), seed=seed, tell=keep)
    except (KeyboardInterrupt, LeftError):
        return Reply("".join(written) if written else None, finished=False, stopped=True, tokens=tokens)
    except LossmithError as error:
        return Reply(error=str(error))


def fields_of_all(opened: Sequence[Answerer]) -> tuple[str, ...]:
    """What models that are asked together are asked for: one text where each of them reads one, whatever its name.

    Otherwise the names of all, each once.
    """
    names = tuple(dict.fromkeys(name for answerer in opened for name in answerer.fields))
    one_each = len(names) > 1 and all(len(answerer.fields) == 1 for answerer in opened)
    return (TEXT,) if one_each else names


def _own(fields: Mapping[str, Any], answerer: Answerer) -> dict[str, Any]:
    """The fields that a model reads; where it reads one and was given one, it is that one, whatever its name."""
    if len(fields) == len(answerer.fields) == 1:
        return dict(zip(answerer.fields, fields.values(), strict=True))
    return {name: value for name, value in fields.items() if name in answerer.fields}


def open_session(
    models: Sequence[str],
    presets: Sequence[str],
    *,
    settings: Sequence[str] = (),
    system: str | None = None,
    seed: int = 0,
    opener: Opener = open_answerer,
) -> Session:
    """Open every model once, to answer by every preset (by its own settings where there is none).

    `settings` are written as KEY=VALUE. Raises InputError for a model or a preset that is not there, for settings that
    cannot be, and for a system message to models of which none converses.
    """
    opened = [opener(name) for name in dict.fromkeys(models)]
    changes = read_settings(settings)
    asked = [*presets, *(f"{key}={value}" for key, value in changes.items())]
    if asked:
        require_writer(opened, asked[0])
    if system is not None and not any(answerer.remembers for answerer in opened):
        raise InputError(
            "none of these models converses, so a system message would be read by none",
            got="--system",
            expected="a model with a chat template that no run's template replaces",
        )
    session = Session(opener, system=system, next_seed=seed)
    session.arrange(opened, presets, changes)
    return session


def require_writer(opened: Sequence[Answerer], asked: str) -> None:
    """Raise InputError where ways of generating are asked of models that generate nothing."""
    if all(answerer.own is None for answerer in opened):
        raise InputError(
            "a model that tells classes is asked for its scores, and generates nothing",
            got=asked,
            expected="a model that writes",
        )


def typed(text: str, names: tuple[str, ...]) -> dict[str, Any]:
    """A question given as one text: values by name where it is a JSON object of such names, else the one field.

    >>> typed('{"title": "Soup", "steps": "Boil."}', ("title", "steps"))
    {'title': 'Soup', 'steps': 'Boil.'}
    >>> typed('{"a": 1}', ("text",))
    {'text': '{"a": 1}'}
    """
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict) and found and (set(found) <= set(names)):
            return found
    return fields_of(text, names)


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """Settings written as KEY=VALUE, in GenerationConfig's names.

    Raises InputError for what is not written so.

    >>> read_settings(["temperature=0.8", "generate.do_sample=true"])
    {'temperature': 0.8, 'do_sample': True}
    """
    import yaml

    found = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise InputError(f"'{word}' sets nothing", got=word, expected="KEY=VALUE, as temperature=0.8")
        try:
            found[key.removeprefix("generate.")] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"the value of '{key}' cannot be read", got=value, expected="a value of YAML") from None
    return found
