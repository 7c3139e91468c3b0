"""What lies on the table: the runs that can be picked, those that are open, and what was asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from lossmith.chat.asking import Answerer, Reply
from lossmith.chat.opening import open_answerer
from lossmith.chat.session import Session, Voice, voices_of, with_setting
from lossmith.config.compose import group_names
from lossmith.config.generation_presets import GROUP
from lossmith.errors import InputError, unknown_name
from lossmith.runs import RunFolder
from lossmith.train.run import training_state

# What the page may change of how answers are generated; no key that names code or a file is among them.
SETTINGS = (
    "max_new_tokens",
    "temperature",
    "top_p",
    "top_k",
    "num_beams",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
)
_LONGEST_LIST = 200


@dataclass
class Table:
    """The models of a page, by their names; those that were picked last are open, the others take no memory."""

    names: tuple[str, ...]
    session: Session
    opened: dict[str, Answerer] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, names: Sequence[str], *, device: str = "auto", seed: int = 0) -> Table:
        """A table on which these models lie; none is opened yet."""

        def opener(name: str) -> Answerer:
            return open_answerer(name, device=device)

        return cls(tuple(dict.fromkeys(names)), Session(opener, [], next_seed=seed))

    def offered(self) -> dict[str, Any]:
        """What can be picked."""
        return {
            "models": list(self.names),
            "presets": list(group_names(GROUP)),
            "settings": list(SETTINGS),
            "seed": self.session.next_seed,
        }

    def pick(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Open these models, and close all others; what each of them reads.

        Raises InputError for a model that is not on the table, or cannot be opened.
        """
        self._check(names)
        for name in [each for each in self.opened if each not in names]:
            del self.opened[name]
        self.session.voices = []
        for name in names:
            if name not in self.opened:
                self.opened[name] = self.session.open(name)
        return [_told(self.opened[name]) for name in names]

    def ask(
        self,
        asked: Mapping[str, Any],
        *,
        begin: Callable[[Voice], None],
        tell: Callable[[Voice, str], None],
        end: Callable[[Voice, Reply], None],
    ) -> None:
        """Ask the picked models what the page sent: `models`, `presets`, `settings`, `fields`, `seed`.

        Raises InputError for a request that is none, before anybody is asked.
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
        opened = [self.opened[name] for name in names]
        writes = any(answerer.own is not None for answerer in opened)
        voices = with_setting(voices_of(opened, presets if writes else []), changes)
        seed = asked.get("seed", self.session.next_seed)
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise InputError("a seed is a whole number", got=seed, expected="0 or more")
        self.session.voices, self.session.next_seed = voices, seed
        begun: set[str] = set()

        def telling(voice: Voice, piece: str) -> None:
            if voice.name not in begun:
                begun.add(voice.name)
                begin(voice)
            tell(voice, piece)

        for voice, reply in self.session.replies(_mapping(asked, "fields"), tell=telling):
            end(voice, reply)

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
