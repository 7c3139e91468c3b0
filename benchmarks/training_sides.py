"""The sides that `training.py` measures: one model and one set of records, trained by two trainers and two loops."""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clocks import Clocks

# The sides, and what each is.
SIDES = {
    "lossmith": "lossmith train",
    "trainer": "transformers Trainer, dense cross-entropy",
    "loop": "hand-written loop, lossmith's objective",
    "dense loop": "hand-written loop, dense cross-entropy",
}
TRAINERS = ("lossmith", "trainer")
ENDLESS = 10**6


def write_base(folder: Path, flags: argparse.Namespace) -> None:
    """A Qwen3 of random weights and a tokenizer of one word a token."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    words = {"<pad>": 0, "<end>": 1} | {f"w{number}": number for number in range(2, flags.vocab)}
    inner = Tokenizer(models.WordLevel(vocab=words, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>").save_pretrained(folder)
    torch.manual_seed(0)
    heads = max(1, flags.width // 64)
    config = Qwen3Config(
        vocab_size=flags.vocab,
        hidden_size=flags.width,
        intermediate_size=flags.width * 4,
        num_hidden_layers=flags.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=flags.width // heads,
        max_position_embeddings=max(4096, flags.length),
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)


def write_records(file: Path, flags: argparse.Namespace) -> None:
    """Records of `length` tokens with the end token, or of a length between length (1 - spread) and length."""
    draw = random.Random(0)
    with file.open("w", encoding="utf-8") as out:
        for _ in range(flags.records):
            half = round(flags.length * (1 - flags.spread * draw.random()) / 2)
            prompt, answer = (
                " ".join(f"w{draw.randrange(2, flags.vocab)}" for _ in range(n)) for n in (half, half - 1)
            )
            out.write(json.dumps({"p": prompt, "a": answer}) + "\n")


def built(flags: argparse.Namespace) -> tuple[Any, Any]:
    """The trainer and model of lossmith on these records, put together as `lossmith train` does."""
    from lossmith.config.load import load_config, require_complete
    from lossmith.runs import RunFolder
    from lossmith.train.loop import build_trainer
    from lossmith.train.run import prepare_in

    folder = flags.folder
    train = {
        "per_device_train_batch_size": flags.batch, "gradient_accumulation_steps": flags.accumulation,
        "max_steps": ENDLESS, "learning_rate": 1e-4, "lr_scheduler_type": "constant", "optim": flags.optim,
        "logging_steps": flags.logging_steps, "eval_strategy": "no", "save_strategy": "no",
        "load_best_model_at_end": "false", "device": flags.device,
    }  # fmt: skip
    if flags.share_steps:
        train["share_steps"] = flags.share_steps
    overrides = [
        f"model.base={folder / 'base'}", "model.adapter=none", f"data.files={folder / 'records.jsonl'}",
        "data.template={prompt: '{{ p }} ', answer: '{{ a }}'}", "data.split={validation: 0, test: 0}",
        f"data.max_length={flags.length}", f"objective={flags.objective}", "tracking.report_to=[]",
        f"runs_dir={folder / 'runs'}", f"name=run-{time.time_ns()}", *(f"train.{k}={v}" for k, v in train.items()),
    ]  # fmt: skip
    config = require_complete(load_config("causal", overrides))
    run = RunFolder(Path(config.runs_dir) / config.name)
    trainer, loaded = build_trainer(run, config, prepare_in(run, config), warn=lambda _: None)
    return trainer, loaded.model


def labelled(rows: Any) -> list[dict[str, Any]]:
    """The same rows as a plain trainer takes them: labels beside the ids, -100 where nothing is learned."""
    found = []
    for number in range(len(rows)):
        row = rows[number]
        ids, labels = list(row["input_ids"]), [-100] * len(row["input_ids"])
        for span in row["supervised"]:
            labels[span["start"] : span["end"]] = ids[span["start"] : span["end"]]
        found.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
    return found


def plain_trainer(flags: argparse.Namespace) -> Any:
    """The transformers Trainer with its own loss, on the same model, rows, optimizer and schedule."""
    from transformers import DataCollatorForSeq2Seq, PrinterCallback, Trainer, TrainingArguments

    ours, model = built(flags)
    arguments = TrainingArguments(
        output_dir=str(flags.folder / "plain"),
        per_device_train_batch_size=flags.batch,
        gradient_accumulation_steps=flags.accumulation,
        max_steps=ENDLESS,
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        optim=flags.optim,
        logging_steps=flags.logging_steps,
        save_strategy="no",
        use_cpu=flags.device == "cpu",
        report_to=[],
        disable_tqdm=True,
    )
    model.config.use_cache = False
    collate = DataCollatorForSeq2Seq(_tokenizer(flags), padding=True)
    trainer = Trainer(model=model, args=arguments, train_dataset=labelled(ours.work.train), data_collator=collate)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _tokenizer(flags: argparse.Namespace) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(flags.folder / "base"))


class Turns:
    """A training in a thread of its own that rests after each block of steps until it is called for the next."""

    def __init__(self, run: Callable[[Turns], None], *, block: int) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._block, self._steps, self._error = block, 0, None
        self.stopping = False
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)

    def _run(self, run: Callable[[Turns], None]) -> None:
        self._go.acquire()
        try:
            run(self)
        except BaseException as error:
            self._error = error
        self._done.release()

    def step_done(self) -> None:
        """Called by the training after each optimizer step; does not return before the next turn."""
        self._steps += 1
        if self._steps % self._block == 0:
            self._done.release()
            self._go.acquire()

    def __call__(self) -> None:
        """Let it train one block."""
        if not self._thread.is_alive():
            self._thread.start()
        self._go.release()
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Let it end after its next step."""
        self.stopping = True
        self._block = ENDLESS
        if self._thread.is_alive():
            self()
            self._thread.join()


def with_trainer(make: Callable[[], Any], clocks: Clocks | None = None) -> Callable[[Turns], None]:
    """A training by a trainer."""
    from transformers import TrainerCallback

    trainer = make()
    if clocks is not None:
        clocks.put_into(trainer)

    def run(turns: Turns) -> None:
        class Stepping(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                turns.step_done()
                control.should_training_stop = turns.stopping

        trainer.add_callback(Stepping())
        trainer.train()

    return run


def by_hand(flags: argparse.Namespace, *, dense: bool) -> Callable[[Turns], None]:
    """The least that a training needs: batches that are there already, loss, backward, clipping, optimizer."""
    import torch

    ours, model = built(flags)
    rows = ours.work.train
    windows = range(0, len(rows) - len(rows) % flags.batch, flags.batch)
    if dense:
        plain = labelled(rows)
        batches = [_collate_dense(plain[low : low + flags.batch], model.device) for low in windows]
    else:
        batches = [ours.work.collate([rows[n] for n in range(low, low + flags.batch)]) for low in windows]
        batches = [ours._prepare_inputs(batch) for batch in batches]
    model.train()
    optimizer = ours.create_optimizer()
    objective, forward = ours.work.objective, ours.work.forward

    def loss(batch: Any) -> Any:
        if dense:
            return model(**batch, use_cache=False).loss
        positional, named = forward(model, batch).arguments()
        return objective(*positional, **named).total

    def run(turns: Turns) -> None:
        number = 0
        while not turns.stopping:
            for _ in range(flags.accumulation):
                (loss(batches[number % len(batches)]) / flags.accumulation).backward()
                number += 1
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            turns.step_done()

    return run


def _collate_dense(rows: list[dict[str, Any]], device: Any) -> dict[str, Any]:
    import torch

    length = max(len(row["input_ids"]) for row in rows)
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    return {
        name: torch.tensor([row[name] + [value] * (length - len(row[name])) for row in rows], device=device)
        for name, value in fill.items()
    }


def side(name: str, flags: argparse.Namespace, clocks: Clocks | None = None) -> Callable[[Turns], None]:
    """One of SIDES, ready to train."""
    if name == "lossmith":
        return with_trainer(lambda: built(flags)[0], clocks)
    if name == "trainer":
        return with_trainer(lambda: plain_trainer(flags), clocks)
    return by_hand(flags, dense=name == "dense loop")
