"""PyTorch's side of the rows in tests/op_cases/indexing.cpp."""
import torch
import torch.nn.functional as F

ROWS = {
    "cat": lambda a, b: torch.cat([a, b]),
    "cat: last": lambda a, b: torch.cat([a, b, a], -1),
    "cat: an empty part": lambda a, b: torch.cat([a, b], 1),
    "stack": lambda a, b: torch.stack([a, b]),
    "stack: last": lambda a, b: torch.stack([a, b, a], -1),
    "stack: no dimensions": lambda a, b: torch.stack([a, b]),
    "index_select": lambda x, i: x.index_select(0, i),
    "index_select: last": lambda x, i: x.index_select(-1, i),
    "index_select: none": lambda x, i: x.index_select(1, i),
    "embedding": lambda w, i: F.embedding(i, w),
    "embedding: padding": lambda w, i: F.embedding(i, w, padding_idx=2),
    "hstack": lambda a, b: torch.hstack([a, b]),
    "hstack: vectors": lambda a, b: torch.hstack([a, b]),
    "vstack": lambda a, b: torch.vstack([a, b]),
    "meshgrid": lambda a, b: torch.meshgrid(a, b, indexing="ij")[1],
}
