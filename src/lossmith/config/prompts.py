"""Prompt sets: files of named strategies that write template, label words and generation settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from lossmith.answer_schema import WORD_FIELD, answer_template
from lossmith.config.layers import Layered
from lossmith.config.strict import Group
from lossmith.errors import ConfigError, nearest, unknown_name

_FILE = "a file of strategies: {NAME: {system, user, answer, method, label_words, generate}}"
_TEMPLATE, _METHOD, _ANSWER = ("data", "template"), ("task", "method"), ("task", "answer")


class Strategy(Group):
    """One way of asking for a class.

    `answer` is the template of the answer, or for a JSON answer the further keys with the fields that they hold.
    """

    about: str = ""
    method: Literal["label_words", "json_answer"] = "label_words"
    system: str | None = None
    user: str
    answer: str | dict[str, str] | None = None
    label_words: dict[str, str] = Field(default_factory=dict)
    generate: dict[str, Any] = Field(default_factory=dict)

    @field_validator("label_words", mode="before")
    @classmethod
    def _names_are_text(cls, words: Any) -> Any:
        return {str(name): word for name, word in words.items()} if isinstance(words, Mapping) else words

    def values(self, keys: Mapping[str, str] | None = None) -> dict[tuple[str, ...], Any]:
        """What the strategy writes, by path; `keys` are further keys of a JSON answer in place of its own."""
        found: dict[tuple[str, ...], Any] = {_METHOD: self.method}
        if self.method == "json_answer":
            own = self.answer if isinstance(self.answer, dict) else {}
            answer = answer_template(own if keys is None else keys)
            found[_ANSWER] = own
        else:
            answer = self.answer if isinstance(self.answer, str) else f"{{{{ {WORD_FIELD} }}}}"
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        asked = [*system, {"role": "user", "content": self.user}, {"role": "assistant", "content": answer}]
        found[_TEMPLATE] = {"messages": asked}
        found |= {("task", "label_words", name): word for name, word in self.label_words.items()}
        return found | {("generate", key): value for key, value in self.generate.items()}


def prompt_set_names() -> list[str]:
    """Names of the prompt sets of the package."""
    folder = files("lossmith.config") / "presets" / "prompts"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_prompt_set(name: str, read: Callable[[Path], Mapping[str, Any]]) -> dict[str, Strategy]:
    """The strategies of a prompt set of the package, or of a file, in their order; `read` reads a YAML or JSON file.

    Raises ConfigError for a set that is not there and for a strategy that is none.
    """
    packaged = files("lossmith.config") / "presets" / "prompts" / f"{name}.yaml"
    path = Path(str(packaged)) if name in prompt_set_names() else Path(name).expanduser()
    if not _is_there(name):
        near = nearest(name, prompt_set_names())
        raise ConfigError(
            f"task.prompts '{name}' is neither a prompt set of the package nor a file",
            got=name,
            expected=f"{', '.join(prompt_set_names())}, or {_FILE}",
            fix=f"did you mean '{near}'?" if near else None,
        )
    given = read(path).get("strategies")
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{path} holds no strategies", got=type(given).__name__, expected=f"strategies: {_FILE}")
    return {str(key): _strategy(str(key), value, path) for key, value in given.items()}


def _strategy(name: str, value: Any, path: Path) -> Strategy:
    try:
        strategy = Strategy.model_validate(value)
    except ValidationError as error:
        # A misspelt key says more than the one that is missing for it.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"])
        near = nearest(where, Strategy.model_fields)
        raise ConfigError(
            f"the strategy '{name}' of {path} is wrong at '{where}': {first['msg']}",
            expected=", ".join(Strategy.model_fields),
            fix=f"did you mean '{near}'?" if near and first["type"] == "extra_forbidden" else None,
        ) from None
    if isinstance(strategy.answer, str if strategy.method == "json_answer" else dict):
        raise ConfigError(
            f"the answer of the strategy '{name}' of {path} does not fit its method",
            got=f"method {strategy.method}, answer {strategy.answer!r}",
            expected="a template for label_words; {key: field} beside the classification for json_answer",
        )
    return strategy


def lay_prompts(layered: Layered, task: Mapping[str, Any], *, read: Callable[[Path], Mapping[str, Any]]) -> None:
    """Lay the chosen strategy under what was written otherwise, with its name as the origin of each value.

    What a preset, a file or an override says stays. A configuration that was resolved before holds the values of its
    strategy: these are known by its template, and give way to another strategy that is chosen now.
    Raises ConfigError for an unknown set or strategy, and for a method that the strategy is not written for.
    """
    name = task.get("prompts")
    if name is None:
        raise ConfigError(
            "task.strategy names a strategy of no prompt set",
            got=f"task.strategy={task['strategy']}, task.prompts=null",
            expected=f"task.prompts: {', '.join(prompt_set_names())}, or {_FILE}",
        )
    if _get(layered, _TEMPLATE) is not None and not _is_there(str(name)):
        return  # a run's own configuration holds all that was read from it
    strategies = read_prompt_set(str(name), read)
    chosen = str(task.get("strategy") or next(iter(strategies)))
    if chosen not in strategies:
        raise unknown_name("strategy", chosen, strategies, where="task.strategy")
    _take_back(layered, strategies.values())
    strategy, wanted = strategies[chosen], _get(layered, _METHOD)
    if wanted not in (None, strategy.method):
        others = [each for each, other in strategies.items() if other.method == wanted]
        raise ConfigError(
            f"the strategy '{chosen}' of {name} is written for task.method={strategy.method}",
            got=f"task.method={wanted}",
            expected=f"task.method={strategy.method}, or no task.method beside task.prompts",
            fix=f"task.strategy={others[0]}" if others else None,
        )
    origin = f"prompt set {name}: {chosen}"
    layered.set(["task", "strategy"], chosen, layered.origin.get("task.strategy", origin))
    for path, value in strategy.values(_get(layered, _ANSWER)).items():
        if _get(layered, path) is None:
            layered.set(list(path), value, origin)


def _is_there(name: str) -> bool:
    return name in prompt_set_names() or Path(name).expanduser().is_file()


def _take_back(layered: Layered, strategies: Iterable[Strategy]) -> None:
    """Forget the values of the strategy that a configuration was resolved with."""
    keys = _get(layered, _ANSWER)
    for strategy in strategies:
        # A resolved configuration has an empty task.answer where the strategy has none.
        values = {_ANSWER: {}, **strategy.values(keys)}
        if _get(layered, _TEMPLATE) != values[_TEMPLATE]:
            continue
        for path, value in values.items():
            if _get(layered, path) == value:
                layered.delete(list(path))
        return


def _get(layered: Layered, path: tuple[str, ...]) -> Any:
    """The value at a path, None where there is none."""
    value: Any = layered.values
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
