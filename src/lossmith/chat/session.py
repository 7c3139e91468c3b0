"""A conversation with one or several models: who answers and how, what was said, and how it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lossmith.chat.asking import Answerer, Question, Reply
from lossmith.chat.opening import open_answerer
from lossmith.chat.stored_template import fields_of
from lossmith.chat.transcript import Said, write_transcript
from lossmith.config.generate import GenerateConfig
from lossmith.config.generation_presets import with_preset
from lossmith.errors import InputError, LossmithError
from lossmith.generate.settings import check_settings

OWN = "own settings"
Opener = Callable[[str], Answerer]


@dataclass(frozen=True)
class Voice:
    """A model, and the preset that it answers by: None for the settings of its own run."""

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
        how = with_changes(how, self.changes)
        check_settings(how.settings())
        return how


def with_changes(how: GenerateConfig, changes: Mapping[str, Any]) -> GenerateConfig:
    """Settings with some of them set to other values; raises ConfigError for what is none."""
    from lossmith.config.generation_presets import checked_settings

    return GenerateConfig(**{**how.model_dump(), **checked_settings(changes)}) if changes else how


@dataclass
class Session:
    """Voices that are asked the same, each with the conversation it has had.

    `open` gives further models. Answers that are drawn take another seed at every question, beginning with the one
    given as `next_seed`, so that a conversation can be had again word for word.
    """

    open: Opener
    voices: list[Voice]
    system: str | None = None
    next_seed: int = 0
    said: list[Said] = field(default_factory=list)
    _before: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names that are asked for, those of all models together."""
        return tuple(dict.fromkeys(name for voice in self.voices for name in voice.answerer.fields))

    @property
    def criteria(self) -> dict[str, str]:
        """The criteria that some model knows, text by name."""
        return {name: text for voice in self.voices for name, text in voice.answerer.criteria.items()}

    def replies(
        self, fields: Mapping[str, Any], *, tell: Callable[[Voice, str], None] | None = None
    ) -> Iterator[tuple[Voice, Reply]]:
        """What every voice says, one after another; `tell` is told the pieces of it while they are written.

        What a question does to one voice alone is its reply's error. An interrupt ends the answer that is written, and
        no further voice is asked.
        """
        said = Said(dict(fields), seed=self.next_seed)
        self.said.append(said)
        self.next_seed += 1
        for voice in self.voices:
            asked = Question(_own(fields, voice.answerer), self._conversation(voice))
            begun = time.monotonic()
            reply, stopped = _reply(voice, asked, said.seed, tell)
            said.add(voice.name, reply, seconds=time.monotonic() - begun)
            self._remember(voice, asked, reply)
            yield voice, reply
            if stopped:
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


def _reply(voice: Voice, asked: Question, seed: int, tell: Callable[[Voice, str], None] | None) -> tuple[Reply, bool]:
    """What a voice says, and whether it was interrupted."""
    pieces: list[str] = []

    def keep(piece: str) -> None:
        pieces.append(piece)
        if tell is not None:
            tell(voice, piece)

    try:
        return voice.answerer.answer(asked, how=voice.how(), seed=seed, tell=keep), False
    except KeyboardInterrupt:
        return Reply("".join(pieces), notes=("stopped",)), True
    except LossmithError as error:
        return Reply(error=str(error)), False


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
    voices = with_setting(voices_of(opened, presets), read_settings(settings))
    if system is not None and not any(answerer.remembers for answerer in opened):
        raise InputError(
            "none of these models converses, so a system message would be read by none",
            got="--system",
            expected="a model with a chat template that no run's template replaces",
        )
    return Session(opener, voices, system=system, next_seed=seed)


def voices_of(opened: Sequence[Answerer], presets: Sequence[str | None]) -> list[Voice]:
    """A voice for each model and preset; one alone for a model that writes nothing.

    Raises InputError where presets were asked for, and no model writes.
    """
    if any(presets) and all(answerer.own is None for answerer in opened):
        raise InputError(
            "a model that tells classes is asked for its scores, and generates nothing",
            got=f"the preset {presets[0]}",
            expected="a model that writes",
        )
    voices = [
        Voice(answerer, preset)
        for answerer in opened
        for preset in (dict.fromkeys(presets) if presets and answerer.own is not None else [None])
    ]
    for voice in voices:
        voice.how()
    return voices


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


def with_setting(voices: Sequence[Voice], changes: Mapping[str, Any]) -> list[Voice]:
    """The voices with settings changed; raises ConfigError where one of those that write cannot take them."""
    changed = [replace(voice, changes={**voice.changes, **changes}) for voice in voices]
    for voice in changed:
        voice.how()
    return changed


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
        found[key.removeprefix("generate.")] = yaml.safe_load(value)
    return found
