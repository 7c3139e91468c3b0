"""LoRA by peft: which modules of a family it goes on, and what trains beside it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, nearest
from lossmith.models.added_tokens import trainable_rows
from lossmith.models.hidden import family_of

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")

# What people of each family train: attention alone, or every projection of a layer.
TARGETS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *(
                "qwen2",
                "qwen3",
                "qwen2_moe",
                "qwen3_moe",
                "mistral",
                "mixtral",
                "ministral",
                "gemma",
                "gemma2",
                "gemma3",
            ),
            *("gemma3_text", "gemma3n", "gemma3n_text", "smollm3", "stablelm", "granite", "granitemoe", "cohere"),
            *("cohere2", "olmo", "olmo2", "olmo3", "gpt_oss", "starcoder2"),
        ),
        _ATTENTION,
    ),
    "llama": (*_ATTENTION, *_MLP),
    "phi": ("q_proj", "k_proj", "v_proj", "dense"),
    "phi3": ("qkv_proj", "o_proj"),
    **dict.fromkeys(("falcon", "gpt_neox", "bloom"), ("query_key_value", "dense")),
    "gpt2": ("c_attn",),
    "opt": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "mpt": ("Wqkv", "out_proj"),
}

# Parts of models of text and pictures that never see text; their projections bear the same names.
_NOT_TEXT = r".*(vision_tower|vision_model|visual|image_encoder|audio_tower|multi_modal_projector).*"


@dataclass(frozen=True)
class Adapted:
    """A model with LoRA on it, and the sentences that tell what was done."""

    model: PeftModel
    targets: tuple[str, ...] | str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def add_lora(
    model: PreTrainedModel, config: ModelConfig, *, token_ids: Sequence[int] = (), scratch: bool = False
) -> Adapted:
    """Put LoRA on the configured modules, and train the rows of `token_ids` beside it.

    Parameters that train are fp32 whatever the model's number format. Raises ConfigError for a target that is not
    there, or a family without a row in `TARGETS` when none was given.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    targets = resolve_targets(model, config.lora_target_modules)
    whole, tied = _whole_modules(model, config.lora_modules_to_save)
    # An embedding that trains whole trains its new rows with it.
    rows = {
        path: ids
        for path, ids in trainable_rows(model, token_ids).items()
        if token_ids and path.rpartition(".")[2] not in (whole or ())
    }
    pictures = any(re.fullmatch(_NOT_TEXT, name) for name, _ in model.named_modules())
    # An alpha of whole numbers stays whole: that is how adapters are written and compared.
    alpha: Any = int(config.lora_alpha) if float(config.lora_alpha).is_integer() else config.lora_alpha
    settings = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.lora_r,
        lora_alpha=alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=_NOT_TEXT if pictures else None,
        modules_to_save=whole,
        trainable_token_indices=rows or None,
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        revision=config.revision,
        ensure_weight_tying=tied,
    )
    with quiet_peft():
        adapted = get_peft_model(model, settings)
    notes = [_without_dropout_on_head(adapted), *_counted(adapted, targets)]
    train_in_fp32(adapted)
    warning = (
        "LoRA on a scratch base trains small corrections to random weights: model.adapter=none trains the model itself"
    )
    return Adapted(adapted, targets, tuple(note for note in notes if note), (warning,) if scratch else ())


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence what peft says and no user can act on: a property by its old name; tied weights, which are tied here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`", category=UserWarning)
        yield


def resolve_targets(model: PreTrainedModel, wanted: str | Sequence[str] | None) -> tuple[str, ...] | str:
    """Names of the modules LoRA goes on: the family's own for None, `all-linear`, names, or one regular expression.

    Raises ConfigError, with the nearest name, for a name no module bears.
    """
    if wanted == ALL_LINEAR:
        return ALL_LINEAR
    linear = linear_names(model)
    if wanted is None:
        family = family_of(model)
        if family not in TARGETS:
            raise ConfigError(
                f"which modules LoRA goes on is not known for the family '{family}'",
                got=family,
                expected=f"model.lora_target_modules: names among {', '.join(linear)}",
                fix="model.lora_target_modules=all-linear takes them all",
            )
        wanted = TARGETS[family]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if isinstance(wanted, str) and wanted not in linear and _matches(model, wanted):
        return wanted
    for name in names:
        _check_target(model, name, linear)
    return tuple(names)


def linear_names(model: Any) -> list[str]:
    """Last names of the linear layers, the output layer left out.

    >>> linear_names(nn.ModuleDict({"up": nn.Linear(2, 2), "norm": nn.LayerNorm(2)}))
    ['up']
    """
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if _is_linear(module) and module is not output
        }
    )


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Trainable and all parameters; tied weights once, 4-bit weights by their true number.

    >>> count_parameters(nn.Linear(3, 2))
    (8, 8)
    """
    trainable = total = 0
    for parameter in model.parameters():
        numel = parameter.numel()
        if type(parameter).__name__ == "Params4bit":
            # Two weights to a byte, however wide the storage's elements are.
            numel *= 2 * parameter.element_size()
        total += numel
        trainable += numel if parameter.requires_grad else 0
    return trainable, total


def train_in_fp32(model: nn.Module) -> None:
    """Give every parameter that trains fp32 master weights; half-precision steps would round small updates away."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()


def _is_linear(module: nn.Module) -> bool:
    # Quantised linear layers derive from nn.Linear; GPT-2's is its own class.
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _matches(model: nn.Module, pattern: str) -> bool:
    try:
        return any(re.fullmatch(pattern, name) for name, module in model.named_modules() if _is_linear(module))
    except re.error:
        return False


def _check_target(model: PreTrainedModel, name: str, linear: Sequence[str]) -> None:
    found = [m for path, m in model.named_modules() if path == name or path.endswith("." + name)]
    if any(module is model.get_output_embeddings() for module in found) and _is_tied(model):
        raise ConfigError(
            f"'{name}' is tied to the input embedding in this {family_of(model)} model, so LoRA cannot go on it alone",
            got=f"model.lora_target_modules with {name}",
            expected=", ".join(linear),
            fix=f"leave {name} out, or train it whole with model.lora_modules_to_save=[{name}]",
        )
    if any(_is_linear(module) or isinstance(module, nn.Embedding) for module in found):
        return
    near = nearest(name, linear)
    raise ConfigError(
        f"no linear layer is named '{name}' in this {family_of(model)} model"
        + (f" ('{name}' is a {type(found[0]).__name__})" if found else ""),
        got=f"model.lora_target_modules with {name}",
        expected=f"{ALL_LINEAR}, or names among {', '.join(linear)}",
        fix=f"did you mean '{near}'?" if near else f"model.lora_target_modules={ALL_LINEAR}",
    )


def _whole_modules(model: PreTrainedModel, names: Sequence[str]) -> tuple[list[str] | None, bool]:
    """Peft's `modules_to_save`, and whether copies in it must be kept tied.

    Either name of a tied embedding stands for the input embedding, which is the one peft copies; without the tie two
    copies would drift apart.
    """
    whole, tied = [], False
    for name in names:
        found = [(path, module) for path, module in model.named_modules() if path == name or path.endswith("." + name)]
        if not found:
            known = {path.rpartition(".")[2] for path, _ in model.named_modules() if path}
            near = nearest(name, known)
            raise ConfigError(
                f"no module is named '{name}' in this {family_of(model)} model",
                got=f"model.lora_modules_to_save with {name}",
                expected="a module of the model, such as lm_head",
                fix=f"did you mean '{near}'?" if near else None,
            )
        embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
        if _is_tied(model) and any(module in embeddings for _, module in found):
            name = next(path for path, module in model.named_modules() if module is embeddings[0])  # noqa: PLW2901
            name, tied = name.rpartition(".")[2], True  # noqa: PLW2901
        whole.append(name)
    return list(dict.fromkeys(whole)) or None, tied


def _is_tied(model: PreTrainedModel) -> bool:
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    return inputs is not None and outputs is not None and inputs.weight is outputs.weight


def _without_dropout_on_head(model: PeftModel) -> str | None:
    """LoRA on the output layer is kept one matrix, so that losses need no vocabulary-wide logits."""
    base: Any = model.get_base_model()
    head = base.get_output_embeddings()
    dropouts = getattr(head, "lora_dropout", None)
    if dropouts is None or all(isinstance(dropout, nn.Identity) for dropout in dropouts.values()):
        return None
    for adapter in dropouts:
        dropouts[adapter] = nn.Identity()
    return "LoRA on the output layer runs without dropout: with it the layer would be no single matrix"


def _counted(model: PeftModel, targets: tuple[str, ...] | str) -> list[str]:
    trainable, total = count_parameters(model)
    names = targets if isinstance(targets, str) else ", ".join(targets)
    return [f"LoRA on {names}: {trainable:,} of {total:,} parameters train ({trainable / total:.2%})"]
