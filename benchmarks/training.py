"""A step of `lossmith train` against one of the plain transformers Trainer with dense cross-entropy.

    python benchmarks/training.py [--width 256 --layers 4 --vocab 32000 --length 256 --batch 8] [--json FILE]

One small Qwen3 of random weights, half of the tokens in prompts, the same records, batches, optimizer and schedule in
fp32. Four sides take turns by blocks of steps in one process, each in a thread of its own that rests while another has
its turn: both trainers, and for each a loop written by hand around the same loss, which is the floor its trainer stands
on. Peaks of memory are taken in a process for each side. Then both trainers run with clocks inside, which tell apart
where a step's time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clocks import PARTS, Clocks
from measuring import (
    MIB,
    add_flags,
    extra_peaks,
    interleaved,
    machine_facts,
    print_extra_peak,
    summary,
    table,
    write_json,
)

TARGET_RATIO = 1.3
# The sides, and what each is.
SIDES = {
    "lossmith": "lossmith train",
    "trainer": "transformers Trainer, dense cross-entropy",
    "loop": "hand-written loop, lossmith's objective",
    "dense loop": "hand-written loop, dense cross-entropy",
}
TRAINERS = ("lossmith", "trainer")
ENDLESS = 10**6


# -- what is trained on ------------------------------------------------------------------------------------------------


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
            prompt, answer = (" ".join(f"w{draw.randrange(2, flags.vocab)}" for _ in range(n)) for n in (half, half - 1))
            out.write(json.dumps({"p": prompt, "a": answer}) + "\n")


def built(flags: argparse.Namespace) -> tuple[Any, Any]:
    """lossmith's trainer and model on these records, put together as `lossmith train` does."""
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


# -- the sides ---------------------------------------------------------------------------------------------------------


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
        collate = _collate_dense
        batches = [collate(plain[low : low + flags.batch], model.device) for low in windows]
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


# -- what is measured --------------------------------------------------------------------------------------------------


def timed(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds a step and tokens a second of each side, blocks taking turns."""
    turns = {name: Turns(side(name, flags), block=flags.block) for name in SIDES}
    times = interleaved(turns, repeat=flags.repeat)
    for each in turns.values():
        each.stop()
    rows = []
    for name, seconds in times.items():
        facts = {key.replace("_s", "_step_s"): value / flags.block for key, value in summary(seconds).items()}
        tokens = flags.batch * flags.accumulation * flags.length * (1 - flags.spread / 2)
        rows.append({"side": name, **facts, "tokens_per_s": tokens / facts["median_step_s"]})
    return rows


def parted(flags: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of a step by part, of both trainers in turns."""
    clocks = {name: Clocks() for name in TRAINERS}
    turns = {name: Turns(side(name, flags, clocks[name]), block=flags.block) for name in TRAINERS}
    for each in turns.values():
        each()
    for clock in clocks.values():
        clock.clear()
    for _ in range(flags.repeat):
        for name, each in turns.items():
            with clocks[name].running():
                each()
    for each in turns.values():
        each.stop()
    steps = flags.repeat * flags.block
    rows: list[dict[str, Any]] = [
        {"part": part} | {f"{name}_ms": 1000 * clock.seconds[part] / steps for name, clock in clocks.items()}
        for part in PARTS
    ]
    whole = {f"{name}_ms": 1000 * sum(clock.seconds[part] for part in PARTS) / steps for name, clock in clocks.items()}
    return [*rows, {"part": "step", **whole}]


def memory(flags: argparse.Namespace, given: list[str]) -> list[dict[str, Any]]:
    """Peaks beyond the model itself, and beyond its gradients and the two moments of Adam, which all sides hold."""
    from safetensors.torch import load_file

    held = 3 * sum(value.nbytes for value in load_file(flags.folder / "base" / "model.safetensors").values())
    peaks = extra_peaks(__file__, SIDES, [*given, "--folder", str(flags.folder)])
    return [
        {"side": name, "extra_MiB": peak / MIB, "beyond_optimizer_MiB": (peak - held) / MIB}
        for name, peak in peaks.items()
    ]


def read_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default, what in (
        ("width", 256, "of the model"),
        ("layers", 4, "of the model"),
        ("vocab", 32_000, "words"),
        ("length", 256, "tokens of a record, half of them in its prompt"),
        ("batch", 8, "records of a micro-batch"),
        ("accumulation", 1, "micro-batches of a step"),
        ("records", 256, "records to train on"),
        ("block", 2, "steps of a turn"),
        ("logging-steps", 10, "steps between log lines"),
        ("share-steps", 0, "steps between measurements of the terms' shares; 0: chosen for a run without end"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=what)
    parser.add_argument("--spread", type=float, default=0.0, help="records are up to this share shorter")
    parser.add_argument("--objective", default="{cross_entropy: 1}", help="of lossmith's sides")
    parser.add_argument("--optim", default="adamw_torch", help="of all sides, by transformers' name")
    parser.add_argument("--folder", type=Path, help="where model and records lie, or are made")
    add_flags(parser, repeat=5)
    return parser.parse_args()


def make_folder(flags: argparse.Namespace) -> bool:
    """Model and records for all sides and processes; whether they were made here."""
    fresh = flags.folder is None
    if fresh:
        flags.folder = Path(tempfile.mkdtemp(prefix="lossmith-benchmark-"))
        write_base(flags.folder / "base", flags)
        write_records(flags.folder / "records.jsonl", flags)
    os.environ["LOSSMITH_CACHE"] = str(flags.folder / "cache")
    return fresh


def report(flags: argparse.Namespace) -> int:
    """Measure and tell; 1 where a target is missed."""
    facts: dict[str, Any] = {
        "machine": machine_facts(flags.device),
        "sizes": {name: str(value) for name, value in vars(flags).items()},
        "sides": SIDES,
    }
    facts["time"] = timed(flags)
    print(table(facts["time"]), end="\n\n")
    seconds = {row["side"]: row["median_step_s"] for row in facts["time"]}
    facts["ratios"] = {
        "lossmith over trainer, tokens a second": seconds["trainer"] / seconds["lossmith"],
        "lossmith's trainer over its loop, seconds": seconds["lossmith"] / seconds["loop"],
        "Trainer over its loop, seconds": seconds["trainer"] / seconds["dense loop"],
    }
    for what, ratio in facts["ratios"].items():
        print(f"{what}: {ratio:.3f}")
    print()
    facts["parts"] = parted(flags)
    print(table(facts["parts"]), end="\n\n")
    passed = facts["ratios"]["lossmith over trainer, tokens a second"] >= TARGET_RATIO
    if not flags.no_memory:
        facts["memory"] = memory(flags, sys.argv[1:])
        print(table(facts["memory"]))
        peaks = {row["side"]: row["extra_MiB"] for row in facts["memory"]}
        passed = passed and peaks["lossmith"] < peaks["trainer"]
    write_json(flags.json, facts | {"target_ratio": TARGET_RATIO, "passed": passed})
    return 0 if passed else 1


def main() -> int:
    flags = read_flags()
    import torch

    torch.set_num_threads(flags.threads)
    fresh = make_folder(flags)
    try:
        if flags.memory:
            method = Turns(side(flags.only, flags), block=2)
            print_extra_peak(method, device=flags.device)
            return 0
        return report(flags)
    finally:
        if fresh:
            shutil.rmtree(flags.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
