"""The one Trainer subclass: counts before the first backward, divides once, and logs every term by itself."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import EvalLoopOutput

from lossmith.errors import LossmithError
from lossmith.losses import Objective
from lossmith.models.save import adapter_alone
from lossmith.runs import RunFolder, append_jsonl
from lossmith.tasks.rows import Rows
from lossmith.tasks.task import Collate, Forward, Parts
from lossmith.train.checkpoints import GROUPS, STAGING, TALLY, complete_checkpoints, publish, rotate
from lossmith.train.counting import CountingCollator
from lossmith.train.group_losses import GroupLosses
from lossmith.train.progress import LiveProgress
from lossmith.train.samplers import Drawing, DrawnRows
from lossmith.train.stopping import EarlyStopping
from lossmith.train.tally import Evaluation, Tally, components_of, reduce_over_processes
from lossmith.train.watching import seen

# A model and the logits by row number that the evaluation has seen, to metrics by name.
Measure = Callable[[nn.Module, Mapping[int, np.ndarray]], dict[str, float]]
SKIPPED_STEPS_ALLOWED = 20
SHOWN_IDS = 16


@dataclass(frozen=True)
class Work:
    """What is trained on: the objective, the task's forward, the rows, and where results are told."""

    objective: Objective
    forward: Forward
    train: Rows
    validation: Rows | None
    collate: Collate
    count: Callable[[Objective, Mapping[str, Any]], dict[str, float]]
    run: RunFolder
    warn: Callable[[str], None]
    figures: tuple[str, ...] = ()
    measure: Measure | None = None
    share_steps: int = 50
    checkpoints_kept: int | None = None
    total_steps: int = 0
    steps_per_epoch: int = 1
    drawing: Drawing | None = None
    progress: LiveProgress = field(default_factory=LiveProgress)


class ObjectiveTrainer(Trainer):
    """Minimises an Objective under the counting laws.

    A term's denominator is counted over the whole accumulation window and all processes before the first backward
    of the window; every micro-batch divides by that number, so the gradient does not depend on how the window is cut.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        work: Work,
        *,
        callbacks: list[TrainerCallback],
        **rest: Any,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=work.train,
            eval_dataset=work.validation,
            data_collator=CountingCollator(work.collate, work.objective, work.count),
            callbacks=callbacks,
            **rest,
        )
        # Without both, the Trainer divides our window-normalised loss once more by the accumulation steps.
        self.loss_is_scaled_for_ga = True
        self.model_accepts_loss_kwargs = True
        self.remove_callback(PrinterCallback)
        self.work = work
        self.tally = Tally(work.objective.terms, work.figures)
        self.group_losses = GroupLosses(work.objective.terms)
        self._window: dict[str, float] = {}
        self._window_rows: list[Tensor] = []
        self._finite: list[Tensor] = []
        self._measure_shares = False
        self._skipped = 0

    # -- counting -----------------------------------------------------------------------------------------------

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """Fetch a window and count every denominator over it and over all processes."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        window = dict.fromkeys(components_of(self.work.objective.terms), 0.0)
        for batch in batches:
            for name, count in batch["counts"].items():
                window[name] += count
        self._window = reduce_over_processes(window, device)
        self._window_rows = [batch["rows"] for batch in batches]
        self._finite = []
        self.work.forward.refresh_scale()
        step = self.state.global_step + 1
        # A term alone has all of the gradient, unless its formula has none.
        shared = len(self.work.objective.terms) > 1 or any(":" in term.loss for term in self.work.objective.terms)
        self._measure_shares = shared and (step == 1 or step % self.work.share_steps == 0)
        return batches, torch.tensor(sum(self._window.values()))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The objective on one micro-batch, divided by the counts of the window."""
        if return_outputs:
            raise LossmithError(
                "there are no outputs to return: logits are never materialised", got="return_outputs=True"
            )
        parts = self.work.forward(model, inputs)
        value = parts.value(self.work.objective, counts=self._window)
        if self._measure_shares:
            self._record_shares(parts, value.sums)
        self.tally.add(value.sums, value.counts, inputs["tokens"])
        self.tally.add_notes(value.notes, value.counts)
        self.tally.add_figures(parts.figures())
        self.group_losses.add(value.sums)
        self._finite.append(torch.isfinite(value.total.detach()))
        # DDP averages gradients over processes; the counts already hold all of them.
        return value.total * self.accelerator.num_processes

    def _record_shares(self, parts: Parts, sums: Mapping[str, Tensor]) -> None:
        self._measure_shares = False
        shares = parts.few(self.work.objective).shares(self.work.objective, counts=self._window)
        warm = self.state.global_step >= self.args.get_warmup_steps(self.state.max_steps)
        for name in self.tally.add_shares(shares, sums, warm=warm):
            self.work.warn(
                f"the term '{name}' is dead: its share of the gradient stayed under 1e-4 in five measurements running "
                f"(now {self.tally.shares[name]:.1e} at step {self.state.global_step + 1}); it trains nothing. "
                "Raise its weight, check its span with `lossmith inspect`, or take it out"
            )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """None: the Trainer would walk over all modules for each micro-batch, for a number that nobody reads."""
        return 0

    # -- refusing to go on ---------------------------------------------------------------------------------------

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm as logged; a non-finite loss or gradient stops the run here, before the optimizer steps."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        of_norm = torch.isfinite(torch.as_tensor(0.0 if norm is None else norm, device=self.args.device))
        # Read together, for this is where a step waits for the device.
        *finite, finite_norm = torch.stack([*self._finite, of_norm]).tolist()
        step = self.state.global_step + 1
        if not all(finite):
            wrong = [rows for rows, is_finite in zip(self._window_rows, finite, strict=True) if not is_finite]
            terms = self.tally.not_finite()
            raise self._not_finite("loss", self.work.train, torch.cat(wrong), step=step, terms=terms)
        # Under fp16 the scaler skips the step itself; what is counted are skips in a row.
        self._skipped = 0 if finite_norm else self._skipped + 1
        scaler = getattr(self.accelerator, "scaler", None)
        allowed = SKIPPED_STEPS_ALLOWED if scaler is not None and scaler.is_enabled() else 1
        if self._skipped >= allowed:
            raise self._not_finite("gradient", self.work.train, torch.cat(self._window_rows), step=step)
        self.group_losses.follow(self._window, self.args.device)
        return norm

    def _not_finite(
        self, what: str, split: Rows, rows: Tensor, *, step: int, terms: Sequence[str] = ()
    ) -> LossmithError:
        ids = split.ids(rows.flatten().tolist())
        shown = ", ".join(ids[:SHOWN_IDS]) + (f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else "")
        saved = complete_checkpoints(self.work.run.checkpoints)
        go_on = f"; {saved[-1].name} is whole and `--resume` goes on from it" if saved else ""
        return LossmithError(
            f"the {what} is not finite at step {step}",
            got=f"records {shown}" + (f"; the term {' and '.join(terms)}" if terms else ""),
            expected="finite numbers",
            fix=f"lower train.learning_rate, or look at these records with `lossmith inspect`{go_on}",
        )

    # -- evaluation ------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        """The rows of each epoch, as train.sampler draws them."""
        drawing = self.work.drawing
        if drawing is None:
            return super()._get_train_sampler(train_dataset)
        return DrawnRows(
            drawing.probability,
            seed=self.args.seed,
            epoch=lambda: self.state.global_step // self.work.steps_per_epoch,
        )

    def evaluation_loop(self, dataloader: DataLoader[Any], *_: Any, **__: Any) -> EvalLoopOutput:
        """Exact loss over the validation rows: sums and counts are added up, and divided once at the end."""
        rows, model = self.work.validation, self.model
        assert rows is not None and model is not None
        self.work.forward.refresh_scale()
        model.eval()
        found = Evaluation(self.tally.terms, self.tally.figures)
        for batch in self._own_share(rows):
            with torch.no_grad(), self.compute_loss_context_manager():
                parts = self.work.forward(model, self._prepare_inputs(batch))
                found.add(parts.value(self.work.objective), parts, batch["rows"])
            if terms := found.not_finite():
                step = self.state.global_step
                raise self._not_finite("evaluation loss", rows, batch["rows"], step=step, terms=terms)
        metrics = found.metrics(self.args.device)
        if self.work.measure is not None:
            measured = self.work.measure(model, found.all_logits())
            metrics |= {f"eval_{name}": value for name, value in measured.items()}
        nothing = np.empty(0)
        return EvalLoopOutput(predictions=nothing, label_ids=nothing, metrics=metrics, num_samples=len(rows))

    def _own_share(self, rows: Rows) -> Iterator[dict[str, Any]]:
        """Batches of near-equal lengths, dealt out to the processes without repeating a row."""
        order = np.argsort(-rows.lengths, kind="stable").tolist()
        own = order[self.args.process_index :: self.args.world_size]
        size = self.args.eval_batch_size
        for start in range(0, len(own), size):
            yield self.work.collate([rows[row] for row in own[start : start + size]])

    # -- telling ---------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write training and evaluation lines of the history, then what the Trainer's callbacks see."""
        step = self.state.global_step
        line: dict[str, Any] | None = None
        if "loss" in logs:
            self.tally.gather(self.args.device)
            line = {"step": step, **self.tally.line(), "learning_rate": logs.get("learning_rate")}
            norm = float(logs.get("grad_norm", math.nan))
            # A step that loss scaling skipped has no norm.
            line |= {"grad_norm": norm if math.isfinite(norm) else None, "tokens": self.tally.tokens}
            self.work.progress.show(line, self.tally.tokens, self.tally.seconds)
            logs["loss"] = line["loss"]
            logs |= {f"term/{n}": t["value"] for n, t in line["terms"].items() if t["value"] is not None}
            logs |= {f"share/{n}": t["share"] for n, t in line["terms"].items() if t["share"] is not None}
        elif "eval_loss" in logs:
            own = ("eval_loss", *(key for key in logs if key.startswith("eval_") and key != "eval_loss"))
            timing = ("_runtime", "_samples_per_second", "_steps_per_second")
            line = {"step": step, **{key: logs[key] for key in own if not key.endswith(timing)}}
        if line is not None and self.is_world_process_zero():
            append_jsonl(self.work.run.history, {**line, "seconds": round(self.tally.seconds, 3)})
            if "eval_loss" in line:
                seen(line)
        super().log(logs, start_time)

    # -- saving ----------------------------------------------------------------------------------------------------

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """A new best evaluation is always saved: a best checkpoint that was never written cannot be kept."""
        wanted = f"eval_{str(self.args.metric_for_best_model).removeprefix('eval_')}"
        if wanted not in metrics:
            self.work.warn(
                f"{wanted} has no value at step {self.state.global_step}: this evaluation chooses no checkpoint"
            )
            return False
        best = super()._determine_best_metric(metrics, trial)
        if best and self.args.load_best_model_at_end:
            self.control.should_save = True
        return best

    def _get_output_dir(self, trial: Any) -> str:
        folder = self.work.run.checkpoints
        return str(folder / STAGING if getattr(self, "_staging", False) else folder)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside, then give it its name: under that name it is always whole."""
        folder, best = self.work.run.checkpoints, self._best_checkpoint()
        if self.is_world_process_zero():
            shutil.rmtree(folder / STAGING, ignore_errors=True)
        # Another process may be about to write its random state there.
        self.accelerator.wait_for_everyone()
        self._staging = True
        try:
            with adapter_alone(model):
                super()._save_checkpoint(model, trial)
        finally:
            self._staging = False
        self.tally.gather(self.args.device)
        # The Trainer saw its best checkpoint where it was staged.
        self.state.best_model_checkpoint = str(best) if best is not None else None
        if self.is_world_process_zero():
            staged = folder / STAGING / f"checkpoint-{self.state.global_step}"
            self.state.save_to_json(str(staged / TRAINER_STATE_NAME))
            self.tally.save(staged / TALLY)
            self.group_losses.save(staged / GROUPS)
            publish(staged, folder)
            rotate(folder, limit=self.work.checkpoints_kept, best=best)
        self.accelerator.wait_for_everyone()

    def _best_checkpoint(self) -> Path | None:
        """Where the best checkpoint lies, or is about to lie; None where its step was never saved."""
        step = self.state.best_global_step
        path = self.work.run.checkpoints / f"checkpoint-{step}"
        return path if step == self.state.global_step or path.exists() else None

    def restore(self, checkpoint: Path) -> None:
        """Take up the tally and the weights of groups that lie in a checkpoint; the Trainer restores the rest."""
        self.tally.restore(checkpoint / TALLY, first=self.is_world_process_zero())
        self.group_losses.restore(checkpoint / GROUPS)

    def is_finished(self, checkpoint: Path, total_steps: int) -> bool:
        """Whether training had ended when this checkpoint was taken, by its steps or by patience."""
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        stopped = state.stateful_callbacks.get(EarlyStopping.__name__)
        patience_over = stopped is not None and EarlyStopping.from_state(stopped).exhausted
        return state.global_step >= total_steps or patience_over

    def finish_from(self, checkpoint: Path) -> None:
        """Load the weights that a finished training leaves: those of the best checkpoint, or of the last."""
        self.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        best = checkpoint.with_name(f"checkpoint-{self.state.best_global_step}")
        chosen = best if self.args.load_best_model_at_end and best.exists() else checkpoint
        self._load_from_checkpoint(str(chosen))
