"""What is shown of a record in every form that a template can take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossmith.doctor.inspect import inspect_record
from lossmith.doctor.inspection import Inspection

END = "<|im_end|>"
ITEMS = "{% for item in items %}{% span \"item\" %}{{ item }}{% endspan %}{{ '; ' if not loop.last }}{% endfor %}"
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Soup?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Hot?"},
    {"role": "assistant", "content": "Very."},
]
Configure = Callable[..., Path]


def learned(found: Inspection) -> str:
    return "".join(token.text for token in found.tokens if token.supervised)


def roles(found: Inspection, role: str) -> str:
    return "".join(token.text for token in found.tokens if token.role == role)


def check_whole(found: Inspection) -> None:
    """What holds of every record that is as it should be."""
    assert found.status == "prepared" and not found.disagreements
    assert found.answer is not None and found.answer.ok and found.answer.difference is None
    assert found.text is not None and found.text.ok
    assert found.batch is not None
    ids = [token.id for token in found.tokens]
    assert list(found.batch.input_ids) == ids and [token.index for token in found.tokens] == list(range(len(ids)))
    for at in found.batch.positions:
        assert at.label == ids[at.hidden + 1] and found.tokens[at.hidden + 1].supervised and found.batch.mask[at.hidden]
    assert sum(found.batch.mask) == found.supervised == len(found.batch.positions)
    assert all(bool(token.terms) <= token.supervised for token in found.tokens)


def test_prompt_and_answer(configure: Configure, dishes: Path) -> None:
    template = {"prompt": "Cook {{ dish }}: ", "answer": ITEMS}
    objective = {"cross_entropy": 0.6, "focal": {"weight": 0.4, "span": "item"}}
    data = {"files": str(dishes), "id": "key", "template": template}
    found = inspect_record(configure(data=data, objective=objective), id="dish-2")
    check_whole(found)
    assert learned(found) == f"2 crème brûlée; salt{END}" == found.answer.got
    assert roles(found, "prompt") == "Cook crème brûlée: " and roles(found, "end") == END
    items = {n: "".join(t.text for t in found.tokens if ("item", n) in t.spans) for n in (0, 1)}
    assert "2 crème brûlée" in items[0] and "salt" in items[1]
    inside = {token.index for token in found.tokens if token.spans}
    assert {token.index for token in found.tokens if "focal" in token.terms} == inside
    assert [(term.name, term.positions) for term in found.terms] == [
        ("cross_entropy", found.supervised),
        ("focal", len(inside)),
    ]


def test_messages_through_the_chat_template(configure: Configure, dishes: Path) -> None:
    messages = [
        {"role": "system", "content": "You cook."},
        {"role": "user", "content": "{{ dish }}?"},
        {"role": "assistant", "content": ITEMS},
    ]
    found = inspect_record(configure(data={"files": str(dishes), "template": {"messages": messages}}))
    check_whole(found)
    assert found.record == "rows.jsonl:1" and learned(found) == f"0 soup; salt{END}"
    assert roles(found, "system") == "You cook." and roles(found, "user") == "soup?"
    assert "assistant" in roles(found, "template") and roles(found, "special").count(END) == 2


def test_plain_text_is_learned_whole_after_a_first_token(configure: Configure, dishes: Path) -> None:
    found = inspect_record(configure(data={"files": str(dishes), "template": {"text": "Eat {{ dish }}"}}))
    assert found.answer.got == f"Eat soup{END}" and found.answer.ok and found.text.ok and not found.disagreements
    assert not found.tokens[0].supervised and all(token.supervised for token in found.tokens[1:])
    assert not any("first token" in note for note in found.notes)


@pytest.mark.parametrize(("turns", "answers"), [("all", f"Yes.{END}Very.{END}"), ("last", f"Very.{END}")])
def test_own_messages_of_several_turns(
    configure: Configure, write: Callable[..., Path], turns: str, answers: str
) -> None:
    file = write([{"talk": CONVERSATION}, {"talk": CONVERSATION[1:]}])
    found = inspect_record(configure(data={"files": str(file), "messages": "talk", "turns": turns}))
    check_whole(found)
    assert learned(found) == found.answer.got == answers
    assert roles(found, "user") == "Soup?Hot?"
    assert roles(found, "assistant") == ("" if turns == "all" else "Yes.")


def test_a_term_on_the_prompt_makes_it_a_label_but_not_the_answer(configure: Configure, dishes: Path) -> None:
    objective = {"cross_entropy": 1.0, "unlikelihood": {"weight": 0.1, "span": "prompt"}}
    data = {"files": str(dishes), "template": {"prompt": "Cook {{ dish }}: ", "answer": "salt"}}
    found = inspect_record(configure(data=data, objective=objective))
    assert found.answer.ok and found.answer.got == f"salt{END}" and not found.disagreements
    read = {term.name: [t.role for t in found.tokens if term.name in t.terms] for term in found.terms}
    assert set(read["unlikelihood"]) == {"prompt"} and set(read["cross_entropy"]) == {"answer", "end"}
    assert found.tokens[0].terms == ()  # nothing comes before it


@pytest.mark.parametrize("truncation", ["cut_prompt", "cut_answer"])
def test_a_cut_record_is_held_to_what_is_left(configure: Configure, dishes: Path, truncation: str) -> None:
    data = {
        "files": str(dishes),
        "id": "key",
        "max_length": 40,
        "truncation": truncation,
        "template": {
            "prompt": "{{ dish }} 🥚🥚: ",
            "answer": "{{ items[0] * 9 }}" if truncation == "cut_answer" else "x",
        },
    }
    data["template"]["prompt"] = data["template"]["prompt"] if truncation == "cut_answer" else "{{ dish * 20 }}: "
    for key in ("dish-2", "dish-4"):
        found = inspect_record(configure(data=data), id=key)
        check_whole(found)
        assert len(found.tokens) == 40
        assert (found.tokens[-1].role == "end") == (truncation == "cut_prompt")


def test_bytes_of_a_character_split_over_tokens(configure: Configure, dishes: Path) -> None:
    data = {"files": str(dishes), "id": "key", "template": {"prompt": "", "answer": "{{ dish }}"}}
    # A vocabulary of little more than the 256 bytes: no character of four bytes is one token.
    found = inspect_record(configure(data=data), ["model.vocab_size=264"], id="dish-4")
    assert found.answer.ok and "".join(token.text for token in found.tokens) == f"{END}egg 🥚 salad{END}"
    parts = [token.bytes for token in found.tokens if token.bytes]
    assert len(parts) > 1 and bytes.fromhex(" ".join(parts)).decode() == "🥚"
    page: list[dict[str, Any]] = found.as_page()["tokens"]
    assert ["\ufffd" in token["text"] for token in page] == [token.bytes is not None for token in found.tokens]
