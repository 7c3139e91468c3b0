"""Output layers tied to the input embedding, and adapters that would pull the two apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from lossmith.errors import ConfigError, nearest
from lossmith.models.hidden import family_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"
# The one name by which peft knows a tied input embedding again when an adapter is loaded.
_KNOWN_TO_PEFT = "embed_tokens"


@dataclass(frozen=True)
class Whole:
    """Peft's `modules_to_save`, whether copies in it are to stay tied, and the sentence on what was untied."""

    names: tuple[str, ...] = ()
    tied: bool = False
    note: str | None = None


def is_tied(model: PreTrainedModel) -> bool:
    """Whether the output layer multiplies by the input embedding's own matrix."""
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    return inputs is not None and outputs is not None and inputs.weight is outputs.weight


def untie_target(model: PreTrainedModel, targets: Sequence[str] | str) -> str | None:
    """Give a tied output layer a matrix of its own where LoRA goes on either end, and return the sentence that says so.

    Tied, LoRA on one end would be merged into the other as well. Raises ConfigError for the input embedding of an
    encoder-decoder, which several modules hold.
    """
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    if model.config.is_encoder_decoder:
        _refuse_shared_embedding(model, targets)
    ends = [end for end in (inputs, outputs) if end is not None and is_target(_path_of(model, end), targets)]
    if not ends or not is_tied(model):
        return None
    _untie(model)
    where = "each for itself" if len(ends) == 2 else f"the {'input' if ends[0] is inputs else 'output'} side alone"
    return f"the output layer is untied from the input embedding, because LoRA goes on {where}; it is stored twice now"


def _refuse_shared_embedding(model: PreTrainedModel, targets: Sequence[str] | str) -> None:
    shared = model.get_input_embeddings().weight
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and module.weight is shared and is_target(path, targets):
            name = path.rpartition(".")[2]
            raise ConfigError(
                f"the embedding '{name}' is shared by encoder and decoder of this {family_of(model)} model, "
                "of which LoRA would reach one",
                got=f"model.lora_target_modules with {name}",
                expected="linear layers, lm_head among them",
                fix=f"leave {name} out of the targets",
            )


def settle_tying(model: PreTrainedModel) -> None:
    """Make the configuration of a merged model say what its weights are: one matrix for both ends, or two.

    An adapter may bring an output layer of its own for a base whose configuration ties it; saved as tied, it would be
    lost. Two ends that are equal become one again.
    """
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    asked = getattr(model.config.get_text_config(decoder=True), "tie_word_embeddings", False)
    # To T5 and its kin the same key says how states are scaled; two matrices that differ are kept apart on loading.
    if inputs is None or outputs is None or not asked or is_tied(model) or model.config.is_encoder_decoder:
        return
    if inputs.weight.shape == outputs.weight.shape and bool((inputs.weight == outputs.weight).all()):
        model.tie_weights()
    else:
        _untie(model)


def whole_modules(model: PreTrainedModel, names: Sequence[str]) -> Whole:
    """What peft is to copy and train whole for the configured `names`.

    Either name of a tied embedding stands for both, which stay tied; where peft could not tie them again on loading,
    the output layer is untied. Raises ConfigError for a name that no module bears.
    """
    whole: list[str] = []
    tied, note = False, None
    for name in names:
        found = _found(model, name)
        inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
        ends = inputs in found or outputs in found
        if inputs in found and model.config.is_encoder_decoder:
            raise ConfigError(
                f"'{name}' is held by several modules of this {family_of(model)} model, of which peft would copy one",
                got=f"model.lora_modules_to_save with {name}",
                expected="a module that stands alone, such as lm_head",
            )
        if not ends or not is_tied(model):
            whole.append(name)
        elif _path_of(model, inputs).rpartition(".")[2] == _KNOWN_TO_PEFT and not model.config.is_encoder_decoder:
            whole.append(_KNOWN_TO_PEFT)
            tied = True
        else:
            _untie(model)
            whole.append(name)
            note = f"the output layer is untied from the input embedding, so that '{name}' trains alone"
    return Whole(tuple(dict.fromkeys(whole)), tied, note)


def _found(model: PreTrainedModel, name: str) -> list[nn.Module]:
    found = [module for path, module in model.named_modules() if path == name or path.endswith("." + name)]
    if found:
        return found
    near = nearest(name, {path.rpartition(".")[2] for path, _ in model.named_modules() if path})
    raise ConfigError(
        f"no module is named '{name}' in this {family_of(model)} model",
        got=f"model.lora_modules_to_save with {name}",
        expected="a module of the model, such as lm_head",
        fix=f"did you mean '{near}'?" if near else None,
    )


def _untie(model: PreTrainedModel) -> None:
    output: Any = model.get_output_embeddings()
    output.weight = nn.Parameter(output.weight.detach().clone(), requires_grad=output.weight.requires_grad)
    # Encoder-decoders read the same key for how states are scaled, and for whether both stacks share one embedding.
    if not model.config.is_encoder_decoder:
        for config in (model.config, model.config.get_text_config(decoder=True)):
            config.tie_word_embeddings = False
    # What transformers ties again when embeddings are resized, and leaves out of what it saves.
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", {})
    for name in [name for name in tied if model.get_parameter(name) is output.weight]:
        del tied[name]


def _path_of(model: nn.Module, wanted: nn.Module) -> str:
    return next(path for path, module in model.named_modules() if module is wanted)


def is_target(path: str, targets: Sequence[str] | str) -> bool:
    """Whether the module at `path` is among peft's `target_modules`.

    >>> is_target("model.lm_head", ["q_proj", "lm_head"]), is_target("model.lm_head", "all-linear")
    (True, False)
    """
    if isinstance(targets, str):
        return targets != ALL_LINEAR and re.fullmatch(targets, path) is not None
    return any(path == name or path.endswith("." + name) for name in targets)
