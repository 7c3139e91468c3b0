"""Merged models of the Llama and Qwen families as one GGUF file, written tensor by tensor and read back."""
