"""LoRA by peft: which modules of a family it goes on, and what trains beside it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lossmith.config.model import ModelConfig
from lossmith.errors import ConfigError, InputError, nearest
from lossmith.models.added_tokens import trainable_rows
from lossmith.models.families import ENCODERS, FAMILIES
from lossmith.models.hidden import family_of
from lossmith.models.source import Source
from lossmith.models.tying import ALL_LINEAR, is_target, untie_target, whole_modules

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

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
    model: PreTrainedModel,
    config: ModelConfig,
    *,
    token_ids: Sequence[int] = (),
    scratch: bool = False,
    task_type: str | None = None,
    head: Sequence[str] = (),
) -> Adapted:
    """Put LoRA on the configured modules, and train the rows of `token_ids` beside it.

    `task_type` is peft's name for what the model does; not given, it writes text. The modules of `head` train whole and
    are saved with the adapter: without them a class head would be lost.
    Parameters that train are fp32 whatever the model's number format. An output layer that is a target is untied from
    the input embedding first. Raises ConfigError for a target that is not there, or a family without targets in
    `FAMILIES` when none were given.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    targets = resolve_targets(model, config.lora_target_modules, head=head)
    untied = untie_target(model, targets)
    whole = whole_modules(model, config.lora_modules_to_save)
    # An embedding that trains whole trains its new rows with it.
    rows = {
        path: ids
        for path, ids in trainable_rows(model, token_ids).items()
        if token_ids and path.rpartition(".")[2] not in whole.names
    }
    for path in rows:
        if is_target(path, targets):
            raise ConfigError(
                f"LoRA cannot go on '{path}' while the rows of added tokens train in it",
                got=f"model.lora_target_modules with {path.rpartition('.')[2]}, and model.add_tokens",
                expected="one of the two for each layer",
                fix=f"leave {path.rpartition('.')[2]} out of the targets: the new rows train anyway",
            )
    pictures = any(re.fullmatch(_NOT_TEXT, name) for name, _ in model.named_modules())
    # An alpha of whole numbers stays whole: that is how adapters are written and compared.
    alpha: Any = int(config.lora_alpha) if float(config.lora_alpha).is_integer() else config.lora_alpha
    settings = LoraConfig(
        task_type=TaskType[task_type] if task_type else _writes_text(model),
        r=config.lora_r,
        lora_alpha=alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=_NOT_TEXT if pictures else None,
        modules_to_save=list(dict.fromkeys([*head, *whole.names])) or None,
        trainable_token_indices=rows or None,
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        revision=config.revision,
        ensure_weight_tying=whole.tied,
    )
    with quiet_peft():
        adapted = get_peft_model(model, settings)
    notes = [untied, whole.note, without_dropout_on_head(adapted), *_counted(adapted, targets)]
    train_in_fp32(adapted)
    warning = (
        "LoRA on a scratch base trains small corrections to random weights: model.adapter=none trains the model itself"
    )
    return Adapted(adapted, targets, tuple(note for note in notes if note), (warning,) if scratch else ())


def _writes_text(model: PreTrainedModel) -> Any:
    from peft import TaskType

    return TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM


def load_adapter(
    model: PreTrainedModel,
    source: Source,
    config: ModelConfig,
    *,
    training: bool,
    task_type: str | None = None,
) -> tuple[Any, list[str]]:
    """The base with the adapter of `source` on it, and the sentences that tell it.

    To train, the adapter goes on as it was made, or, with adapter=none, is merged. Where `task_type` is given it must
    have been made for that. Raises InputError for an adapter
    that does not fit, ConfigError for tokens that cannot be added.
    """
    from peft import PeftConfig, PeftModel
    from safetensors import SafetensorError

    assert source.adapter is not None
    going_on = training and config.resolved_adapter == "lora"
    try:
        settings = PeftConfig.from_pretrained(source.adapter, revision=source.adapter_revision)
        _check_task_type(source, settings, task_type)
        untied = untie_target(model, getattr(settings, "target_modules", None) or ())
        with quiet_peft():
            adapted: Any = PeftModel.from_pretrained(
                model, source.adapter, revision=source.adapter_revision, is_trainable=going_on
            )
    except InputError:
        raise
    except (RuntimeError, ValueError, OSError, SafetensorError) as error:
        raise InputError(
            f"the adapter {source.adapter} does not fit its base {source.base}: {str(error).splitlines()[0]}",
            got=source.adapter,
            expected="an adapter of this base, with its tokenizer beside it where tokens were added",
        ) from error
    if not training:
        return adapted, [f"{source.base} with the adapter {source.adapter}"]
    if config.add_tokens:
        raise ConfigError(
            "tokens cannot be added while an existing adapter is trained on",
            got=f"model.base={source.adapter} with model.add_tokens",
            expected="a base without adapter",
            fix="merge the adapter first, then train on the merged model",
        )
    if not going_on:
        return adapted.merge_and_unload(), [
            f"the adapter {source.adapter} was merged into {source.base}; all weights train"
        ]
    own = adapted.peft_config["default"]
    told = f"training goes on with the adapter {source.adapter} as it was made (r {getattr(own, 'r', '?')}); "
    notes = [told + "lora_* keys of the configuration do not change it", untied, without_dropout_on_head(adapted)]
    return adapted, [note for note in notes if note]


def _check_task_type(source: Source, settings: Any, wanted: str | None) -> None:
    own = str(getattr(settings.task_type, "value", settings.task_type))
    if wanted is not None and own != wanted:
        raise InputError(
            f"the adapter {source.adapter} was made for something else, and would leave the class head untrained",
            got=f"task_type {own}",
            expected=wanted,
            fix="merge it into its base first, and train on the merged model",
        )


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence what peft says and no user can act on: a property by its old name, tied weights, which are tied here, and
    layers that hold their matrix the other way round, which it turns itself.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Model (has|with) `tie_word_embeddings=True`", category=UserWarning)
        warnings.filterwarnings("ignore", message="Input and output embeddings are no", category=UserWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)
        yield


def resolve_targets(
    model: PreTrainedModel, wanted: str | Sequence[str] | None, *, head: Sequence[str] = ()
) -> tuple[str, ...] | str:
    """Names of the modules LoRA goes on: the family's own for None, `all-linear`, names, or one regular expression.

    `head` are modules that train whole and so carry none. Raises ConfigError, with the nearest name, for a name no
    module bears.
    """
    if wanted == ALL_LINEAR:
        return ALL_LINEAR
    linear = linear_names(model, leaving_out=head)
    if wanted is None:
        family = family_of(model)
        targets = FAMILIES[family].targets if family in FAMILIES else ENCODERS.get(family, ())
        if not targets:
            raise ConfigError(
                f"which modules LoRA goes on is not known for the family '{family}'",
                got=family,
                expected=f"model.lora_target_modules: names among {', '.join(linear)}",
                fix="model.lora_target_modules=all-linear takes them all",
            )
        wanted = targets
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if isinstance(wanted, str) and wanted not in linear and _matches(model, wanted):
        return wanted
    for name in names:
        _check_target(model, name, linear)
    return tuple(names)


def linear_names(model: Any, *, leaving_out: Sequence[str] = ()) -> list[str]:
    """Last names of the linear layers, the output layer and those inside some modules left out.

    >>> linear_names(nn.ModuleDict({"up": nn.Linear(2, 2), "norm": nn.LayerNorm(2)}))
    ['up']
    """
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if _is_linear(module) and module is not output and not set(leaving_out) & set(name.split("."))
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


def without_dropout_on_head(model: PeftModel) -> str | None:
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
