"""Writes docs/pytorch-names.md, PyTorch's names beside ours: python3 pytorch_names.py ROOT [--check].

tests/data/pytorch_names.txt lists PyTorch's operators, modules and optimizers; what there is here is read from the
public headers. With --check it writes nothing and fails where the page is not what it would write.
"""

import re
import sys
from pathlib import Path

FUNCTIONS = ("elementwise.h", "ops.h", "convolution.h", "linalg.h", "losses.h", "tensor.h")

# Operators that have another name here, or none because C++ has an operator for it.
OTHER_NAMES = {
    "T": "x.T()",
    "__getitem__": "x[i], x[{...}]",
    "__radd__": "a + x",
    "__rdiv__": "a / x",
    "__rmul__": "a * x",
    "__rsub__": "a - x",
    "__rpow__": "pow(a, x)",
    "__rmatmul__": "matmul(a, x)",
    "bfloat16": "x.to(bfloat16)",
    "__rand__": "a & x",
    "__ror__": "a | x",
    "__rxor__": "a ^ x",
    "bool": "x.to(boolean)",
    "byte": "x.to(uint8)",
    "constant_pad_nd": "pad()",
    "double": "x.to(float64)",
    "exponential": "x.exponential_()",
    "fill": "full_like()",
    "float": "x.to(float32)",
    "grid_sampler_2d": "grid_sample()",
    "half": "x.to(float16)",
    "int": "x.to(int32)",
    "linalg.norm": "norm()",
    "linalg.vecdot": "sum(a * b, dim)",
    "linalg.vector_norm": "norm()",
    "long": "x.to(int64)",
    "native_batch_norm": "batch_norm()",
    "native_layer_norm": "layer_norm()",
    "native_group_norm": "group_norm()",
    "new_empty": "empty()",
    "new_full": "full()",
    "new_ones": "ones()",
    "new_zeros": "zeros()",
    "nn.functional.upsample_bilinear": "interpolate()",
    "nn.functional.upsample_nearest": "upsample()",
    "normal": "mean + stddev * randn_like(mean)",
    "rsub": "a - x",
    "sgn": "sign()",
    "split_with_sizes": "split()",
    "std_mean": "std() and mean()",
    "aminmax": "amin() and amax()",
    "trapz": "trapezoid()",
    "true_divide": "div()",
    "uniform": "x.uniform_()",
    "vdot": "dot()",
}
# Operators whose last part is a name here too, but of something else.
DIFFERENT = re.compile(r"^(fft|signal|masked|sparse|torch|special)\.|(?<!index)_copy$|^jiterator|^_")
KNOWN_PARTS = ("nn.functional.", "linalg.")

OTHER_MODULES = {
    "ConstantPad1d": "pad()", "ConstantPad2d": "pad()", "ConstantPad3d": "pad()",
    "ZeroPad1d": "pad()", "ZeroPad2d": "pad()", "ZeroPad3d": "pad()",
    "CircularPad1d": "pad()", "CircularPad2d": "pad()", "CircularPad3d": "pad()",
    "ReflectionPad1d": "pad()", "ReflectionPad2d": "pad()", "ReflectionPad3d": "pad()",
    "ReplicationPad1d": "pad()", "ReplicationPad2d": "pad()", "ReplicationPad3d": "pad()",
    "Bilinear": "bilinear()",
}

HEAD = """# PyTorch's names

Written by `tests/pytorch_names.py` from the headers and the names of PyTorch 2.15. Names that are the same
here, of functions, members of `Tensor` or layers, are listed; a table has those that differ. Arguments may
differ: [Tensors](tensors.md) has the usual lines side by side.
"""


def without_comments(text):
    return re.sub(r"//[^\n]*", "", text)


def functions_of(include):
    """Functions, members and the rows of the elementwise ops."""
    found = set()
    for header in FUNCTIONS:
        text = without_comments((include / header).read_text())
        found |= set(re.findall(r"X\((\w+), \w+\)", text))
        found |= set(re.findall(r"(?:Tensor&?|ValuesAndIndices|UniqueElements|SignAndLog|QR|Eigh|SVD|bool|Scalar|T|>) (\w+)\(", text))
        found |= set(re.findall(r"X\((\w+), [=!<>]+\)", text))
    return found | {"item"}


def types_of(folder):
    found = set()
    for header in sorted(folder.glob("*.h")):
        found |= set(re.findall(r"^(?:struct|class) (\w+)", without_comments(header.read_text()), re.MULTILINE))
        found |= set(re.findall(r"^using (\w+) =", header.read_text(), re.MULTILINE))
    return found


def operator_here(name, functions):
    """Our name for an operator, or None."""
    if name in OTHER_NAMES:
        return OTHER_NAMES[name]
    if DIFFERENT.search(name):
        return None
    for part in KNOWN_PARTS:
        name = name.removeprefix(part)
    return name if name in functions or name.removesuffix("_") in functions else None


def section(title, names, here, what):
    """A headline with counts, the names there are, those there are not."""
    present = [(name, here(name)) for name in names if here(name)]
    absent = [name for name in names if not here(name)]
    same = [f"`{name}`" for name, ours in present if name.split(".")[-1] == ours]
    other = [f"| `{name}` | `{ours}` |" for name, ours in present if name.split(".")[-1] != ours]
    lines = [f"## {title}", "", what, "", wrapped(same), ""]
    if other:
        lines += ["| PyTorch | here |", "|---|---|", *other, ""]
    return lines + ["Not here: " + wrapped([f"`{name}`" for name in absent]) + ".", ""]


def wrapped(words):
    lines = [""]
    for i, word in enumerate(words):
        word += "," if i + 1 < len(words) else ""
        if lines[-1] and len(lines[-1]) + len(word) > 108:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def page(root):
    functions = functions_of(root / "include/miniparallel")
    modules = types_of(root / "include/miniparallel/nn")
    optimizers = types_of(root / "include/miniparallel/optim")
    names = {"op": {}, "module": {}, "optimizer": {}}
    for line in (root / "tests/data/pytorch_names.txt").read_text().splitlines():
        if not line.startswith("#"):
            kind, name, *count = line.split()
            names[kind][name] = int(count[0]) if count else 1
    ops = names["op"]
    here = lambda name: operator_here(name, functions)
    module = lambda name: name if name in modules else OTHER_MODULES.get(name)
    optimizer = lambda name: name if name in optimizers else None
    entries = sum(count for name, count in ops.items() if here(name))
    present = sum(1 for name in ops if here(name))
    lines = HEAD.splitlines() + [""]
    lines += section("Operators", ops, here, f"{present} of {len(ops)}, that is {entries} of the {sum(ops.values())} entries "
                     "of PyTorch's own list, which counts some operators several times.")
    layers = len(modules & set(names["module"]))
    lines += section("Modules", names["module"], module, f"{layers} of {len(names['module'])}, in `miniparallel::nn`; "
                     f"{len(OTHER_MODULES)} more are functions here.")
    lines += section("Optimizers", names["optimizer"], optimizer,
                     f"{len(optimizers & set(names['optimizer']))} of {len(names['optimizer'])}, in `miniparallel::optim`.")
    return "\n".join(lines).rstrip() + "\n"


def main():
    root = Path(sys.argv[1])
    target, text = root / "docs/pytorch-names.md", page(root)
    if "--check" not in sys.argv:
        target.write_text(text)
    elif not target.exists() or target.read_text() != text:
        sys.exit(f"{target} is not what the headers give: run python3 tests/pytorch_names.py .")


if __name__ == "__main__":
    main()
