"""PyTorch's side of the rows in tests/op_cases/rearrange.cpp."""
import torch
import torch.nn.functional as F

ROWS = {
    "tril": torch.tril,
    "tril: diagonal": lambda x: x.tril(1),
    "triu": torch.triu,
    "triu: diagonal": lambda x: x.triu(-1),
    "diag": torch.diag,
    "diag: of a vector": lambda x: x.diag(-1),
    "diag: of nothing": torch.diag,
    "tile": lambda x: x.tile((2,)),
    "repeat_interleave": lambda x: x.repeat_interleave(2),
    "repeat_interleave: first": lambda x: x.repeat_interleave(3, 0),
    "flip": lambda x: x.flip((0, -1)),
    "flip: nothing": lambda x: x.flip(()),
    "roll": lambda x: x.roll(5),
    "roll: two dimensions": lambda x: x.roll((1, -2), (0, 1)),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1), value=3),
    "pad: less": lambda x: F.pad(x, (-1, 2, 1, -1)),
    "pad: reflect": lambda x: F.pad(x, (2, 1), mode="reflect"),
    "pad: reflect, two dimensions": lambda x: F.pad(x, (2, 1, 1, 3), mode="reflect"),
    "pad: replicate": lambda x: F.pad(x, (5, 1, 0, 2), mode="replicate"),
    "pad: circular": lambda x: F.pad(x, (5, 1), mode="circular"),
}
