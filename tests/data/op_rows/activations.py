"""PyTorch's side of the rows in tests/op_cases/activations.cpp."""
import torch
import torch.nn.functional as F

# Written out where PyTorch's own function rounds a constant to float32 (hardsigmoid, celu) or takes whole bounds for
# integers (hardtanh).
ROWS = {
    "mish": F.mish,
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "hardsigmoid": lambda x: F.relu6(x + 3) / 6,
    "hardswish": F.hardswish,
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardtanh: bounds": lambda x: x.clamp(-1.5, 0.5),
    "leaky_relu": F.leaky_relu,
    "leaky_relu: slope": lambda x: F.leaky_relu(x, 0.3),
    "elu": F.elu,
    "elu: alpha": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "celu": F.celu,
    "celu: alpha": lambda x: torch.where(x > 0, x, 0.7 * torch.expm1(x / 0.7)),
    "softplus": F.softplus,
    "softplus: beta, threshold": lambda x: F.softplus(x, 2.5, 3),
    "prelu": F.prelu,
    "prelu: by channel": F.prelu,
    "glu": F.glu,
    "glu: middle": lambda x: F.glu(x, 1),
    "glu: empty": lambda x: F.glu(x, 1),
}
