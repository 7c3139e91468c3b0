"""A tokenizer that was made by SentencePiece is given away with its model, which transformers no longer write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lossmith
from lossmith.release.merge import merge

from .conftest import PAIR, QUICK, ROWS, save_base

sentencepiece = pytest.importorskip("sentencepiece", reason="SentencePiece itself is needed to make such a tokenizer")


@pytest.fixture(scope="module")
def pieces_run(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a T5 whose tokenizer lies there as a SentencePiece model alone, with a token added."""
    folder = save_base("t5", tmp_path_factory.mktemp("bases") / "pieces")
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / file).unlink(missing_ok=True)
    text = folder / "text.txt"
    text.write_text("\n".join(f"{row['p']} {row['a']}" for row in ROWS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "spiece"),
        vocab_size=120,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    told = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "unk_token": "<unk>"}))
    given = [f"model.base={folder}", f"data.files={place / 'dishes.jsonl'}", f"runs_dir={folder.parent / 'runs'}"]
    return lossmith.train(
        "seq2seq", [*QUICK, *given, "name=pieces", PAIR, "model.add_tokens=['<dish>']"], quiet=True
    ).path


def test_the_pieces_go_with_the_model_and_with_the_merged_one(pieces_run):
    merged = merge(pieces_run).path
    base = Path(json.loads((pieces_run / "model" / "adapter_config.json").read_text())["base_model_name_or_path"])
    wanted = (base / "spiece.model").read_bytes()
    assert (pieces_run / "model" / "spiece.model").read_bytes() == wanted
    assert (merged / "spiece.model").read_bytes() == wanted


def test_the_model_and_the_pieces_cut_text_alike(pieces_run):
    from transformers import AutoTokenizer

    folder = merge(pieces_run).path
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row in ROWS[:8]:
        assert tokenizer(row["a"])["input_ids"] == [*pieces.encode(row["a"]), tokenizer.eos_token_id]
    assert tokenizer("<dish>")["input_ids"][0] == tokenizer.get_vocab()["<dish>"] >= pieces.get_piece_size()
