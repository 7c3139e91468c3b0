"""How much of a text a model sees: how far back its layers look, and how many positions it has."""

from __future__ import annotations

from torch import nn

from lossmith.models.hidden import unwrap

# By kind of layer: the key of the configuration that says how many positions it sees.
_REACH = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}

# What families call their table of positions.
_TABLES = ("wpe", "embed_positions", "position_embeddings")


def attention_reach(model: nn.Module) -> int | None:
    """Positions up to which every attention layer sees every earlier token; None where no layer's sight ends.

    Layers that keep no tokens but a state of their own (Mamba and other linear attention) do not count here.
    """
    inner = unwrap(model)
    config = getattr(inner, "config", None)
    if config is None:
        return None
    config = config.get_text_config(decoder=True)
    kinds = getattr(config, "layer_types", None)
    keys = [_REACH["sliding_attention"]] if kinds is None else [_REACH[kind] for kind in {*kinds} if kind in _REACH]
    found = [int(reach) for key in keys if (reach := getattr(config, key, None))]
    return min(found, default=None)


def positions_of(model: nn.Module) -> int | None:
    """Tokens that a model has positions for; None where nothing bounds them.

    Where positions are learned, the rows say: RoBERTa and its kin keep the first ones for padding.
    """
    inner = unwrap(model)
    for name, module in inner.named_modules():
        if name.rpartition(".")[2] == "position_embeddings" and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    found: int | None = getattr(getattr(inner, "config", None), "max_position_embeddings", None)
    return found


def table_of_positions(model: nn.Module) -> int | None:
    """Positions for which a model has rows in a table, learned or computed beforehand; None where it has no table.

    Rotary and relative positions go on beyond what a configuration names, a table ends.
    """
    inner = unwrap(model)
    found: int | None = getattr(getattr(inner, "config", None), "max_position_embeddings", None)
    words = {id(side) for side in (inner.get_input_embeddings(), inner.get_output_embeddings())}  # type: ignore[operator]
    for name, module in inner.named_modules():
        own = name.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and own in _TABLES and id(module) not in words and found is not None:
            return found
    return None
