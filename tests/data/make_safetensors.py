#!/usr/bin/env python3
"""Writes the safetensors files that the reader and writer are checked against."""
from pathlib import Path

import torch
from safetensors.torch import save_file

folder = Path(__file__).parent / "safetensors"
folder.mkdir(exist_ok=True)

values = torch.tensor([[0.0, 1.0, -2.5], [3.0, 0.15625, 1024.0]])
save_file(
    {
        "float32": values,
        "float64": values.double() / 3,
        "float16": values.half(),
        "bfloat16": values.bfloat16(),
        "int64": torch.tensor([-(2**62), -1, 2**62]),
        "int32": torch.tensor([[-(2**31)], [2**31 - 1]], dtype=torch.int32),
        "uint8": torch.tensor([0, 127, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 4),
    },
    folder / "dtypes.safetensors",
    metadata={"format": "pt"},
)
save_file({'quote " and ü': torch.arange(2.0)}, folder / "names.safetensors")
save_file({}, folder / "empty.safetensors")
