"""`lossmith doctor`: what it finds, what it says mends it, and its exit code."""

from __future__ import annotations

import importlib
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerFast

from lossmith.doctor.health import devices, storage, versions
from lossmith.doctor.health.services import hub_finding, tracker_findings
from lossmith.doctor.health.tokenizer import tokenizer_findings
from lossmith.errors import InputError
from lossmith.models.tokenizer import END, START, train_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "SIDE", 64)


def test_a_fit_machine_is_told_area_by_area_and_leaves_with_0(lossmith):
    found = lossmith("doctor")
    assert found.code == 0, found.err
    areas = [line for line in found.out.splitlines() if line and not line.startswith(" ")]
    assert areas[:-1] == ["versions", "devices", "disk", "trackers", "hub"]
    assert "nothing keeps work from being done" in areas[-1]
    assert "torch: " in found.out and "GFLOP/s" in found.out
    # Libraries that are as they should be take one line.
    assert "other libraries: within their tested ranges" in found.out and "sacrebleu" not in found.out


def test_json_holds_every_finding_with_its_fix(lossmith):
    found = json.loads(lossmith("doctor", "--json").out)
    assert found["healthy"] is True
    assert {finding["area"] for finding in found["findings"]} == {"versions", "devices", "disk", "trackers", "hub"}
    assert all(finding["fix"] for finding in found["findings"] if finding["state"] != "ok")
    cpu = next(finding for finding in found["findings"] if finding["name"] == "cpu")
    assert cpu["facts"]["gflops"]["float32"] > 0


def test_quiet_says_warnings_and_errors_alone(lossmith):
    assert "ok " not in lossmith("doctor", "--quiet").out


def test_what_keeps_work_from_being_done_leaves_with_1(lossmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LOSSMITH_CACHE", str(tmp_path / "file" / "cache"))
    found = lossmith("doctor")
    assert found.code == 1
    assert "error   cache:" in found.out and "fix: LOSSMITH_CACHE=FOLDER" in found.out
    assert "disk cache" in found.err and "Traceback" not in found.err


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    # A test may run as root, whom no folder refuses.
    monkeypatch.setattr(storage.tempfile, "NamedTemporaryFile", refuse)
    found = {finding.name: finding for finding in storage.storage_findings(str(tmp_path / "runs"))}
    assert found["runs"].state == "error" and "Permission denied" in found["runs"].said
    assert found["models"].state == "warning"


@pytest.mark.parametrize(("free", "state"), [(2**40, "ok"), (2**32, "warning"), (2**20, "error")])
def test_room_on_a_disk_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str):
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: usage)
    assert {finding.state for finding in storage.storage_findings(str(tmp_path))} == {state}


@pytest.mark.parametrize(("version", "state"), [("2.13.0", "ok"), ("9.9.9", "warning"), (None, "error")])
def test_a_version_outside_the_tested_range_is_told(monkeypatch: pytest.MonkeyPatch, version: str | None, state: str):
    known = versions.installed
    monkeypatch.setattr(versions, "installed", lambda name: version if name == "torch" else known(name))
    found = next(finding for finding in versions.version_findings() if finding.name == "torch")
    assert found.state == state
    assert (found.fix is None) == (state == "ok")


def test_an_extra_that_is_not_there_is_no_warning(monkeypatch: pytest.MonkeyPatch):
    known = versions.installed
    monkeypatch.setattr(versions, "installed", lambda name: None if name == "optuna" else known(name))
    found = next(finding for finding in versions.version_findings() if finding.name == "tune")
    assert found.state == "ok" and "lossmith[tune]" in str(found.fix)


def test_a_driver_without_a_cuda_build_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices.shutil, "which", lambda _: "nvidia-smi")
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices.torch.version, "cuda", None)
    found = next(finding for finding in devices.device_findings() if finding.name == "cuda")
    assert found.state == "warning" and "CUDA build" in str(found.fix)


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    memory = type("Memory", (), {"available": 2**30, "total": 2**33})
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: memory)
    found = next(finding for finding in devices.device_findings() if finding.name == "memory")
    assert found.state == "warning" and "1.0 of 8.0 GiB" in found.said


@contextmanager
def server(status: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    own = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=own.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{own.server_port}"
    finally:
        own.shutdown()
        own.server_close()
        thread.join()


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (401, "ok"), (503, "warning")])
def test_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch, status: int, state: str):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_never-shown")
    with server(status) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        found = hub_finding()
    assert found.state == state
    assert "hf_never-shown" not in json.dumps(found.as_json()) and found.facts["token"] is True


def test_a_hub_out_of_reach_is_a_warning_with_the_way_to_work_without(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    found = hub_finding()
    assert found.state == "warning" and "HF_HUB_OFFLINE=1" in str(found.fix)


def test_an_offline_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert hub_finding().state == "ok"


@pytest.mark.parametrize(
    ("settings", "state"),
    [({}, "warning"), ({"WANDB_API_KEY": "never-shown"}, "ok"), ({"WANDB_MODE": "offline"}, "ok")],
)
def test_a_tracker_without_a_key_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], state: str
):
    package(tmp_path, monkeypatch, "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    found = next(finding for finding in tracker_findings() if finding.name == "wandb")
    assert found.state == state and "never-shown" not in str(found)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A package named wandb, before any that is installed."""
    (folder / "wandb.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    importlib.invalidate_caches()


def test_a_tracker_in_pieces_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package(tmp_path, monkeypatch, "print('hello')\nraise TypeError('Descriptors cannot be created directly')")
    found = next(finding for finding in tracker_findings() if finding.name == "wandb")
    assert found.state == "warning" and "Descriptors cannot" in found.said and "wandb" in str(found.fix)


def base(folder: Path, *, rows: int | None = 400, template: str | None = CHATML, **settings: Any) -> str:
    """A folder with a tokenizer, and the configuration of a model beside it."""
    made: PreTrainedTokenizerFast = train_tokenizer(["a pot of soup"] * 9, vocab_size=300, chat_template=template)
    for name, value in settings.items():
        setattr(made, name, value)
    made.save_pretrained(folder)
    config = {"model_type": "qwen3", "vocab_size": rows, "hidden_size": 32} if rows else {"model_type": "unheard-of"}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def judged(model: str) -> dict[str, Any]:
    return {finding.name: finding for finding in tokenizer_findings(model)}


def test_a_sound_tokenizer_has_nothing_but_ok(tmp_path: Path):
    found = judged(base(tmp_path))
    assert {finding.state for finding in found.values()} == {"ok"}
    assert {"end token", "pad token", "embedding", "end of turn", "generation prompt", "system role"} <= set(found)
    assert "marks no generation" in found["generation marks"].said


def test_padding_with_the_end_token_is_told(tmp_path: Path):
    assert judged(base(tmp_path, pad_token=END))["pad token"].state == "warning"


def test_a_base_without_chat_template_is_no_fault(tmp_path: Path):
    found = judged(base(tmp_path, template=None))
    assert found["chat template"].state == "ok" and "end of turn" not in found


def test_more_tokens_than_rows_is_an_error(tmp_path: Path):
    found = judged(base(tmp_path, rows=100))["embedding"]
    assert found.state == "error" and "100 rows" in found.said


def test_a_model_of_an_unknown_kind_is_judged_without_its_embedding(tmp_path: Path):
    assert "embedding" not in judged(base(tmp_path, rows=None))


@pytest.mark.parametrize(
    ("template", "name", "state"),
    [
        (CHATML.replace("<|im_end|>", ""), "end of turn", "error"),
        (CHATML.replace("<|im_start|>assistant", "<|im_start|>assistant thinks"), "generation prompt", "warning"),
        (
            "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML,
            "system role",
            "warning",
        ),
        ("{{ strftime_now('%Y') }}" + CHATML, "date", "ok"),
    ],
)
def test_a_chat_template_is_tried(tmp_path: Path, template: str, name: str, state: str):
    assert START in template
    assert judged(base(tmp_path, template=template))[name].state == state


def test_an_end_token_after_every_text_is_told(tmp_path: Path):
    assert judged(base(tmp_path))["after a text"].state == "ok"
    file = tmp_path / "tokenizer.json"
    values = json.loads(file.read_text())
    end = next(token["id"] for token in values["added_tokens"] if token["content"] == END)
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": END, "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {END: {"id": END, "ids": [end], "tokens": [END]}},
    }
    file.write_text(json.dumps(values))
    assert judged(str(tmp_path))["after a text"].state == "warning"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "vocab_size": 400}))
    assert judged(str(tmp_path))["after a text"].state == "ok"


def test_a_template_that_cannot_be_read_is_told_once(tmp_path: Path):
    found = judged(base(tmp_path, template="{% for m in messages %}{{ m.content }}"))
    assert found["chat template"].state == "error" and "generation prompt" not in found


def test_a_folder_without_tokenizer_is_a_wrong_input(lossmith, tmp_path: Path):
    base(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    found = lossmith("doctor", tmp_path)
    assert found.code == 2 and "holds no tokenizer" in found.err


def test_a_run_is_looked_at_by_its_model_and_damaged_weights_are_told(lossmith, tmp_path: Path):
    base(tmp_path / "run" / "model")
    (tmp_path / "run" / "config.yaml").write_text("{}\n")
    weights = tmp_path / "run" / "model" / "model.safetensors"
    save_file({"a": np.zeros(3, dtype=np.float32)}, weights)
    assert "weights: 1 whole file" in lossmith("doctor", tmp_path / "run").out
    weights.write_bytes(weights.read_bytes()[:20])
    found = lossmith("doctor", tmp_path / "run", "--quiet")
    assert found.code == 1 and "model.safetensors is damaged" in found.out and "fix: " in found.out


def test_the_verb_examines_a_model(lossmith, tmp_path: Path):
    found = lossmith("doctor", base(tmp_path, rows=100))
    assert found.code == 1 and "tokenizer embedding" in found.err


def test_a_model_that_is_not_there_is_a_wrong_input(lossmith):
    found = lossmith("doctor", "./nowhere")
    assert found.code == 2 and "Traceback" not in found.err


def test_a_scratch_base_has_no_tokenizer_yet():
    with pytest.raises(InputError, match="trains its tokenizer"):
        list(tokenizer_findings("scratch-tiny"))
