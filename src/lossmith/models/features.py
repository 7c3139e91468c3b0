"""Pooled features of a frozen backbone: what a head reads of a text, computed once and put in the backbone's place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lossmith.errors import ConfigError
from lossmith.models.feature_store import FeatureStore, key_of
from lossmith.models.hidden import family_of, unwrap
from lossmith.models.modes import evaluating
from lossmith.models.pooled import POOLINGS

Inputs = Mapping[str, Tensor]
# How far logits from features may be from the model's own, over the largest of these: by the weights' number format.
AGREEMENT = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
FLUSH_ROWS = 256
# What a configuration says of head, origin, files or training: its features depend on none of it, and a model that was
# saved and loaded again has another.
_NOT_OF_THE_BACKBONE = (
    "_name_or_path", "architectures", "bos_token_id", "dtype", "eos_token_id", "id2label", "label2id", "num_labels",
    "problem_type", "torch_dtype", "transformers_version", "use_cache",
)  # fmt: skip


# Ways of making one vector of a text, in the order in which they are tried: what the backbone makes itself comes first.
POOLER = "pooler"
WAYS = (POOLER, *POOLINGS)


@dataclass(frozen=True)
class FrozenBackbone:
    """A model whose head alone trains: its backbone, and how the head's own layers read it.

    `pooling` is what the head makes of the backbone's states, found by trying: with the vector in the place of the
    states the model's own layers give the model's own logits. A pooler that trains, because the checkpoint has none,
    belongs to the head.
    """

    model: nn.Module
    backbone: nn.Module
    pooling: str

    @classmethod
    def of(cls, model: nn.Module, probe: Inputs) -> FrozenBackbone:
        """Find out on `probe`, some texts of unlike length, how the head of a model reads its backbone.

        Raises ConfigError where no way of pooling gives the model's own logits.
        """
        backbone = backbone_of(model)
        allowed = AGREEMENT.get(next(backbone.parameters()).dtype, AGREEMENT[torch.float32])
        errors: dict[str, float] = {}
        with torch.no_grad(), evaluating(model):
            true = model(**probe).logits.float()
            for pooling in WAYS[_pooler_trains(backbone) :]:
                frozen = cls(model, backbone, pooling)
                features = frozen.compute(probe)
                if features is None:
                    continue
                with frozen.replaced_by(features):
                    found = model(**one_token(probe)).logits.float()
                errors[pooling] = float((found - true).abs().max() / true.abs().max())
        # In 16 bits more than one may be within reach: the first of the nearest.
        nearest = next(way for way, error in errors.items() if error <= 2 * min(errors.values()))
        if errors[nearest] <= allowed:
            return cls(model, backbone, nearest)
        raise ConfigError(
            f"the head of this {family_of(model)} model reads more of its backbone than one vector",
            got="model.freeze_backbone=true",
            expected=f"a head that reads one vector of a text: {', '.join(WAYS)}",
            fix="model.freeze_backbone=false",
        )

    def compute(self, inputs: Inputs) -> Tensor | None:
        """Features (examples, width) of some texts in fp32, None where the backbone has none of this pooling."""
        output = self.backbone(**inputs)
        if self.pooling == POOLER:
            features = getattr(output, "pooler_output", None)
        else:
            features = POOLINGS[self.pooling](output.last_hidden_state, inputs["attention_mask"])
        return None if features is None else features.float()

    @contextmanager
    def replaced_by(self, features: Tensor) -> Iterator[None]:
        """Inside, the backbone gives these features (examples, width) for texts of one token instead of running."""
        from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions as Output

        states: Any = features.to(next(self.backbone.parameters()).dtype)[:, None, :]
        pooler = getattr(self.backbone, "pooler", None)

        def give(*_: Any, **__: Any) -> Any:
            pooled = states[:, 0] if self.pooling == POOLER or pooler is None else pooler(states)
            return Output(last_hidden_state=states, pooler_output=pooled)

        self.backbone.forward = give
        try:
            yield
        finally:
            del self.backbone.forward

    def store(self, folder: Path, *, width: int) -> FeatureStore:
        """The store in `folder` of the features that this backbone gives in its number format."""
        dtype = str(next(self.backbone.parameters()).dtype)
        weights = fingerprint(self.backbone, pooler=self.pooling == POOLER)
        name = key_of(weights.encode(), self.pooling.encode(), dtype.encode())
        return FeatureStore(folder / name, width)


def backbone_of(model: nn.Module) -> nn.Module:
    """The part of a model with a head that makes its states. Raises ConfigError where the model names none."""
    inner = unwrap(model)
    found = getattr(inner, "backbone", None) or getattr(inner, str(getattr(inner, "base_model_prefix", "")), None)
    if isinstance(found, nn.Module):
        return found
    raise ConfigError(
        f"this {family_of(inner)} model has no backbone apart from its head", got="model.freeze_backbone=true"
    )


def freeze_backbone(model: nn.Module, *, fresh: Collection[str] = ()) -> None:
    """Let the head of a model train alone, and a pooler that is among the modules with `fresh` weights."""
    backbone = backbone_of(model)
    backbone.requires_grad_(False)
    pooler = getattr(backbone, "pooler", None)
    if pooler is not None and "pooler" in fresh:
        pooler.requires_grad_(True)


def _pooler_trains(backbone: nn.Module) -> bool:
    pooler = getattr(backbone, "pooler", None)
    return pooler is not None and any(parameter.requires_grad for parameter in pooler.parameters())


def one_token(inputs: Inputs) -> dict[str, Tensor]:
    """The inputs of texts of one token each, which stands for all of a text."""
    return {
        name: torch.ones_like(held[:, :1]) if name == "attention_mask" else held[:, :1]
        for name, held in inputs.items()
        if held.ndim == 2
    }


def fingerprint(backbone: nn.Module, *, pooler: bool = True) -> str:
    """sha256 of the configuration and of all frozen weights of a backbone: whatever its features depend on.

    Without those of its `pooler` where no feature passes it: a checkpoint may lack them, and they are random then.
    """
    digest = hashlib.sha256()
    config = getattr(backbone, "config", None)
    if config is not None:
        facts = {name: value for name, value in config.to_dict().items() if name not in _NOT_OF_THE_BACKBONE}
        digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    trained = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    for name, tensor in sorted(backbone.state_dict().items()):
        if name in trained or (not pooler and name.startswith("pooler.")):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def key_of_text(*ids: Sequence[int]) -> str:
    """The key of a text by its token ids, and by what else an encoder reads beside them."""
    return key_of(*(np.asarray(each, dtype="<i4").tobytes() for each in ids))


def fill(
    store: FeatureStore,
    keys: Sequence[str],
    compute: Callable[[Sequence[int]], Tensor],
    *,
    lengths: Sequence[int] | np.ndarray,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Compute what a store does not hold yet, and say how many rows that was.

    `compute` takes numbers of `keys`, texts of like length together, to features (texts, width). What is computed
    reaches the disk every few hundred rows, so that a killed process goes on where it was.
    """
    with store.writing():
        first = {key: number for number, key in reversed([*enumerate(keys)])}
        distinct = list(first)
        absent = [first[key] for key, place in zip(distinct, store.places(distinct), strict=True) if place < 0]
        absent.sort(key=lambda number: -lengths[number])
        waiting: list[Tensor] = []
        done = 0
        for start in range(0, len(absent), batch_size):
            chosen = absent[start : start + batch_size]
            with torch.no_grad():
                waiting.append(compute(chosen).float().cpu())
            end = start + len(chosen)
            if end - done >= FLUSH_ROWS or end == len(absent):
                store.append([keys[number] for number in absent[done:end]], torch.cat(waiting).numpy())
                waiting, done = [], end
            if progress is not None:
                progress(end, len(absent))
    return len(absent)
