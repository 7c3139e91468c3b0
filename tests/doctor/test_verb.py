"""`lossmith inspect` as it is called: what stands on which stream, exit codes, and text that a pipe can read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lossmith.cli.app import main
from lossmith.cli.visible_text import visible
from lossmith.config.load import load_config
from lossmith.tasks.prepare import prepare_config

TEMPLATE = {
    "messages": [
        {"role": "user", "content": "{{ 'A long question. ' * 60 }}{{ dish }}"},
        {"role": "assistant", "content": '{% span "item" %}{{ items[0] }}{% endspan %} and {{ items[1] }}'},
    ]
}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lossmith", "inspect", *(str(each) for each in arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        streams = capsys.readouterr()
        return int(left.value.code or 0), streams.out, streams.err

    monkeypatch.setenv("COLUMNS", "80")
    return run


@pytest.fixture
def config(configure: Callable[..., Path], write: Callable[..., Path]) -> Path:
    items = [["2 eggs", "salt"], ["\x1b[2Jrice", "\u202esalt\u200b"]]
    file = write({"dish": f"dish {n}", "items": items[n % 2]} for n in range(8))
    objective = {"cross_entropy": 0.6, "focal": {"weight": 0.4, "span": "item"}}
    return configure(data={"files": str(file), "template": TEMPLATE, "max_length": 2000}, objective=objective)


def test_a_pipe_of_80_columns_shows_all_by_marks_alone(call: Call, config: Path) -> None:
    code, out, err = call(config)
    assert code == 0 and err == "" and "\x1b" not in out
    lines = out.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any(line.startswith("* answer") and "⟦item#0 2 eggs" in line for line in lines)
    assert any(line.startswith("* end") and "<|im_end|>" in line for line in lines)
    assert sum("tokens folded (--all" in " ".join(line.split()) for line in lines) >= 1
    assert "round trip: yes, the supervised tokens decode to the answer and its end of turn" in out
    assert "round trip: yes, all tokens decode to the rendered text" in out
    assert "term b: focal, weight 0.4, reads item" in out
    answers = [line.split() for line in lines if " answer " in line and "item#0" in line and not line.startswith("*")]
    assert answers and all(line[-3:] == ["*", "item#0", "ab"] for line in answers)

    code, whole, _ = call(config, "--all", "--tensors")
    assert code == 0 and "folded" not in whole and "hidden at" in whole and max(map(len, whole.splitlines())) <= 80


def test_json_alone_on_standard_output(call: Call, config: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, err = call(config, "--json", "--tensors", "--html", page, "--id", "rows.jsonl:2")
    found = json.loads(out)
    assert code == 0 and str(page) in err
    assert found["round_trip"]["ok"] and found["round_trip"]["text"] == {"ok": True, "difference": None}
    assert found["round_trip"]["supervised_text"] == "\x1b[2Jrice and \u202esalt\u200b<|im_end|>"
    assert (
        found["counts"]["supervised"] == found["counts"]["terms"]["cross_entropy"] == len(found["batch"]["positions"])
    )
    for at in found["batch"]["positions"]:
        token = found["tokens"][at["hidden"] + 1]
        assert token["id"] == at["label"] and token["supervised"]
        assert at["spans"]["item"] == (token["spans"][0]["item"] if token["spans"] else -1)
    html = page.read_text(encoding="utf-8")
    assert "rows.jsonl:2" in html and "The supervised tokens decode to the true answer" in html


def test_text_of_a_record_never_reaches_the_terminal_raw(call: Call, config: Path) -> None:
    code, out, _ = call(config, "--id", "rows.jsonl:2", "--all")
    assert code == 0 and not {"\x1b", "\u202e", "\u200b"} & set(out) and "\\x1b" in out
    assert visible("\u202ea b") == "\\u202ea b"


def test_a_planted_shift_leaves_with_1_after_showing_it(
    call: Call, config: Path, change_row: Callable[..., None]
) -> None:
    folder = prepare_config(load_config(config)).folder
    change_row(folder, "supervised", lambda held: [{"start": h["start"] + 1, "end": h["end"] + 1} for h in held])
    code, out, err = call(config)
    assert code == 1 and "round trip: NO" in out and "character 0" in out
    assert "the supervised tokens" in err and "Traceback" not in err
    code, out, err = call(config, "--quiet")
    assert code == 1 and out == "" and "the supervised tokens" in err
    code, out, _ = call(config, "--json")
    assert code == 1 and json.loads(out)["round_trip"]["ok"] is False and json.loads(out)["disagreements"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--id", "rows.jsonl:99"], "there is no record 'rows.jsonl:99'"),
        (["--split", "tran"], "did you mean 'train'"),
        (["data.max_lenght=4"], "did you mean"),
    ],
)
def test_a_users_mistake_is_one_block_and_2(call: Call, config: Path, arguments: list[str], told: str) -> None:
    options = [config, *arguments]
    code, out, err = call(*options)
    assert code == 2 and out == "" and told in err and "Traceback" not in err
