"""Tokenizers trained on the spot and chat templates of the shapes that are found in the wild."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
DATED = "{{ 'Today Date: ' + strftime_now('%d %b %Y') + '\n' }}" + CHATML
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# The system text moves into the first user turn; answers are trimmed and stand after a blank.
MISTRAL = (
    "{{ bos_token }}{% set first = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}"
    "{{ '[INST] ' + (first if loop.first else '') + m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + eos_token }}{% endif %}{% endfor %}"
)
# Past turns lose their empty thoughts, the last one keeps them; thoughts inside content are dropped.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}"
    "{{ '<think>\n' + m.reasoning_content | default('') + '\n</think>\n\n' }}"
    "{% endif %}{{ m.content.split('</think>')[-1].lstrip('\n') + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
NO_PREFIX = CHATML.replace("'<|im_start|>assistant\n'", "'<|im_start|>assistant thinks\n'")
NO_END = CHATML.replace("<|im_end|>", "")
# The newest message is written first, so a longer conversation does not begin as a shorter one does.
MOVES = CHATML.replace("in messages %", "in messages | reverse %")
TWICE = CHATML.replace("m.content +", "m.content + m.content +")

SHAPES = {"chatml": CHATML, "llama": LLAMA, "gemma": GEMMA, "mistral": MISTRAL, "thinking": THINKING, "dated": DATED}
SPECIAL = [
    *("<|pad|>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<start_of_turn>", "<end_of_turn>"),
]
END_OF = {
    **{"chatml": "<|im_end|>", "llama": "<|eot_id|>", "gemma": "<end_of_turn>", "mistral": "</s>"},
    **{"thinking": "<|im_end|>", "dated": "<|im_end|>"},
}

SENTENCES = [
    "Fry the onions in butter, then add 200 g of flour and 1 1/2 cups of milk.",
    'Bake at 180 °C for 40 minutes; serve with "crème fraîche" 🍳🍳 and jalapeños.',
    "漢字とかな。 שלום עולם مرحبا 👩‍🍳👩‍🍳 é é ½ ½ ½",
    '{"ingredients": ["flour", "butter", "salt"], "instructions": ["Mix.", "Bake."]}',
]


def byte_level(**tokens: Any) -> PreTrainedTokenizerFast:
    """Bytes and merges, some of which join the bytes of neighbouring characters; nothing is ever lost."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES * 3, trainer)
    return _wrap(inner, **tokens)


def sentence_piece(scheme: str, **tokens: Any) -> PreTrainedTokenizerFast:
    """Blanks as "▁", one put before a text: `first` and `always` as pre-tokenizers do it, `legacy` as normalizer."""
    inner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    inner.decoder = decoders.Sequence(steps)
    if scheme == "legacy":
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<unk>", *SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    inner.train_from_iterator(SENTENCES * 3, trainer)
    start = inner.token_to_id("<s>")
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    return _wrap(inner, **{"bos_token": "<s>", "eos_token": "</s>", **tokens})


def lossy() -> PreTrainedTokenizerFast:
    """Word pieces of folded text: capitals, accents and blanks are lost, unknown words are one token."""
    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=["[UNK]", "[CLS]", "[SEP]", *SPECIAL], show_progress=False
    )
    inner.train_from_iterator([s for s in SENTENCES if s.isascii()] * 3, trainer)
    ids = [(name, inner.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    return _wrap(inner, unk_token="[UNK]", cls_token="[CLS]", eos_token="[SEP]")


def _wrap(inner: Tokenizer, **tokens: Any) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **{"eos_token": "<|im_end|>", **tokens})
    tokenizer.pad_token = tokenizer.pad_token or "<|pad|>"
    return tokenizer


def for_shape(shape: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that writes chats in this shape."""
    bos = {} if shape in ("chatml", "thinking", "dated") else {"bos_token": "<s>"}
    tokenizer = byte_level(eos_token=END_OF[shape], **bos)
    tokenizer.chat_template = SHAPES[shape]
    return tokenizer
