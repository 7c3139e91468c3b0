"""Help, version, and what starting costs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lossmith.cli.app import VERBS

HEAVY = ("torch", "transformers", "hydra", "pydantic", "numpy", "pyarrow", "rich.table", "sklearn")


@pytest.mark.parametrize("verb", [name for name, _ in VERBS])
def test_every_verb_has_help_with_a_worked_example(lossmith, verb: str):
    shown = lossmith(verb, "--help")
    assert shown.code == 0
    assert f"Example: lossmith {verb}" in shown.out
    assert shown.err == ""
    assert lossmith(verb, "-h").out == shown.out


def test_the_verbs_of_the_path_are_there():
    names = {name for name, _ in VERBS}
    path = {"demo", "init", "list", "config", "prepare", "inspect", "train", "predict", "evaluate", "report", "run"}
    assert path | {"compare"} <= names


def test_the_root_help_names_every_verb_and_an_example(lossmith):
    shown = lossmith("--help")
    assert shown.code == 0
    assert "Example: lossmith run" in shown.out
    for verb, _ in VERBS:
        assert f"\n  {verb} " in shown.out
    # Whole sentences, and an example that can be copied.
    assert "..." not in shown.out.partition("Options:")[2]
    assert "lossmith run recipes/sinkhorn data.files=recipes.jsonl model=scratch-tiny\n" in shown.out


def test_a_table_that_is_too_wide_for_the_terminal_is_told_in_paragraphs(capsys, monkeypatch: pytest.MonkeyPatch):
    from lossmith.cli.screen import print_entries

    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [{"loss": "focal", "parameters": "gamma: float", "source": "https://example.org/a-long-name"}]
    for columns, shown in ((120, "loss   parameters    source"), (40, "\n  source: ")):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_entries(rows)
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert shown in text and "https://example.org/a-long-name" in text


def test_no_arguments_show_the_help_as_a_usage_error(lossmith):
    shown = lossmith()
    assert shown.code == 2
    assert "Usage: lossmith" in shown.out + shown.err


def test_the_version_is_the_installed_one(lossmith):
    shown = lossmith("--version")
    assert (shown.code, shown.out) == (0, f"{version('lossmith')}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["runn", "causal"],
        ["run"],
        ["list"],
        ["compare"],
        ["init"],
        ["config", "--provenanse"],
        ["run", "--splitt", "x"],
    ],
)
def test_a_wrong_command_line_exits_2_without_a_traceback(lossmith, arguments: list[str]):
    shown = lossmith(*arguments)
    assert shown.code == 2
    assert shown.out == ""
    assert "Usage: lossmith" in shown.err
    assert "Traceback" not in shown.err


def test_a_misspelt_verb_is_told_the_nearest_one(lossmith):
    assert "'compare'" in lossmith("compaer").err


def _modules_after(*command: str) -> set[str]:
    code = (
        "import sys, json, runpy\n"
        "try:\n    " + command[0] + "\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command[1:]], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_importing_lossmith_loads_nothing_heavy():
    loaded = _modules_after("import lossmith")
    assert "lossmith" in loaded
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]):
    loaded = _modules_after("from lossmith.cli.app import main; main()", *arguments)
    assert "typer" in loaded
    # Typer itself loads pydantic once it has options to read.
    allowed = {"pydantic"} if arguments != ["--help"] else set()
    assert not loaded.intersection(HEAVY) - allowed


def test_config_and_list_load_no_torch():
    for verb in (["config", "recipes/sinkhorn"], ["list", "presets"], ["list", "losses"], ["list", "families"]):
        loaded = _modules_after("from lossmith.cli.app import main; main()", *verb)
        assert not loaded.intersection(("torch", "transformers")), verb


def test_importing_lossmith_is_quick():
    code = "import time; t = time.perf_counter(); import lossmith; print(time.perf_counter() - t)"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.1


def test_the_installed_command_and_the_module_are_the_same_program():
    beside = Path(sys.executable).with_name("lossmith")
    command = str(beside) if beside.exists() else shutil.which("lossmith")
    if command is None:
        pytest.skip("the lossmith command is not installed beside this Python")
    environment = {**os.environ, "COLUMNS": "80"}
    outputs = [
        subprocess.run([*start, "config", "causl"], capture_output=True, text=True, env=environment, check=False)
        for start in ([command], [sys.executable, "-m", "lossmith.cli"])
    ]
    for done in outputs:
        assert done.returncode == 2
        assert done.stdout == ""
        assert "did you mean 'causal'?" in done.stderr
        assert "Traceback" not in done.stderr
    assert outputs[0].stderr == outputs[1].stderr
