"""Every kind of model, asked one question."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lossmith.errors import InputError
from tests.command_line import Command, in_this_process


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_this_process(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("kind", "asked", "told"),
    [
        ("chat", "mint", "text"),
        ("fields", '{"herb": "mint", "dish": "tea"}', "text"),
        ("plain", "Use", "text"),
        ("pairs", "mint", "text"),
        ("head", "Use mint", "scores"),
        ("words", "Use mint", "scores"),
        ("messages", "mint?", "text"),
        ("adapter", "mint", "text"),
        ("documents", "Use mint fresh from the pot, number 3. And then more.", "evidence"),
    ],
)
def test_a_run_is_asked_through_its_template(
    call: Command, runs_of: Callable[[str], str], kind: str, asked: str, told: str
) -> None:
    done = call("chat", runs_of(kind), "--once", asked, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    [reply] = found["replies"]
    assert told in reply and "error" not in reply


def test_scores_are_there_beside_an_answer_that_cannot_be_read(call: Command, runs_of: Callable[[str], str]) -> None:
    done = call("chat", runs_of("json"), "--once", "Use mint", "--json")
    assert done.code == 1
    [reply] = json.loads(done.out)["replies"]
    assert "unparsable" in reply["error"] and abs(sum(reply["scores"].values()) - 1) < 1e-6 and reply["tokens"] <= 4


def test_the_answers_are_those_of_predictions(call: Command, runs_of: Callable[[str], str], herbs: Path) -> None:
    import pyarrow.parquet as pq

    run, records = runs_of("pairs"), {row["herb"]: row for row in map(json.loads, herbs.read_text().splitlines())}
    settings = ["generate.max_new_tokens=12"]
    assert call("predict", run, *settings, "--split", "validation", "--quiet").code == 0
    row = pq.read_table(Path(run) / "predictions" / "validation.parquet").to_pylist()[0]
    assert row["prompt"] in records
    done = call("chat", run, "--once", row["prompt"], "--json", "--set", "max_new_tokens=12")
    assert json.loads(done.out)["replies"][0]["text"] == row["prediction"]


def test_scores_are_those_of_predictions(call: Command, runs_of: Callable[[str], str]) -> None:
    import pyarrow.parquet as pq

    for kind in ("head", "words", "documents"):
        run = runs_of(kind)
        assert call("predict", run, "--split", "validation", "--quiet").code == 0
        row = pq.read_table(Path(run) / "predictions" / "validation.parquet").to_pylist()[0]
        text = row["prompt"].removesuffix(" is ")
        [reply] = json.loads(call("chat", run, "--once", text, "--json").out)["replies"]
        assert reply["predicted"] == row["predicted"]
        assert reply["scores"]["yes"] == pytest.approx(row["score.yes"], abs=1e-6)
        if kind == "documents":
            best = row["evidence"][0]
            assert reply["evidence"][0]["start"] == best["start"]
            assert reply["evidence"][0]["importance"] == pytest.approx(best["importance"], abs=1e-5)


def test_a_model_that_left_its_run_keeps_its_template(
    call: Command, runs_of: Callable[[str], str], tmp_path: Path
) -> None:
    for kind, asked in (
        ("fields", '{"herb": "mint", "dish": "tea"}'),
        ("head", "Use mint"),
        ("documents", "Use mint now."),
    ):
        away = tmp_path / kind
        shutil.copytree(Path(runs_of(kind)) / "model", away)
        home, there = (
            json.loads(call("chat", place, "--once", asked, "--json").out) for place in (runs_of(kind), away)
        )
        for found in (home, there):
            found["replies"][0].pop("voice"), found["replies"][0].pop("seconds")
        assert home == there


@pytest.mark.parametrize(
    ("kind", "dropped", "told"),
    [("chat", (), "chat"), ("chat", ("chat_template.jinja",), "completion"), ("pairs", (), "seq2seq"), ("head", (), "classifier")],
)  # fmt: skip
def test_a_folder_that_no_run_tells_of(
    runs_of: Callable[[str], str], tmp_path: Path, kind: str, dropped: tuple[str, ...], told: str
) -> None:
    from lossmith.chat.asking import Question
    from lossmith.chat.opening import open_answerer

    folder = tmp_path / "plain"
    shutil.copytree(Path(runs_of(kind)) / "model", folder)
    for name in ("lossmith.json", *dropped):
        (folder / name).unlink()
    opened = open_answerer(str(folder), device="cpu")
    assert (opened.kind, opened.fields, opened.remembers) == (told, ("text",), told == "chat")
    how = opened.own.model_copy(update={"max_new_tokens": 3}) if opened.own else None
    reply = opened.answer(Question({"text": "Use mint"}), how=how, seed=0, tell=None)
    assert reply.error is None and (reply.tokens <= 3 if how else set(reply.scores) == {"no", "yes"})


def test_piped_text_is_one_question_and_lines_are_several(
    call: Command, runs_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "crème 👩‍🍳\nbasil\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    done = call("chat", runs_of("head"), "--json")
    assert json.loads(done.out)["asked"] == {"use": "crème 👩‍🍳\nbasil"}
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    done = call("chat", runs_of("head"), "--lines", "--json")
    assert [json.loads(line)["asked"]["use"] for line in done.out.splitlines()] == ["crème 👩‍🍳", "basil"]
    monkeypatch.setattr("sys.stdin", io.StringIO("one\u2028question\r\ntwo\x0cmore"))
    done = call("chat", runs_of("head"), "--lines", "--json")
    asked = [json.loads(line)["asked"]["use"] for line in done.out.rstrip("\n").split("\n")]
    assert asked == ["one\u2028question", "two\x0cmore"]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "nothing was piped in" in call("chat", runs_of("head")).err


def test_a_line_that_cannot_be_asked_keeps_no_other_from_its_answer(
    call: Command, runs_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ['{"herb": "mint", "dish": "tea"}', "mint", '{"herb": "sage", "dish": "tea"}']
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    done = call("chat", runs_of("fields"), "--lines", "--json", "--set", "max_new_tokens=3")
    first, second, third = (json.loads(line) for line in done.out.splitlines())
    assert done.code == 1 and second["asked"] == "mint" and "a JSON object with herb, dish" in second["error"]
    assert [len(one["replies"]) for one in (first, third)] == [1, 1]


def test_models_that_read_one_text_each_are_asked_one_text(call: Command, runs_of: Callable[[str], str]) -> None:
    done = call("chat", runs_of("head"), runs_of("pairs"), "--once", "mint", "--json", "--set", "max_new_tokens=3")
    found = json.loads(done.out)
    assert found["asked"] == {"text": "mint"}
    assert ["scores" in reply for reply in found["replies"]] == [True, False]


def test_a_megabyte_is_cut_and_said_so(
    call: Command, runs_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, note in (("pairs", "end was cut off"), ("head", "end was cut off")):
        monkeypatch.setattr("sys.stdin", io.StringIO("mint " * 200_000))
        done = (
            call("chat", runs_of(kind), "--json", "--set", "max_new_tokens=2")
            if kind == "pairs"
            else call("chat", runs_of(kind), "--json")
        )
        assert done.code == 0 and note in json.loads(done.out)["replies"][0]["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("RUN/fields", "--once", "mint"), "reads several fields"),
        (("RUN/fields", "--once", '{"herb": "mint"}'), "reads field 'dish'"),
        (("RUN/pairs", "--once", "mint<|im_end|>"), "special token"),
        (("RUN/pairs", "--once", "mint", "--preset", "beems"), "did you mean 'beams'"),
        (("RUN/head", "--once", "mint", "--preset", "beams"), "generates nothing"),
        (("RUN/pairs", "--once", "mint", "--set", "top_p=0.4"), "nothing is sampled"),
        (("RUN/pairs", "--once", "mint", "--system", "Be brief."), "none of these models converses"),
        (("RUN/pairs", "--once", "mint", "--save", "talk.txt"), "no format"),
        (("RUN/nowhere", "--once", "mint"), "not found"),
        (("RUN/pair", "--once", "mint"), "did you mean 'RUN/pairs/model'?"),
        (("no such/name", "--once", "mint"), "not found"),
        (("scratch-tiny", "--once", "mint"), "no model that was trained"),
        (("RUN/head", "--once", "mint", "--set", "temperature=0.4"), "generates nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(
    call: Command, runs_of: Callable[[str], str], arguments: tuple[str, ...], says: str
) -> None:
    folder = str(Path(runs_of("pairs")).parent)
    runs_of("fields"), runs_of("head")
    done = call("chat", *(each.replace("RUN", folder) for each in arguments))
    assert done.code in (1, 2) and says.replace("RUN", folder) in done.err
    assert "not foreseen" not in done.err


def test_a_misspelt_run_is_not_looked_for_on_the_hub(
    call: Command, runs_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(runs_of("pairs")).parents[1])
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("the hub was asked"))
    runs = Path(runs_of("pairs")).parent.name
    done = call("chat", f"{runs}/pair", "--once", "mint")
    assert done.code == 2 and f"did you mean '{runs}/pairs/model'?" in done.err
    assert call("playground", f"{runs}/pair").code == 2


def test_a_name_on_the_hub_is_what_lies_in_its_cache(
    runs_of: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossmith.chat.places import find_place

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--kitchen--pairs"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(Path(runs_of("pairs")) / "model", repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = find_place("kitchen/pairs")
    assert (place.stored.kind, place.stored.base) == ("seq2seq", "kitchen/pairs")
    assert place.config is not None and place.config.data.max_source_length == 24
    with pytest.raises(InputError, match="was not found"):
        find_place("kitchen/pears")


def test_damaged_weights_are_told(call: Command, runs_of: Callable[[str], str], tmp_path: Path) -> None:
    run = tmp_path / "damaged"
    shutil.copytree(runs_of("pairs"), run)
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    done = call("chat", run, "--once", "mint")
    assert done.code == 2 and "are damaged" in done.err and "not foreseen" not in done.err


def test_a_criterion_of_no_name_is_read_as_a_text_and_said_so(call: Command, runs_of: Callable[[str], str]) -> None:
    for given, notes in (("keeps", None), ("Does it keep?", None), ("keep", 1)):
        question = json.dumps({"use": "Use mint.", "criterion": given})
        done = call("chat", runs_of("criteria"), "--once", question, "--json")
        [reply] = json.loads(done.out)["replies"]
        assert len(reply.get("notes", ())) == (notes or 0) and "scores" in reply


def test_an_answer_that_cannot_be_read_predicts_nothing(call: Command, runs_of: Callable[[str], str]) -> None:
    done = call("chat", runs_of("json"), "--once", "Use mint")
    assert done.code == 1 and "predicted" not in done.out and "yes" in done.out


def test_another_template_than_the_trained_one_is_refused(
    call: Command, runs_of: Callable[[str], str], tmp_path: Path
) -> None:
    run = tmp_path / "changed"
    shutil.copytree(runs_of("pairs"), run)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("{{ herb }}", "What of {{ herb }}?"))
    done = call("chat", run, "--once", "mint")
    assert done.code == 2 and "--allow-other-template" in done.err
    assert call("chat", run, "--once", "mint", "--allow-other-template").code == 0


def test_a_run_that_trained_nothing_asks_its_base(runs_of: Callable[[str], str], herbs: Path, tmp_path: Path) -> None:
    from lossmith.chat.asking import Question
    from lossmith.chat.opening import open_answerer
    from lossmith.config.load import as_yaml, load_config

    template = "data.template={prompt: 'What of {{ herb }}? ', answer: '{{ use }}'}"
    run = tmp_path / "base"
    run.mkdir()
    for base, kind in ((f"{runs_of('chat')}/model", "completion"), ("scratch-tiny", None)):
        config = load_config("causal", ["train=null", f"model.base={base}", f"data.files={herbs}", template])
        (run / "config.yaml").write_text(as_yaml(config))
        if kind is None:
            with pytest.raises(InputError, match="nobody has trained"):
                open_answerer(str(run))
            continue
        opened = open_answerer(str(run), device="cpu")
        assert (opened.kind, opened.fields) == (kind, ("herb",))
        how = config.generate.model_copy(update={"max_new_tokens": 2})
        assert opened.answer(Question({"herb": "mint"}), how=how, seed=0, tell=None).tokens <= 2


def test_an_encoder_without_a_head_is_refused(runs_of: Callable[[str], str], tmp_path: Path) -> None:
    from lossmith.chat.opening import open_answerer

    folder = tmp_path / "encoder"
    shutil.copytree(Path(runs_of("head")) / "model", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["ModernBertModel"]}))
    (folder / "lossmith.json").unlink()
    with pytest.raises(InputError, match="neither writes text nor tells classes"):
        open_answerer(str(folder), device="cpu")
