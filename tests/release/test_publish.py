"""Publishing by huggingface_hub's own calls against a hub on the loopback, in fair weather and in foul."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossmith.errors import InputError
from lossmith.release.merge import merge
from lossmith.release.outgoing import Outgoing, files_of, refuse_secrets
from lossmith.release.publication import model_publication

from .hub_server import READER, SIGNED, TOKEN, FakeHub, Handler, serving

# huggingface_hub sends files in a form that its HTTP library will not take for ever.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    # Between two tries of a call that failed.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    with serving() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield found


@pytest.fixture(scope="module")
def source(trained, tmp_path_factory) -> Path:
    """A run with a merged model; tests read it."""
    run = tmp_path_factory.mktemp("source") / "dishes"
    shutil.copytree(trained("plain"), run)
    merge(run)
    return run


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that a fresh process would be asked about; the process itself is tried once, below."""
    seen: list[Path] = []

    def note(request):
        seen.append(Path(request["copy"]))
        assert (Path(request["copy"]) / "model.safetensors").is_file()
        return {"complaints": [], "dtype": "float32", "drift": {"logits": 0.0}}

    monkeypatch.setattr("lossmith.release.verify._in_a_fresh_process", note)
    return seen


def test_a_model_goes_there_and_back(command, hub, source):
    done = command("publish", source, "--to", "dishes")
    assert done.code == 0, done.err
    repository = hub.repositories["models/ann/dishes"]
    assert repository.private
    assert {"README.md", "model.safetensors", "lossmith.json", "tokenizer.json"} <= set(repository.files)
    assert repository.files["model.safetensors"] == (source / "merged" / "model.safetensors").read_bytes()
    assert "ann/dishes was made, private" in done.out
    assert "published and compared" in done.out
    assert "from_pretrained('ann/dishes')" in repository.files["README.md"].decode()
    # The large file went by LFS, once; the card in the commit itself.
    assert len(hub.called("PUT", "/lfs/")) == len(hub.blobs) > 0
    assert list(source.parent.rglob(".published-*")) == []


def test_no_secret_is_in_any_file_log_or_word(command, hub, source, verified, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(source.parent)
    done = command("publish", source, "--to", "dishes", "--debug")
    assert done.code == 0, done.err
    said = done.out + done.err + caplog.text
    held = [path for path in source.parent.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in said
    assert held == []
    assert not any(TOKEN.encode() in content for content in hub.repositories["models/ann/dishes"].files.values())
    assert all(TOKEN not in path for _, path in hub.calls)
    assert any(TOKEN in headers for headers in hub.headers), "it did sign in with it"


def test_a_wrong_token_is_told_and_not_shown(command, hub, source, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "wrong" * 8)
    done = command("publish", source, "--to", "dishes")
    assert done.code == 2
    assert "does not know this token" in done.err
    assert "wrongwrong" not in done.out + done.err
    assert hub.repositories == {}


def test_a_token_that_may_only_read_is_told(command, hub, source, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    done = command("publish", source, "--to", "dishes")
    assert done.code == 2
    assert "may not do this" in done.err
    assert READER not in done.out + done.err


def test_without_a_token_and_nobody_to_ask_nothing_is_sent(command, hub, source, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    done = command("publish", source, "--to", "dishes")
    assert done.code == 2
    assert "HF_TOKEN" in done.err
    assert hub.calls == []


def test_a_token_is_asked_for_where_somebody_is_there(command, hub, source, verified, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    asked = {}

    def answer(text, **how):
        asked.update(how)
        return TOKEN

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("lossmith.cli.publish.typer.prompt", answer)
    assert command("publish", source, "--to", "dishes", "--quiet").code == 0
    assert asked["hide_input"] is True


def test_a_network_cut_in_the_middle_goes_on_where_it_was(command, hub, source, verified):
    large = next(f for f in files_of(source / "merged") if f.path == "model.safetensors")
    hub.cut = {large.sha256}
    done = command("publish", source, "--to", "dishes")
    assert done.code == 1
    assert "the network was cut while model.safetensors was sent" in done.err
    assert "goes on from there" in done.err
    assert len(hub.called("PUT", large.sha256)) > 1, "it was tried more than once"
    arrived, first = set(hub.blobs), len(hub.calls)
    assert set(hub.repositories["models/ann/dishes"].files) == {".gitattributes"}
    hub.cut = set()
    done = command("publish", source, "--to", "dishes")
    assert done.code == 0, done.err
    sent = [path.removeprefix("/lfs/") for verb, path in hub.calls[first:] if verb == "PUT"]
    assert arrived
    assert large.sha256 in sent
    assert not arrived & set(sent)


def test_what_signs_an_address_is_in_no_word(command, hub, source, monkeypatch):
    hub.cut = {next(f for f in files_of(source / "merged") if f.path == "model.safetensors").sha256}
    said: list[str] = []
    logger, handler = logging.getLogger("huggingface_hub.utils._http"), logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: said.append(record.getMessage()))
    logger.addHandler(handler)
    try:
        done = command("publish", source, "--to", "dishes")
    finally:
        logger.removeHandler(handler)
    assert any("/lfs/" in line for line in said), "the library tells its tries"
    assert SIGNED not in done.out + done.err + "".join(said)


def test_a_hub_that_is_busy_is_asked_again_when_it_says(command, hub, source, verified, monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr("lossmith.release.hub.time.sleep", waited.append)
    hub.busy = {"whoami": 1, "/api/models/ann/dishes": 1, "create": 1, "preupload": 1, "/commit/": 2}
    done = command("publish", source, "--to", "dishes")
    assert done.code == 0, done.err
    assert set(hub.busy.values()) == {0}
    assert waited.count(7.0) >= 5, "the library itself waits for one of them"
    hub.busy = {"whoami": 9}
    done = command("publish", source, "--to", "dishes")
    assert done.code == 1
    assert "the hub failed while the hub was asked whose token this is" in done.err
    assert "goes on from there when the hub is well again" in done.err


def test_what_is_no_hub_is_told(command, hub, source, monkeypatch):
    monkeypatch.setattr(Handler, "known", lambda self, *_: self.send(b"<html>hello", headers={}))
    done = command("publish", source, "--to", "dishes")
    assert done.code == 1
    assert "is no answer of a hub" in done.err


def test_a_hub_that_fails_is_not_taken_for_a_wrong_command(command, hub, source):
    hub.failing = "/commit/"
    done = command("publish", source, "--to", "dishes")
    assert done.code == 1
    assert "the hub failed while" in done.err


def test_a_repository_that_exists_is_neither_lost_nor_made_public(command, hub, source, verified):
    assert command("publish", source, "--to", "dishes").code == 0
    repository, commits = hub.repositories["models/ann/dishes"], len(hub.called("POST", "/commit/"))
    # The same again sends nothing.
    done = command("publish", source, "--to", "ann/dishes")
    assert done.code == 0, done.err
    assert "is there already" in done.out
    assert len(hub.called("POST", "/commit/")) == commits
    repository.files["notes.md"] = b"mine"
    done = command("publish", source, "--to", "dishes")
    assert done.code == 2
    assert "holds something else" in done.err
    assert "notes.md" in done.err
    assert command("publish", source, "--to", "dishes", "--update").code == 0
    assert repository.files["notes.md"] == b"mine"
    repository.private = False
    done = command("publish", source, "--to", "dishes", "--update")
    assert done.code == 2
    assert "everybody can read it" in done.err
    assert command("publish", source, "--to", "open", "--public").code == 0
    assert not hub.repositories["models/ann/open"].private


def test_what_comes_back_otherwise_is_refused(command, hub, source, verified):
    hub.damaged = {"lossmith.json"}
    done = command("publish", source, "--to", "dishes")
    assert done.code == 1
    assert "does not give back what was sent" in done.err
    assert "lossmith.json" in done.err
    assert verified == []


def test_a_dry_run_needs_no_network_and_no_token(command, hub, source, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    done = command("publish", source, "--to", "dishes", "--dry-run", "--json")
    told = json.loads(done.out)
    assert (done.code, hub.calls) == (0, [])
    assert (told["public"], told["kind"]) == (False, "model")
    assert {file["file"] for file in told["files"]} >= {"README.md", "model.safetensors"}
    assert "## How to use" in command("publish", source, "--to", "dishes", "--dry-run").out


def test_secrets_in_files_are_refused_by_kind_not_by_value(command, hub, source, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(source, run)
    (run / "merged" / "notes.txt").write_text(f"export HF_TOKEN={TOKEN}\n")
    done = command("publish", run, "--to", "dishes")
    assert done.code == 2
    assert "notes.txt holds" in done.err
    assert TOKEN not in done.out + done.err
    assert hub.repositories == {}
    monkeypatch.setenv("WEATHER_API_KEY", "rain-and-sunshine")
    apart = b"x" * ((1 << 20) - 5) + b"rain-and-sunshine"
    with pytest.raises(InputError, match="the value of WEATHER_API_KEY"):
        refuse_secrets([Outgoing("big.txt", apart)])
    (tmp_path / "big.txt").write_bytes(apart)
    with pytest.raises(InputError, match="the value of WEATHER_API_KEY"):
        refuse_secrets([Outgoing("big.txt", tmp_path / "big.txt")])
    refuse_secrets([Outgoing("weights.safetensors", apart), Outgoing("fine.txt", b"sunshine")])


def test_an_adapter_on_a_base_of_this_machine_is_refused(trained):
    with pytest.raises(InputError, match="names a folder of this machine") as caught:
        model_publication(trained("pairs"), "dishes")
    assert "lossmith merge" in (caught.value.fix or "")


def test_a_merge_older_than_its_run_is_refused(source, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(source, run)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "trained": "later"}))
    with pytest.raises(InputError, match="trained again since"):
        model_publication(run, "dishes")


@pytest.mark.parametrize("repo", ["a/b/c", "-x", "two words", ""])
def test_a_name_that_no_hub_takes_is_told_before_anything(source, repo):
    with pytest.raises(InputError, match="is no name of a repository"):
        model_publication(source, repo)


def test_a_data_file_goes_there_with_a_card_that_shows_no_record(command, hub, place):
    file = place / "dishes.jsonl"
    done = command("publish", file, "--to", "dish-pairs", "--dataset", "--license", "cc-by-4.0")
    assert done.code == 0, done.err
    repository = hub.repositories["datasets/ann/dish-pairs"]
    assert repository.files["data/dishes.jsonl"] == file.read_bytes()
    card = repository.files["README.md"].decode()
    assert "64 records" in card
    assert "license: cc-by-4.0" in card
    assert "| `p` | text | 64 |" in card
    assert "Whisk" not in card
    assert str(place) not in card
    assert command("publish", place / "none.jsonl", "--to", "x", "--dataset").code == 2
