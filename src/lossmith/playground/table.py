"""What lies on the table: the runs that can be picked, those that are open, and what was asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from lossmith.chat.asking import Answerer, LeftError
from lossmith.chat.opening import open_answerer
from lossmith.chat.session import Session, Voice, fields_of_all
from lossmith.config.compose import group_names
from lossmith.config.generation_presets import GROUP, generation_preset, preset_about
from lossmith.errors import InputError, unknown_name
from lossmith.runs import RunFolder
from lossmith.train.run import training_state

# What the page may change of how answers are generated; no key that names code or a file is among them.
SETTINGS = (
    "max_new_tokens",
    "do_sample",
    "temperature",
    "top_p",
    "top_k",
    "num_beams",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
)
_LONGEST_LIST = 200
# Pages whose conversations are kept; the one that was longest not heard of goes first.
_PAGES = 50


@dataclass
class Table:
    """The models of a server, by their names, and the conversation of each page that asks them.

    Those that were picked last are open, the others take no memory.
    """

    names: tuple[str, ...]
    device: str = "auto"
    seed: int = 0
    opened: dict[str, Answerer] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, names: Sequence[str], *, device: str = "auto", seed: int = 0) -> Table:
        """A table on which these models lie; none is opened yet."""
        return cls(tuple(dict.fromkeys(names)), device, seed)

    def session(self, page: str) -> Session:
        """What was said on a page; nothing yet on a new one."""
        found = self.sessions.pop(page, None) or Session(self._open, next_seed=self.seed)
        self.sessions[page] = found
        if len(self.sessions) > _PAGES:
            del self.sessions[next(iter(self.sessions))]
        return found

    def offered(self) -> dict[str, Any]:
        """What can be picked."""
        return {
            "models": list(self.names),
            "presets": [
                {"name": name, "about": preset_about(name), "settings": _in_words(generation_preset(name))}
                for name in group_names(GROUP)
            ],
            "settings": list(SETTINGS),
            "seed": self.seed,
        }

    def pick(self, names: Sequence[str]) -> dict[str, Any]:
        """Open these models, and close all others; what each of them is, and what they are asked for together.

        Raises InputError for a model that is not on the table, or cannot be opened.
        """
        self._check(names)
        for name in [each for each in self.opened if each not in names]:
            del self.opened[name]
        for name in names:
            if name not in self.opened:
                self.opened[name] = self._open(name)
        opened = [self.opened[name] for name in names]
        return {"models": [_told(answerer) for answerer in opened], "fields": list(fields_of_all(opened))}

    def ask(
        self,
        page: str,
        asked: Mapping[str, Any],
        *,
        tell: Callable[[Voice, str, int], None],
        end: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Ask the picked models what the page sent: `models`, `presets`, `settings`, `fields`, `seed`.

        `tell` is told of an answer while it is written, `end` the reply as the transcript has it. An answer ends where
        `tell` raises ConnectionError: the page that asked is gone. Raises InputError for a request that is none, before
        anybody is asked.
        """
        names, presets = _texts(asked, "models"), _texts(asked, "presets")
        if not names:
            raise InputError("no model is picked", got="none", expected="a run to ask")
        for preset in presets:
            # A file would be read from anywhere on the machine.
            if preset not in group_names(GROUP):
                raise unknown_name("generation preset", preset, group_names(GROUP))
        changes = _mapping(asked, "settings")
        for key in changes:
            if key not in SETTINGS:
                raise unknown_name("setting", key, SETTINGS)
        self.pick(names)
        session = self.session(page)
        seed = asked.get("seed", session.next_seed)
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise InputError("a seed is a whole number", got=seed, expected="0 or more")
        session.next_seed = seed

        def telling(voice: Voice, piece: str, tokens: int) -> None:
            try:
                tell(voice, piece, tokens)
            except ConnectionError as error:
                raise LeftError from error

        session.arrange([self.opened[name] for name in names], presets, changes)
        try:
            for _ in session.replies(_mapping(asked, "fields"), tell=telling):
                end(session.said[-1].replies[-1])
        finally:
            # Models that another page closes are to leave memory.
            session.arrange([], (), {})

    def _open(self, name: str) -> Answerer:
        return open_answerer(name, device=self.device)

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.names:
                raise unknown_name("model", name, self.names)


def found_runs(folder: Path) -> list[str]:
    """The trained runs in a folder of runs, the newest first.

    Raises InputError where there is none.
    """
    there = [path.parent for path in folder.glob("*/config.yaml")] if folder.is_dir() else []
    trained = [path for path in there if training_state(RunFolder(path)) == "done"]
    if not trained:
        raise InputError(
            f"there is no trained run in {folder}",
            got=f"{len(there)} run folders, none of them trained" if there else "no run folder",
            expected="runs to ask",
            fix="lossmith playground RUN..., or lossmith demo, which trains two",
        )
    return [str(path) for path in sorted(trained, key=lambda path: -path.stat().st_mtime)[:_LONGEST_LIST]]


def _in_words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {str(value).lower()}" for key, value in settings.items())


def _told(answerer: Answerer) -> dict[str, Any]:
    return {
        "name": answerer.name,
        "kind": answerer.kind,
        "fields": list(answerer.fields),
        "criteria": dict(answerer.criteria),
        "remembers": answerer.remembers,
        "settings": answerer.own.settings() if answerer.own is not None else None,
        "notes": list(answerer.notes),
    }


def _texts(asked: Mapping[str, Any], key: str) -> list[str]:
    found = asked.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InputError(f"'{key}' is no list of names", got=repr(found)[:60], expected="names")
    return found


def _mapping(asked: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = asked.get(key, {})
    if not isinstance(found, dict):
        raise InputError(f"'{key}' holds no values by name", got=repr(found)[:60], expected="values by name")
    return found
