"""PyTorch's side of the rows in tests/op_cases/norm.cpp."""
import torch
import torch.nn.functional as F


def batch_norm_statistics(x, mean, variance):
    mean, variance = mean.clone(), variance.clone()
    F.batch_norm(x, mean, variance, training=True, momentum=0.3)
    return torch.cat([mean, variance])


ROWS = {
    "group_norm": lambda x, w, b: F.group_norm(x, 2, w, b),
    "group_norm: plain rows": lambda x: F.group_norm(x, 2, eps=1e-2),
    "instance_norm": F.instance_norm,
    "instance_norm: weight, bias": lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-2),
    "rms_norm": lambda x, w: F.rms_norm(x, (5,), w),
    "rms_norm: plain over two dimensions": lambda x: F.rms_norm(x, (4, 5), eps=1e-2),
    "batch_norm": lambda x, w, b, m, v: F.batch_norm(x, m.clone(), v.clone(), w, b, training=True),
    "batch_norm: rows": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=1e-3),
    "batch_norm: relu": lambda x, w, b: F.relu(F.batch_norm(x, None, None, w, b, training=True)),
    "batch_norm: residual": lambda x, w, r: F.batch_norm(x, None, None, w, None, training=True) + r,
    "batch_norm: residual, relu": lambda x, w, b, r: F.relu(F.batch_norm(x, None, None, w, b, training=True) + r),
    "batch_norm: residual, relu, evaluation": lambda x, w, b, mean, var, r: F.relu(F.batch_norm(x, mean, var, w, b) + r),
    "batch_norm: plain": lambda x: F.batch_norm(x, None, None, training=True),
    "batch_norm: evaluation": lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b),
    "batch_norm: running mean": batch_norm_statistics,
    "layer_norm": lambda x, w, b: F.layer_norm(x, (5,), w, b),
    "add_layer_norm": lambda x, r, w, b: F.layer_norm(x + r, (5,), w, b) + (x + r) * 0.5,
    "add_layer_norm: y": lambda x, r: F.layer_norm(x + r, (4, 5)),
    "add_layer_norm: sum": lambda x, r, w: x + r,
    "layer_norm: plain": lambda x: F.layer_norm(x, (4, 5)),
    "layer_norm: two dimensions": lambda x, w, b: F.layer_norm(x, (4, 5), w, b, eps=1e-2),
}
