"""PyTorch's side of the rows in tests/op_cases/elements.cpp."""
import torch
import torch.nn.functional as F

ROWS = {
    "index_add": lambda x, i, s: x.index_add(1, i, s, alpha=2),
    "gather": lambda x, i: x.gather(1, i),
    "gather: first, of a part": lambda x, i: x.gather(0, i),
    "gather: nothing": lambda x, i: x.gather(0, i),
    "take_along_dim": lambda x, i: x.take_along_dim(i, 1),
    "scatter": lambda x, k, s: x.scatter(0, k.argsort(dim=0, stable=True), s),
    "scatter: value": lambda x, i: x.scatter(1, i, 7),
    "scatter_add": lambda x, i, s: x.scatter_add(0, i, s),
    "masked_select": torch.masked_select,
    "masked_select: a mask of more dimensions": torch.masked_select,
    "nonzero": torch.nonzero,
    "nonzero: nothing": torch.nonzero,
    "bincount": torch.bincount,
    "bincount: weights": lambda x, w: torch.bincount(x, w, 9),
    "one_hot": F.one_hot,
    "one_hot: classes": lambda x: F.one_hot(x, 7),
}
