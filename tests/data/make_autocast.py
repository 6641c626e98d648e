#!/usr/bin/env python3
"""Writes autocast.txt: the dtypes that PyTorch's autocast gives the ops of tests/engine/autocast.cpp.

A line is an op, the dtype of the guard, that of the arguments, and those of the result on a GPU and on a CPU; "error"
where PyTorch refuses. No GPU is needed: fake tensors, which have a shape, a dtype and a device, are enough.
"""
import itertools
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

OPS = {
    "addbmm": lambda m, v, b, i: torch.addbmm(m, b, b),
    "addmm": lambda m, v, b, i: torch.addmm(m, m, m),
    "addmv": lambda m, v, b, i: torch.addmv(v, m, v),
    "addr": lambda m, v, b, i: torch.addr(m, v, v),
    "baddbmm": lambda m, v, b, i: torch.baddbmm(b, b, b),
    "bmm": lambda m, v, b, i: torch.bmm(b, b),
    "mm": lambda m, v, b, i: torch.mm(m, m),
    "mv": lambda m, v, b, i: torch.mv(m, v),
    "conv1d": lambda m, v, b, i: F.conv1d(made(m, 1, 2, 6), made(m, 2, 2, 3)),
    "conv2d": lambda m, v, b, i: F.conv2d(i, made(m, 2, 2, 3, 3)),
    "conv3d": lambda m, v, b, i: F.conv3d(made(m, 1, 2, 4, 4, 4), made(m, 2, 2, 3, 3, 3)),
    "conv_transpose1d": lambda m, v, b, i: F.conv_transpose1d(made(m, 1, 2, 6), made(m, 2, 2, 3)),
    "conv_transpose2d": lambda m, v, b, i: F.conv_transpose2d(i, made(m, 2, 2, 3, 3)),
    "conv_transpose3d": lambda m, v, b, i: F.conv_transpose3d(made(m, 1, 2, 4, 4, 4), made(m, 2, 2, 3, 3, 3)),
    "einsum": lambda m, v, b, i: torch.einsum("ij,jk->ik", m, m),
    "linear": lambda m, v, b, i: F.linear(m, m, v),
    "matmul": lambda m, v, b, i: torch.matmul(m, m),
    "multi_dot": lambda m, v, b, i: torch.linalg.multi_dot([m, m, m]),
    "prelu": lambda m, v, b, i: F.prelu(m, made(m, 1)),
    "scaled_dot_product_attention": lambda m, v, b, i: F.scaled_dot_product_attention(b, b, b),
    "acos": lambda m, v, b, i: torch.acos(m),
    "asin": lambda m, v, b, i: torch.asin(m),
    "bce_with_logits": lambda m, v, b, i: F.binary_cross_entropy_with_logits(m, m),
    "binary_cross_entropy_with_logits": lambda m, v, b, i: F.binary_cross_entropy_with_logits(m, m),
    "cdist": lambda m, v, b, i: torch.cdist(m, m),
    "cosh": lambda m, v, b, i: torch.cosh(m),
    "cosine_embedding_loss": lambda m, v, b, i: F.cosine_embedding_loss(m, m, ones(m, 3)),
    "cosine_similarity": lambda m, v, b, i: F.cosine_similarity(m, m),
    "cross_entropy": lambda m, v, b, i: F.cross_entropy(m, classes(m)),
    "cumprod": lambda m, v, b, i: torch.cumprod(m, 0),
    "cumsum": lambda m, v, b, i: torch.cumsum(m, 0),
    "dist": lambda m, v, b, i: torch.dist(m, m),
    "erfinv": lambda m, v, b, i: torch.erfinv(m),
    "exp": lambda m, v, b, i: torch.exp(m),
    "expm1": lambda m, v, b, i: torch.expm1(m),
    "group_norm": lambda m, v, b, i: F.group_norm(i, 1),
    "hinge_embedding_loss": lambda m, v, b, i: F.hinge_embedding_loss(m, ones(m, 3, 3)),
    "huber_loss": lambda m, v, b, i: F.huber_loss(m, m),
    "interpolate": lambda m, v, b, i: F.interpolate(i, size=3),
    "kl_div": lambda m, v, b, i: F.kl_div(m, m),
    "l1_loss": lambda m, v, b, i: F.l1_loss(m, m),
    "layer_norm": lambda m, v, b, i: F.layer_norm(m, (3,)),
    "log": lambda m, v, b, i: torch.log(m),
    "log10": lambda m, v, b, i: torch.log10(m),
    "log1p": lambda m, v, b, i: torch.log1p(m),
    "log2": lambda m, v, b, i: torch.log2(m),
    "log_softmax": lambda m, v, b, i: F.log_softmax(m, 1),
    "logsumexp": lambda m, v, b, i: torch.logsumexp(m, 1),
    "margin_ranking_loss": lambda m, v, b, i: F.margin_ranking_loss(v, v, ones(m, 3)),
    "mse_loss": lambda m, v, b, i: F.mse_loss(m, m),
    "multi_margin_loss": lambda m, v, b, i: F.multi_margin_loss(m, classes(m)),
    "nll_loss": lambda m, v, b, i: F.nll_loss(m, classes(m)),
    "norm": lambda m, v, b, i: torch.norm(m),
    "normalize": lambda m, v, b, i: F.normalize(m),
    "pdist": lambda m, v, b, i: F.pdist(m),
    "poisson_nll_loss": lambda m, v, b, i: F.poisson_nll_loss(m, m),
    "pow": lambda m, v, b, i: torch.pow(m, 3),
    "prod": lambda m, v, b, i: torch.prod(m),
    "reciprocal": lambda m, v, b, i: torch.reciprocal(m),
    "rsqrt": lambda m, v, b, i: torch.rsqrt(m),
    "sinh": lambda m, v, b, i: torch.sinh(m),
    "smooth_l1_loss": lambda m, v, b, i: F.smooth_l1_loss(m, m),
    "soft_margin_loss": lambda m, v, b, i: F.soft_margin_loss(m, m),
    "softmax": lambda m, v, b, i: F.softmax(m, 1),
    "softmin": lambda m, v, b, i: F.softmin(m, 1),
    "softplus": lambda m, v, b, i: F.softplus(m),
    "sum": lambda m, v, b, i: torch.sum(m),
    "tan": lambda m, v, b, i: torch.tan(m),
    "triplet_margin_loss": lambda m, v, b, i: F.triplet_margin_loss(m, m, m),
    "addcdiv": lambda m, v, b, i: torch.addcdiv(ones(m, 3), v, v),
    "addcmul": lambda m, v, b, i: torch.addcmul(ones(m, 3), v, v),
    "atan2": lambda m, v, b, i: torch.atan2(ones(m, 3), v),
    "bilinear": lambda m, v, b, i: F.bilinear(v, v, made(m, 2, 3, 3)),
    "cross": lambda m, v, b, i: torch.cross(ones(m, 3), v, 0),
    "dot": lambda m, v, b, i: torch.dot(v, v),
    "grid_sample": lambda m, v, b, i: F.grid_sample(i, ones(m, 1, 2, 2, 2), align_corners=False),
    "scatter_add": lambda m, v, b, i: torch.scatter_add(ones(m, 3), 0, classes(m), v),
    "tensordot": lambda m, v, b, i: torch.tensordot(m, m, 1),
    "add": lambda m, v, b, i: ones(m, 3) + v,
    "batch_norm": lambda m, v, b, i: F.batch_norm(i, None, None, ones(m, 2), ones(m, 2), training=True),
    "cat": lambda m, v, b, i: torch.cat([ones(m, 3), v]),
    "max_pool2d": lambda m, v, b, i: F.max_pool2d(i, 2),
    "mean": lambda m, v, b, i: torch.mean(m),
    "relu": lambda m, v, b, i: torch.relu(m),
    "where": lambda m, v, b, i: torch.where(v > 0, ones(m, 3), v),
}


def made(like, *shape):
    return torch.full(shape, 0.5, dtype=like.dtype, device=like.device)


def ones(like, *shape):
    return torch.ones(shape, dtype=torch.float32, device=like.device)


def classes(like):
    return torch.arange(3, device=like.device)


def name(dtype):
    return str(dtype).removeprefix("torch.")


def result(op, guard, argument, device):
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, guard)
    try:
        with FakeTensorMode():
            like = torch.empty(1, dtype=argument, device=device)
            shapes = ((3, 3), (3,), (2, 3, 3), (1, 2, 6, 6))
            return name(OPS[op](*(made(like, *shape) for shape in shapes)).dtype)
    except RuntimeError:
        return "error"
    finally:
        torch.set_autocast_enabled(device, False)
        torch.clear_autocast_cache()


with (Path(__file__).parent / "autocast.txt").open("w") as file:
    for op, guard in itertools.product(OPS, (torch.bfloat16, torch.float16)):
        for argument in (torch.float32, guard):
            file.write(" ".join([op, name(guard), name(argument), *(result(op, guard, argument, device)
                                                                     for device in ("cuda", "cpu"))]) + "\n")
