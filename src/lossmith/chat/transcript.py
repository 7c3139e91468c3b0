"""What was said, kept and written: a line of JSON for every question, or markdown to read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossmith.chat.asking import Reply
from lossmith.errors import InputError
from lossmith.runs import write_text

_ENDINGS = (".jsonl", ".md")


@dataclass
class Said:
    """One question and what each voice said to it."""

    asked: Mapping[str, Any]
    seed: int
    replies: list[dict[str, Any]] = field(default_factory=list)

    def add(self, voice: str, reply: Reply, *, seconds: float) -> None:
        """Keep a reply."""
        self.replies.append({"voice": voice, **reply.as_json(), "seconds": round(seconds, 3)})

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"asked": dict(self.asked), "seed": self.seed, "replies": self.replies}


def check_transcript(path: Path) -> Path:
    """The path itself; raises InputError where its ending says no format."""
    _check_ending(path.suffix, told=str(path))
    return path


def transcript_text(ending: str, said: Sequence[Said], *, system: str | None = None) -> str:
    """A conversation in the format of a file with this ending; raises InputError for another one.

    >>> transcript_text(".jsonl", [Said({"text": "Salt?"}, seed=3)])
    '{"asked": {"text": "Salt?"}, "seed": 3, "replies": []}\\n'
    """
    _check_ending(ending, told=ending)
    return _markdown(said, system) if ending == ".md" else _jsonl(said, system)


def write_transcript(path: Path, said: Sequence[Said], *, system: str | None = None) -> None:
    """Write a conversation, as a whole or not at all; the ending of the path says how.

    Raises InputError for another ending, and where the file cannot be written.
    """
    text = transcript_text(path.suffix, said, system=system)
    try:
        write_text(path, text)
    except OSError as error:
        raise InputError(
            f"{path} could not be written: {error.strerror or error}", got=path, expected="a place that can be written"
        ) from error


def _check_ending(ending: str, *, told: str) -> None:
    if ending not in _ENDINGS:
        raise InputError(
            f"{told} says no format of a transcript",
            got=ending or "no ending",
            expected=" or ".join(_ENDINGS),
            fix="chat.jsonl, or chat.md to read",
        )


def _jsonl(said: Sequence[Said], system: str | None) -> str:
    head = {} if system is None else {"system": system}
    return "".join(json.dumps({**head, **one.as_json()}, ensure_ascii=False) + "\n" for one in said)


def _markdown(said: Sequence[Said], system: str | None) -> str:
    blocks = ["# Transcript"]
    if system is not None:
        blocks += ["## System", _quoted(system)]
    for number, one in enumerate(said, start=1):
        blocks.append(f"## Question {number}")
        blocks += [
            _quoted(str(value)) if len(one.asked) == 1 else f"{name}:\n\n{_quoted(str(value))}"
            for name, value in one.asked.items()
        ]
        for reply in one.replies:
            blocks.append(f"### {reply['voice']}")
            blocks += _reply(reply)
    return "\n\n".join(blocks) + "\n"


def _reply(reply: Mapping[str, Any]) -> list[str]:
    blocks = []
    if "text" in reply:
        blocks.append(_quoted(reply["text"]))
    if "scores" in reply:
        rows = "\n".join(f"| {_cell(name)} | {score:.4f} |" for name, score in reply["scores"].items())
        blocks.append(f"Predicted: {reply['predicted'] or 'no label'}\n\n| class | score |\n|---|---|\n{rows}")
    blocks += [f"- importance {one['importance']:+.3f}: {_cell(one['text'])}" for one in reply.get("evidence", ())]
    if "error" in reply:
        blocks.append(f"Error: {reply['error']}")
    return blocks


def _quoted(text: str) -> str:
    """Text as a block of markdown that nothing in it can leave."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
