#!/usr/bin/env python3
"""Writes op_goldens.safetensors: PyTorch's values, gradients and dtypes for the rows in tests/op_cases/.

The arguments come from the table itself:

    MINIPARALLEL_OP_INPUTS=inputs.safetensors build/cpu/tests/miniparallel_tests --no-skip -tc='ops: write the arguments'
    python tests/data/make_op_goldens.py inputs.safetensors

They are named {row}|{position}|{kind} and stored again. Added are {row}|out, {row}|seed (the gradient of the result),
{row}|grad|{position}, and for whole-number arguments, 1 + floor(2 |x|), of every integer dtype that PyTorch's op
accepts: {row}|out|{dtype} (bool: x > 0). `promotion` holds torch.promote_types for every two dtypes, in DType's order.
"""
import sys
import zlib
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

ROWS = {}
for module in sorted(Path(__file__).with_name("op_rows").glob("*.py")):
    ROWS |= import_module(f"op_rows.{module.stem}").ROWS

INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.bool)

arguments = {}
for key, value in load_file(sys.argv[1]).items():
    name, position, kind = key.split("|")
    arguments.setdefault(name, {})[int(position)] = (kind, value)

goldens = {}


def integer_arguments(values, dtype):
    for kind, value in values:
        if kind not in ("real", "constant"):
            yield value
        else:
            yield value > 0 if dtype == torch.bool else (1 + (2 * value.abs()).floor()).to(dtype)


for name, by_position in sorted(arguments.items()):
    if name not in ROWS:
        sys.exit(f"tests/data/op_rows/ has no entry for '{name}' in tests/op_cases/")
    torch.manual_seed(zlib.crc32(name.encode()))  # so that another row changes nothing here
    function = ROWS[name]
    values = [by_position[i] for i in range(len(by_position))]
    for position, (kind, value) in enumerate(values):
        goldens[f"{name}|{position}|{kind}"] = value
    inputs = [value.clone().requires_grad_(kind == "real") for kind, value in values]
    result = function(*inputs)
    goldens[f"{name}|out"] = result.detach().contiguous().clone()
    if result.requires_grad:
        seed = torch.randn(result.shape, dtype=torch.float64)
        goldens[f"{name}|seed"] = seed
        wanted = [i for i in range(len(inputs)) if inputs[i].requires_grad]
        gradients = torch.autograd.grad(result, [inputs[i] for i in wanted], seed, allow_unused=True)
        for i, gradient in zip(wanted, gradients):
            gradient = torch.zeros_like(inputs[i]) if gradient is None else gradient
            goldens[f"{name}|grad|{i}"] = gradient.contiguous().clone()
    if any(kind in ("real", "constant") for kind, _ in values):
        for dtype in INTEGERS:
            try:
                result = function(*integer_arguments(values, dtype))
            except (RuntimeError, TypeError, IndexError, ValueError):
                continue
            goldens[f"{name}|out|{str(dtype).removeprefix('torch.')}"] = result.contiguous().clone()

DTYPES = [torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool, torch.float16, torch.bfloat16]
goldens["promotion"] = torch.tensor([[DTYPES.index(torch.promote_types(a, b)) for b in DTYPES] for a in DTYPES])

unused = sorted(set(ROWS) - set(arguments))
if unused:
    sys.exit(f"tests/op_cases/ has no row named {unused}")
save_file(goldens, Path(__file__).parent / "op_goldens.safetensors")
