"""A class head on pooled hidden states, for encoders whose own head pools otherwise, such as sentence encoders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lossmith.errors import InputError
from lossmith.models.class_head import ClassHead

HEAD_FILE = "head.safetensors"
SENTENCE_POOLING = Path("1_Pooling") / "config.json"
Pooling = Literal["mean", "cls", "last"]


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp_min(1.0)


def _first(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.int().argmax(1)]


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    places = torch.arange(mask.shape[1], device=mask.device)
    return hidden[torch.arange(len(hidden), device=hidden.device), (mask * places).argmax(1)]


POOLINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": _mean, "cls": _first, "last": _last}


@dataclass(frozen=True)
class Pooled:
    """What a call gives: logits (examples, outputs), and the features (examples, width) that they were made from."""

    logits: Tensor
    features: Tensor


class PooledClassifier(nn.Module):
    """A backbone, its last hidden states pooled to one vector, and a linear layer on it.

    >>> states, mask = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 0]])
    >>> [POOLINGS[name](states, mask).item() for name in ("mean", "cls", "last")]
    [2.0, 1.0, 3.0]
    """

    def __init__(self, backbone: Any, pooling: Pooling, head: ClassHead, *, seed: int = 0) -> None:
        super().__init__()
        self.backbone: Any = backbone
        self.pooling, self.outputs = pooling, head
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(int(backbone.config.get_text_config().hidden_size), len(head.names))

    @property
    def config(self) -> Any:
        """The backbone's."""
        return self.backbone.config

    def features(self, **inputs: Tensor) -> Tensor:
        """(examples, width) of token ids and their mask (examples, tokens)."""
        hidden = self.backbone(**inputs).last_hidden_state
        pooled: Tensor = POOLINGS[self.pooling](hidden, inputs["attention_mask"])
        return pooled

    def forward(self, **inputs: Tensor) -> Pooled:
        """Logits of token ids and their mask."""
        features = self.features(**inputs)
        return Pooled(self.head(features.to(self.head.weight.dtype)), features)

    def gradient_checkpointing_enable(self, **keywords: Any) -> None:
        """Recompute the backbone's activations in the backward pass."""
        self.backbone.gradient_checkpointing_enable(**keywords)

    def save_head(self, folder: Path) -> None:
        """Write the linear layer, with what is pooled and what the outputs are called."""
        from safetensors.torch import save_file

        about = {
            "pooling": self.pooling,
            "names": json.dumps(self.outputs.names, ensure_ascii=False),
            "activation": self.outputs.activation,
        }
        tensors = {name: value.detach().float().cpu().contiguous() for name, value in self.head.state_dict().items()}
        save_file(tensors, folder / HEAD_FILE, metadata=about)

    def load_head(self, file: Path) -> None:
        """Take up what `save_head` wrote."""
        from safetensors.torch import load_file

        self.head.load_state_dict(load_file(file))


def saved_head(folder: Path) -> tuple[Pooling, ClassHead] | None:
    """Pooling and outputs of the head that lies in a model's folder, None where none does."""
    from safetensors import safe_open

    if not (folder / HEAD_FILE).is_file():
        return None
    with safe_open(folder / HEAD_FILE, framework="pt") as file:
        about: Any = file.metadata()
    return about["pooling"], ClassHead(tuple(json.loads(about["names"])), about["activation"])


def sentence_pooling(name: str, *, revision: str | None = None) -> Pooling | None:
    """How a sentence encoder pools, by the folder or hub name of its model; None for a model that is none.

    Raises InputError for a way that is not known here.
    """
    file = Path(name) / SENTENCE_POOLING
    if not Path(name).is_dir():
        from transformers.utils import cached_file

        try:
            found = cached_file(
                name, str(SENTENCE_POOLING), revision=revision, _raise_exceptions_for_missing_entries=False
            )
        except OSError:
            # Unreachable or misspelt: loading says so with everything that was tried.
            return None
        file = Path(found) if found is not None else file
    if not file.is_file():
        return None
    settings = json.loads(file.read_text(encoding="utf-8"))
    named = settings.get("pooling_mode") or []
    modes = [named] if isinstance(named, str) else list(named)
    # Encoders of older versions have a key for each way.
    modes += [key for key, value in settings.items() if key.startswith("pooling_mode_") and value]
    known: dict[str, Pooling] = {
        "mean": "mean",
        "cls": "cls",
        "lasttoken": "last",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_lasttoken": "last",
    }
    if len(modes) != 1 or modes[0] not in known:
        raise InputError(
            f"{name} pools in a way that is not known here",
            got=", ".join(modes) or "no way",
            expected=", ".join(known),
            fix="model.pooling=mean (or cls, or last) says how instead",
        )
    return known[modes[0]]
