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
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file


def in_place(change):
    def function(x, *others):
        y = x.clone()
        change(y, *others)
        return y

    return function


def batch_norm_statistics(x, mean, variance):
    mean, variance = mean.clone(), variance.clone()
    F.batch_norm(x, mean, variance, training=True, momentum=0.3)
    return torch.cat([mean, variance])


def add_to_view(x, row):
    y = x * 2
    y.select(0, 1).add_(row)
    return y


def multiply_columns(x, column, row):
    y = x * 2
    y[:, 0:4:2].mul_(column)
    y[:, 1:4:2].t().mul_(row)
    return y * y


def copy_columns(x, column):
    y = x * 2
    y[:, 0:4:2].copy_(column)
    return y * y


def linear_gelu(x, weight, bias=None):
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")


def pad_max_pool(x):
    return F.max_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 0))


add, sub, mul, div = (lambda a, b: a + b), (lambda a, b: a - b), (lambda a, b: a * b), (lambda a, b: a / b)
matmul = torch.matmul
attention = F.scaled_dot_product_attention

# Written out where PyTorch's own function rounds a constant to float32 (hardsigmoid, celu) or takes whole bounds for
# integers (hardtanh).
ROWS = {
    "add": add,
    "add: a row to a column": add,
    "add: no dimensions": add,
    "add: empty by one": add,
    "add: scalar": lambda x: x + 2,
    "sub": sub,
    "sub: over three dimensions": sub,
    "sub: scalar": lambda x: x - 2,
    "mul": mul,
    "mul: a row to a column": mul,
    "mul: with itself": lambda x: x * x,
    "mul: scalar": lambda x: x * 3,
    "div": div,
    "div: a row to a column": div,
    "div: scalar": lambda x: x / 4,
    "pow": torch.pow,
    "pow: a row to a column": torch.pow,
    "pow: scalar": lambda x: x**1.5,
    "pow: square": lambda x: x**2.0,
    "pow: exponent 0": lambda x: x**0.0,
    "pow: negative exponent": lambda x: x**-2.0,
    "maximum": torch.maximum,
    "maximum: a row to a column": torch.maximum,
    "minimum": torch.minimum,
    "operator+": add,
    "operator+: tensor and scalar": lambda x: x + 1.5,
    "operator+: scalar and tensor": lambda x: 1.5 + x,
    "operator-": sub,
    "operator-: tensor and scalar": lambda x: x - 1.5,
    "operator-: scalar and tensor": lambda x: 1.5 - x,
    "operator-: sign": lambda x: -x,
    "operator*": mul,
    "operator*: tensor and scalar": lambda x: x * 1.5,
    "operator*: scalar and tensor": lambda x: 1.5 * x,
    "operator/": div,
    "operator/: tensor and scalar": lambda x: x / 1.5,
    "operator/: scalar and tensor": lambda x: 1.5 / x,
    "operator==": torch.eq,
    "operator!=": torch.ne,
    "operator<": torch.lt,
    "operator<=": torch.le,
    "operator>": torch.gt,
    "operator>=": torch.ge,
    "operator==: scalar": lambda x: x == 1,
    "operator!=: scalar": lambda x: x != 1,
    "operator<: scalar": lambda x: x < 1.0,
    "operator<=: scalar": lambda x: x <= 1.0,
    "operator>: scalar": lambda x: x > 1.0,
    "operator>=: scalar": lambda x: x >= 1.0,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_not": torch.logical_not,
    "allclose": lambda x: torch.tensor(torch.allclose(x, x + 1e-9)),
    "equal": lambda x: torch.tensor(torch.equal(x, x + 1e-3)),
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "square": torch.square,
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu: tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "clamp": lambda x: x.clamp(-1, 1),
    "where": torch.where,
    "where: broadcast": torch.where,
    "masked_fill": lambda x, mask: x.masked_fill(mask, 7),
    "masked_fill: a row of the mask for all": lambda x, mask: x.masked_fill(mask, 7),
    "sum": torch.sum,
    "sum: first": lambda x: x.sum(0),
    "sum: middle": lambda x: x.sum(1, keepdim=True),
    "sum: last": lambda x: x.sum(-1),
    "sum: outer two": lambda x: x.sum((0, 2), keepdim=True),
    "sum: no dimensions": torch.sum,
    "sum: empty": lambda x: x.sum(1),
    "sum: of empty dimensions": lambda x: x.sum(1),
    "sum: odd": torch.sum,
    "mean": torch.mean,
    "mean: last two": lambda x: x.mean((1, 2)),
    "mean: middle": lambda x: x.mean(-2, keepdim=True),
    "var": torch.var,
    "var: biased over the last": lambda x: x.var(-1, unbiased=False),
    "var: first two, dimensions kept": lambda x: x.var((0, 1), keepdim=True),
    "amax": torch.amax,
    "amax: middle": lambda x: x.amax(1),
    "amax: outer two": lambda x: x.amax((0, 2), keepdim=True),
    "amax: equal maxima": lambda x: x.clamp(-1, 1).amax(0),
    "amin": torch.amin,
    "amin: last": lambda x: x.amin(-1),
    "argmax": torch.argmax,
    "argmax: middle": lambda x: x.argmax(1),
    "argmax: last, dimension kept": lambda x: x.argmax(-1, keepdim=True),
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
    "matmul": matmul,
    "matmul: one by one": matmul,
    "matmul: nothing to sum": matmul,
    "matmul: no rows": matmul,
    "matmul: vectors": matmul,
    "matmul: vector, matrix": matmul,
    "matmul: matrix, vector": matmul,
    "matmul: batch": matmul,
    "matmul: broadcast batch": matmul,
    "matmul: batch, matrix": matmul,
    "matmul: batch, vector": matmul,
    "matmul: vector, batch": matmul,
    "matmul: transposed": lambda a, b: a.t() @ b.t(),
    "linear": F.linear,
    "linear: no bias": F.linear,
    "linear: one row without a batch": F.linear,
    "linear: batch": F.linear,
    "linear: relu": lambda x, w, b: F.linear(x, w, b).relu(),
    "linear: relu, no bias": lambda x, w: F.linear(x, w).relu(),
    "linear: gelu": linear_gelu,
    "linear: gelu, odd": linear_gelu,
    "linear: gelu, no bias": linear_gelu,
    "linear: gelu, nothing to sum": linear_gelu,
    "softmax": lambda x: x.softmax(-1),
    "softmax: first": lambda x: x.softmax(0),
    "softmax: one": lambda x: x.softmax(0),
    "softmax: large numbers": lambda x: (x * 1000).softmax(1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "log_softmax: middle": lambda x: x.log_softmax(1),
    "cross_entropy": F.cross_entropy,
    "cross_entropy: sum": lambda x, t: F.cross_entropy(x, t, reduction="sum"),
    "cross_entropy: none": lambda x, t: F.cross_entropy(x, t, reduction="none"),
    "cross_entropy: ignored class": lambda x, t: F.cross_entropy(x, t, ignore_index=1),
    "cross_entropy: smoothed": lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1),
    "cross_entropy: smoothed, ignored class": lambda x, t: F.cross_entropy(x, t, ignore_index=2, label_smoothing=0.2),
    "cross_entropy: pixels": F.cross_entropy,
    "nll_loss": F.nll_loss,
    "nll_loss: none, ignored class": lambda x, t: F.nll_loss(x, t, reduction="none", ignore_index=0),
    "nll_loss: sum over pixels": lambda x, t: F.nll_loss(x, t, reduction="sum"),
    "mse_loss": F.mse_loss,
    "mse_loss: sum": lambda x, t: F.mse_loss(x, t, reduction="sum"),
    "mse_loss: none": lambda x, t: F.mse_loss(x, t, reduction="none"),
    "l1_loss": F.l1_loss,
    "l1_loss: sum": lambda x, t: F.l1_loss(x, t, reduction="sum"),
    "l1_loss: none": lambda x, t: F.l1_loss(x, t, reduction="none"),
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "bce_with_logits: none": lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
    "bce_with_logits: sum": lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="sum"),
    "binary_cross_entropy_with_logits: factors": lambda x, t, w, p: F.binary_cross_entropy_with_logits(
        x, t, weight=w, pos_weight=p),
    "binary_cross_entropy_with_logits: positive factors, large numbers":
        lambda x, t, p: F.binary_cross_entropy_with_logits(x, t, pos_weight=p, reduction="none"),
    "cross_entropy: weights": lambda x, t, w: F.cross_entropy(x, t, weight=w, ignore_index=3),
    "cross_entropy: weights, smoothed, sum over pixels": lambda x, t, w: F.cross_entropy(
        x, t, weight=w, ignore_index=1, label_smoothing=0.2, reduction="sum"),
    "cross_entropy: weights, smoothed": lambda x, t, w: F.cross_entropy(x, t, weight=w, label_smoothing=0.2),
    "cross_entropy: probabilities": F.cross_entropy,
    "cross_entropy: probabilities, weights, smoothed, none": lambda x, t, w: F.cross_entropy(
        x, t, weight=w, label_smoothing=0.1, reduction="none"),
    "nll_loss: weights": lambda x, t, w: F.nll_loss(x, t, weight=w, ignore_index=0),
    "nll_loss: weights, none": lambda x, t, w: F.nll_loss(x, t, weight=w, reduction="none"),
    "smooth_l1_loss": F.smooth_l1_loss,
    "smooth_l1_loss: beta, none": lambda x, t: F.smooth_l1_loss(x, t, beta=0.3, reduction="none"),
    "smooth_l1_loss: beta 0": lambda x, t: F.smooth_l1_loss(x, t, beta=0.0),
    "huber_loss": F.huber_loss,
    "huber_loss: delta, sum": lambda x, t: F.huber_loss(x, t, delta=0.4, reduction="sum"),
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy: weights, none": lambda x, t, w: F.binary_cross_entropy(x, t, weight=w, reduction="none"),
    "kl_div": F.kl_div,
    "kl_div: mean over rows": lambda x, t: F.kl_div(x, t, reduction="batchmean"),
    "kl_div: logarithms, none": lambda x, t: F.kl_div(x, t, log_target=True, reduction="none"),
    "gaussian_nll_loss": F.gaussian_nll_loss,
    "gaussian_nll_loss: full, sum": lambda x, t, v: F.gaussian_nll_loss(x, t, v, full=True, reduction="sum"),
    "pairwise_distance": F.pairwise_distance,
    "pairwise_distance: p 1": lambda a, b: F.pairwise_distance(a, b, p=1.0),
    "pairwise_distance: p 3, dimension kept": lambda a, b: F.pairwise_distance(a, b, p=3.0, eps=1e-3, keepdim=True),
    "cosine_similarity": F.cosine_similarity,
    "cosine_similarity: first": lambda a, b: F.cosine_similarity(a, b, dim=0),
    "triplet_margin_loss": F.triplet_margin_loss,
    "triplet_margin_loss: swap, none": lambda a, p, n: F.triplet_margin_loss(a, p, n, margin=3.0, p=3.0, swap=True,
                                                                             reduction="none"),
    "cosine_embedding_loss": lambda a, b, t: F.cosine_embedding_loss(a, b, t * 2 - 1),
    "cosine_embedding_loss: margin, none": lambda a, b, t: F.cosine_embedding_loss(a, b, t * 2 - 1, margin=-0.3,
                                                                                   reduction="none"),
    "group_norm": lambda x, w, b: F.group_norm(x, 2, w, b),
    "group_norm: plain rows": lambda x: F.group_norm(x, 2, eps=1e-2),
    "instance_norm": F.instance_norm,
    "instance_norm: weight, bias": lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=1e-2),
    "rms_norm": lambda x, w: F.rms_norm(x, (5,), w),
    "rms_norm: plain over two dimensions": lambda x: F.rms_norm(x, (4, 5), eps=1e-2),
    "upsample": lambda x: F.interpolate(x, scale_factor=(2, 3)),
    "upsample: not at all": lambda x: F.interpolate(x, scale_factor=1),
    "conv2d": F.conv2d,
    "conv2d: no bias": F.conv2d,
    "conv2d: stride, padding": lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=(1, 2)),
    "conv2d: dilation": lambda x, w, b: F.conv2d(x, w, b, padding=1, dilation=(2, 1)),
    "conv2d: groups": lambda x, w, b: F.conv2d(x, w, b, stride=(1, 2), groups=2),
    "conv2d: by channel": lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=4),
    "conv2d: 1 x 1": F.conv2d,
    "conv2d: no images": F.conv2d,
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "max_pool2d: stride, padding": pad_max_pool,
    "max_pool2d: overlapping": lambda x: F.max_pool2d(x, 3, stride=1),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "avg_pool2d: stride, padding": lambda x: F.avg_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 1)),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "adaptive_avg_pool2d: one": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_avg_pool2d: wider than the image": lambda x: F.adaptive_avg_pool2d(x, (8, 9)),
    "batch_norm": lambda x, w, b, m, v: F.batch_norm(x, m.clone(), v.clone(), w, b, training=True),
    "batch_norm: rows": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=1e-3),
    "batch_norm: plain": lambda x: F.batch_norm(x, None, None, training=True),
    "batch_norm: evaluation": lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b),
    "batch_norm: running mean": batch_norm_statistics,
    "layer_norm": lambda x, w, b: F.layer_norm(x, (5,), w, b),
    "layer_norm: plain": lambda x: F.layer_norm(x, (4, 5)),
    "layer_norm: two dimensions": lambda x, w, b: F.layer_norm(x, (4, 5), w, b, eps=1e-2),
    "dropout: evaluation": lambda x: F.dropout(x, 0.4, training=False),
    "dropout: none": lambda x: F.dropout(x, 0.0),
    "dropout: all": lambda x: F.dropout(x, 1.0),
    "scaled_dot_product_attention": attention,
    "scaled_dot_product_attention: heads": attention,
    "scaled_dot_product_attention: causal": lambda q, k, v: attention(q, k, v, is_causal=True),
    "scaled_dot_product_attention: scale": lambda q, k, v: attention(q, k, v, scale=0.3),
    "scaled_dot_product_attention: added mask": attention,
    "scaled_dot_product_attention: bool mask": lambda q, k, v, m: attention(q, k, v, attn_mask=m < 1.0),
    "view": lambda x: x.view(2, -1),
    "reshape": lambda x: x.reshape(6, 2),
    "reshape: of a transpose": lambda x: x.t().reshape(2, 6),
    "flatten": lambda x: x.flatten(1),
    "transpose": lambda x: x.transpose(0, -1),
    "t": lambda x: x.t(),
    "permute": lambda x: x.permute(2, 0, 1),
    "slice": lambda x: x[:, 0:4:3],
    "slice: from the end": lambda x: x[:, -3:100],
    "slice: empty": lambda x: x[2:1],
    "narrow": lambda x: x.narrow(0, 1, 2),
    "select": lambda x: x.select(1, -1),
    "operator[]": lambda x: x[1],
    "expand": lambda x: x.expand(2, -1, 5),
    "squeeze": lambda x: x.squeeze(),
    "squeeze: one": lambda x: x.squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "chunk": lambda x: x.chunk(3, 1)[2],
    "split": lambda x: x.split(3, 1)[2],
    "split: sizes": lambda x: x.split([1, 4, 3], 1)[1],
    "contiguous": lambda x: x.t().contiguous(),
    "clone": lambda x: x.clone(),
    "to": lambda x: x.to(torch.float32).to(torch.float64),
    "to: device": lambda x: x.to("cpu"),
    "to: device and dtype": lambda x: x.to("cpu", torch.float64),
    "cpu": lambda x: x.cpu(),
    "copy_": in_place(lambda y, b: y.copy_(b)),
    "fill_": in_place(lambda y: y.fill_(3)),
    "zero_": in_place(lambda y: y.zero_()),
    "add_": in_place(lambda y, b: y.add_(b)),
    "add_: alpha": in_place(lambda y, b: y.add_(b, alpha=2)),
    "add_: scalar": in_place(lambda y: y.add_(2)),
    "sub_": in_place(lambda y, b: y.sub_(b)),
    "mul_": in_place(lambda y, b: y.mul_(b)),
    "mul_: scalar": in_place(lambda y: y.mul_(3)),
    "div_": in_place(lambda y, b: y.div_(b)),
    "div_: scalar": in_place(lambda y: y.div_(4)),
    "clamp_": in_place(lambda y: y.clamp_(-1, 1)),
    "masked_fill_": in_place(lambda y, mask: y.masked_fill_(mask, 7)),
    "operator+=": in_place(lambda y, b: y.add_(b)),
    "operator+=: scalar": in_place(lambda y: y.add_(2)),
    "operator-=": in_place(lambda y, b: y.sub_(b)),
    "operator*=": in_place(lambda y, b: y.mul_(b)),
    "operator*=: scalar": in_place(lambda y: y.mul_(3)),
    "operator/=": in_place(lambda y, b: y.div_(b)),
    "operator/=: scalar": in_place(lambda y: y.div_(4)),
    "add_: to a view": add_to_view,
    "mul_: to columns, twice": multiply_columns,
    "copy_: to columns": copy_columns,
    "floor_divide": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "floor_divide: a row to a column": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "floor_divide: scalar": lambda x: torch.div(x, 2, rounding_mode="floor"),
    "remainder": torch.remainder,
    "remainder: a row to a column": torch.remainder,
    "remainder: scalar": lambda x: torch.remainder(x, 2),
    "fmod": torch.fmod,
    "fmod: scalar": lambda x: torch.fmod(x, 2),
    "atan2": torch.atan2,
    "atan2: a row to a column": torch.atan2,
    "xlogy": torch.xlogy,
    "addcmul": torch.addcmul,
    "addcmul: a number, a row, a column": lambda x, a, b: torch.addcmul(x, a, b, value=0.5),
    "addcdiv": lambda x, a, b: torch.addcdiv(x, a, b, value=2),
    "addcdiv: a row to a column": torch.addcdiv,
    "lerp": torch.lerp,
    "lerp: a row to a column": torch.lerp,
    "lerp: scalar": lambda a, b: torch.lerp(a, b, 0.75),
    "logical_xor": torch.logical_xor,
    "isclose": lambda x, b: torch.isclose(x, x + 1e-9 * b),
    "isnan": lambda x: torch.isnan(torch.log(x)),
    "isfinite": lambda x: torch.isfinite(torch.log(x)),
    "expm1": torch.expm1,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "tan": torch.tan,
    "asin": torch.asin,
    "acos": torch.acos,
    "atan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "erfinv": torch.erfinv,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "trunc": torch.trunc,
    "clamp_min": lambda x: x.clamp_min(1),
    "clamp_max": lambda x: x.clamp_max(1),
    "clamp: tensors": torch.clamp,
    "clamp: a lower tensor": lambda x, low: torch.clamp(x, min=low),
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
    "argmin": torch.argmin,
    "argmin: middle": lambda x: x.argmin(1),
    "max": torch.max,
    "max: middle": lambda x: x.max(1).values,
    "max: last, dimension kept": lambda x: x.max(-1, True).values,
    "max: indices": lambda x: x.max(1).indices,
    "min": torch.min,
    "min: first": lambda x: x.min(0).values,
    "any": torch.any,
    "any: first": lambda x: x.any(0),
    "any: of nothing": lambda x: x.any(1, True),
    "all": torch.all,
    "all: first": lambda x: x.all(0),
    "all: of nothing": lambda x: x.all(1),
    "count_nonzero": lambda x: x.count_nonzero(1),
    "prod": torch.prod,
    "prod: middle": lambda x: x.prod(1, True),
    "prod: outer two": lambda x: x.prod(0).prod(-1),
    "prod: of nothing": lambda x: x.prod(1),
    "norm": torch.norm,
    "norm: middle": lambda x: torch.linalg.vector_norm(x, 2, 1, True),
    "norm: 1": lambda x: torch.linalg.vector_norm(x, 1, -1),
    "norm: 3.5": lambda x: torch.linalg.vector_norm(x, 3.5, -1),
    "norm: infinity": lambda x: torch.linalg.vector_norm(x, float("inf"), -1),
    "norm: minus infinity": lambda x: torch.linalg.vector_norm(x, float("-inf"), -1),
    "norm: 0": lambda x: torch.linalg.vector_norm(x, 0, (0, 2)),
    "logsumexp": lambda x: x.logsumexp(1),
    "logsumexp: outer two": lambda x: (x * 1000).logsumexp((0, -1), True),
    "var_mean": lambda x: torch.cat(torch.var_mean(x, 1)),
    "cumsum": lambda x: x.cumsum(1),
    "cumsum: last": lambda x: x.cumsum(-1),
    "cumsum: no dimensions": lambda x: x.cumsum(0),
    "cumsum: empty": lambda x: x.cumsum(1),
    "cumsum: odd": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(0),
    "cumprod: last": lambda x: x.cumprod(2),
    "cumprod: zeros": lambda x, m: (x * m).cumprod(1),
    "sort": lambda x: x.sort().values,
    "sort: first, descending": lambda x: x.sort(0, True).values,
    "argsort": lambda x: x.argsort(stable=True),
    "argsort: middle, descending": lambda x: x.argsort(dim=1, descending=True, stable=True),
    "topk": lambda x: x.topk(2).values,
    "topk: middle, smallest": lambda x: x.topk(3, 1, False).values,
    "hstack": lambda a, b: torch.hstack([a, b]),
    "hstack: vectors": lambda a, b: torch.hstack([a, b]),
    "vstack": lambda a, b: torch.vstack([a, b]),
    "meshgrid": lambda a, b: torch.meshgrid(a, b, indexing="ij")[1],
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
    "mm": torch.mm,
    "bmm": torch.bmm,
    "mv": torch.mv,
    "dot": torch.dot,
    "outer": torch.outer,
    "addmm": torch.addmm,
    "addmm: factors": lambda x, a, b: torch.addmm(x, a, b, beta=0.5, alpha=2),
    "baddbmm": lambda x, a, b: torch.baddbmm(x, a, b, alpha=0.5),
    "tensordot": lambda a, b: torch.tensordot(a, b, 2),
    "tensordot: dimensions": lambda a, b: torch.tensordot(a, b, ([0, -1], [2, 0])),
    "einsum": lambda *x: torch.einsum("ij,kj->ik", *x),
    "einsum: batch": lambda *x: torch.einsum("bij,bjk->bik", *x),
    "einsum: of one operand": lambda *x: torch.einsum("iij->ji", *x),
    "einsum: to a number": lambda *x: torch.einsum("ij,ij", *x),
    "einsum: three operands": lambda *x: torch.einsum("ij,jk,kl->li", *x),
    "einsum: any dimensions": lambda *x: torch.einsum("...ij,...jk->...ik", *x),
    "einsum: outer, in alphabetical order": lambda *x: torch.einsum("b,a", *x),
    "einsum: a sum of one side": lambda *x: torch.einsum("ij,k->k", *x),
    "einsum: nothing to sum": lambda *x: torch.einsum("ij,jk->ik", *x),
    "softmin": lambda x: F.softmin(x, -1),
    "expand_as": lambda x, y: x.expand_as(y),
    "broadcast_to": lambda x: x.broadcast_to(2, 3, 4),
    "view_as": lambda x, y: x.view_as(y),
    "T": lambda x: x.T,
    "movedim": lambda x: x.movedim(0, -1),
    "movedim: two": lambda x: x.movedim((2, 0), (0, 1)),
    "diagonal": lambda x: x.diagonal(),
    "diagonal: below": lambda x: x.diagonal(-1, 2, 0),
    "diagonal: outside": lambda x: x.diagonal(9),
    "unbind": lambda x: x.unbind(1)[2],
    "repeat": lambda x: x.repeat(2, 1, 3),
    "addcmul_": in_place(lambda y, a, b: y.addcmul_(a, b)),
    "addcdiv_": in_place(lambda y, a, b: y.addcdiv_(a, b, value=2)),
    "scatter_": in_place(lambda y, k, s: y.scatter_(0, k.argsort(dim=0, stable=True), s)),
    "scatter_: value": in_place(lambda y, i: y.scatter_(1, i, 7)),
    "scatter_add_": in_place(lambda y, i, s: y.scatter_add_(0, i, s)),
    "index_add_": in_place(lambda y, i, s: y.index_add_(0, i, s)),
}
INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.bool)

arguments = {}
for key, value in load_file(sys.argv[1]).items():
    name, position, kind = key.split("|")
    arguments.setdefault(name, {})[int(position)] = (kind, value)

torch.manual_seed(0)
goldens = {}


def integer_arguments(values, dtype):
    for kind, value in values:
        if kind not in ("real", "constant"):
            yield value
        else:
            yield value > 0 if dtype == torch.bool else (1 + (2 * value.abs()).floor()).to(dtype)


for name, by_position in sorted(arguments.items()):
    if name not in ROWS:
        sys.exit(f"ROWS has no entry for '{name}' in tests/op_cases/")
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
