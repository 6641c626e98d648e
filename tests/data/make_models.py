#!/usr/bin/env python3
"""Writes models.safetensors: names, shapes and logits of torchvision's ResNets and of Hugging Face's GPT-2.

The weights are made by a formula, which tests/engine/nn/pytorch_models.cpp has too, so that they need not be stored:
tensor number `seed` in the order of their names, element k. The images and tokens are made likewise.
The notes of the file are "name size size ..." for each tensor of a model, a line each.
Needs torchvision and transformers.
"""
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18, resnet50
from transformers import GPT2Config, GPT2LMHeadModel


def spread(shape, seed):
    """Numbers in [-0.5, 0.5), the same on every machine."""
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(2654435761) + np.uint64(seed * 97531 + 12345)) & mask
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(2246822519)) & mask
    h ^= h >> np.uint64(13)
    return torch.from_numpy((h / 2.0**32 - 0.5).astype(np.float32)).reshape(shape)


def generated(name, like, seed):
    if like.dtype == torch.int64:
        return torch.zeros_like(like)
    u = spread(like.shape, seed)
    if like.dim() > 1:
        return u * np.float32((24 * like.shape[0] / like.numel()) ** 0.5)
    if name.endswith("running_var"):
        return 1 + u / 2
    return 1 + u / 4 if name.endswith("weight") else u / 4


def fill(model, names):
    state = model.state_dict()
    new = {name: generated(name, state[name], seed) for seed, name in enumerate(sorted(names))}
    model.load_state_dict(new, strict=False)
    model.eval()
    return "\n".join(" ".join([name, *map(str, state[name].shape)]) for name in sorted(names))


goldens, notes = {}, {}
with torch.no_grad():
    for name, model in {"resnet18": resnet18(), "resnet50": resnet50()}.items():
        notes[name] = fill(model, model.state_dict())
        goldens[name] = model(spread((2, 3, 64, 48), 1000))[:, :100].contiguous()
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=3))
    # The head is tied to the embedding: the file of such a model has one of them.
    notes["gpt2"] = fill(gpt2, [name for name in gpt2.state_dict() if name != "lm_head.weight"])
    gpt2.tie_weights()
    goldens["gpt2"] = gpt2(torch.arange(22).reshape(2, 11) * 7 % 61).logits.contiguous()

save_file(goldens, Path(__file__).parent / "models.safetensors", metadata=notes)
