#!/usr/bin/env python3
"""The ops of breadth_benchmark, elementwise_benchmark, math_benchmark and vision_benchmark by PyTorch:

  math_benchmark --device cuda --benchmark_out=math.json
  ops_torch.py --device cuda math.json ...

prints, for each op that the files have, both times and `ratio`, miniparallel's time over PyTorch's. Run it in the same
minutes. On a CPU give both the same OMP_NUM_THREADS.
"""

import argparse
import functools
import json
import statistics
import sys
import time

import torch
from torch.nn import functional as F

options = {}  # of new tensors: the device


def randn(*shape):
    return torch.randn(*shape, **options)


def learned(*shape):
    return randn(*shape).requires_grad_()


def step(x, function, *parameters):
    """Forward, and backward to x and the parameters."""
    x.requires_grad_()

    def run():
        y = function(x)
        y.backward(torch.ones_like(y))
        for tensor in (x, *parameters):
            tensor.grad = None
    return run


def backward(y, *inputs):
    """The gradients alone."""
    gradient = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, gradient, retain_graph=True)


# --- what only moves numbers

MANY = 65536, 1024


MILLION = 1_000_000


def add(x, y):
    return lambda: x + y


def gelu_backward():
    x = learned(*MANY)
    return backward(F.gelu(x), x)


def copy_heads():
    x = randn(512, 128, 16, 64).transpose(1, 2)
    return lambda: x.contiguous()


def copy_transposed():
    x = randn(*MANY).t()
    return lambda: x.contiguous()


def scale_in_place():
    x = randn(*MANY)
    return lambda: x.mul_(1.0001)


def gelu_forward():
    x = randn(*MANY)
    return lambda: F.gelu(x)


def join():
    x, y = randn(65536, 512), randn(65536, 512)
    return lambda: torch.cat((x, y), 1)


def adam():
    weights = [learned(1024, 1024) for _ in range(64)]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    return torch.optim.Adam(weights, lr=1e-3, fused=options["device"].type == "cuda" or None).step


def add_column_short(n):
    return add(randn(MILLION, n), randn(MILLION, 1))


def copy_short(n):
    x = randn(n, MILLION).t()
    return lambda: x.contiguous()


def join_many(join):
    tensors = [randn(10, 10) for _ in range(2000)]
    return lambda: join(tensors)


def pow_halves(n):
    x = torch.rand(MILLION, **options) + 0.5
    return lambda: x ** (n / 2)


def converted(from_dtype, to_dtype):
    x = randn(MILLION).to(from_dtype)
    return lambda: x.to(to_dtype)


def exp_float64():
    x = randn(MILLION).double()
    return lambda: torch.exp(x)


# --- products, reductions, losses, attention

def short(function):
    """Of many short rows, along a dim."""
    def make(n, dim):
        x = randn(MILLION, n)
        return lambda: function(x, dim)
    return make


def index_select_inner(with_backward):
    index = torch.randint(0, 1000, (1000,), **options)
    x = randn(1000, 1000)
    return step(x, lambda x: x.index_select(1, index)) if with_backward else lambda: x.index_select(1, index)


def reduce(x, *dims):
    return lambda: x.sum(dims) if dims else x.sum()


def linear_step(n):
    w, b = learned(512, 784), learned(512)
    return step(randn(n, 784), lambda x: F.linear(x, w, b), w, b)


def matmul_batch():
    a, b = randn(32, 128, 64), randn(32, 64, 128)
    return lambda: a @ b


def cross_entropy_step(n):
    target = torch.randint(0, n, (1024,), **options)
    return step(randn(1024, n), lambda x: F.cross_entropy(x, target))


def attention_step():
    return step(randn(8, 4, 128, 64), lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True))


def embedding_step():
    index = torch.randint(0, 1000, (32, 128), **options)
    return step(randn(1000, 256), lambda x: F.embedding(index, x))


# --- convolution, pooling, normalisation, random numbers

def convolution(n, channels, size, out, kernel, stride, padding, groups):
    x, w, b = learned(n, channels, size, size), learned(out, channels // groups, kernel, kernel), learned(out)
    return x, w, b, lambda: F.conv2d(x, w, b, stride, padding, 1, groups)


def without_gradient(function):
    def run():
        with torch.no_grad():
            return function()
    return run


def conv2d_forward(*arguments):
    return without_gradient(convolution(*arguments)[3])


def conv2d_data_gradient(*arguments):
    x, _, _, function = convolution(*arguments)
    return backward(function(), x)


def conv2d_weight_gradient(*arguments):
    _, w, b, function = convolution(*arguments)
    return backward(function(), w, b)


def pool(function, size, argument):
    x = randn(64, 64, size, size)
    return lambda: function(x, argument)


def max_pool_backward():
    x = learned(64, 64, 24, 24)
    return backward(F.max_pool2d(x, 2), x)


def batch_norm():
    x, w, b = learned(64, 64, 56, 56), learned(64), learned(64)
    return x, w, b, lambda: F.batch_norm(x, None, None, w, b, True)


def layer_norm():
    x, w, b = learned(16384, 1024), learned(1024), learned(1024)
    return x, w, b, lambda: F.layer_norm(x, (1024,), w, b)


def norm_forward(norm):
    return without_gradient(norm()[3])


def norm_backward(norm):
    *inputs, function = norm()
    return backward(function(), *inputs)


MILLIONS = 16 << 20


def dropout_backward():
    x = torch.ones(MILLIONS, **options).requires_grad_()
    return backward(F.dropout(x, 0.5), x)


def dropout_forward():
    x = torch.ones(MILLIONS, **options)
    return lambda: F.dropout(x, 0.5)


OPS = {
    "add": lambda: add(randn(*MANY), randn(*MANY)),
    "add_row": lambda: add(randn(*MANY), randn(1024)),
    "add_column": lambda: add(randn(*MANY), randn(65536, 1)),
    "add_row_short": lambda n: add(randn(MILLION, n), randn(n)),
    "add_column_short": add_column_short,
    "copy_short": copy_short,
    "join_many": lambda: join_many(torch.cat),
    "stack_many": lambda: join_many(torch.stack),
    "pow_halves": pow_halves,
    "exp_float64": exp_float64,
    "to_float16": lambda: converted(torch.float32, torch.float16),
    "from_float16": lambda: converted(torch.float16, torch.float32),
    "scale_in_place": scale_in_place,
    "gelu_forward": gelu_forward,
    "gelu_backward": gelu_backward,
    "copy_transposed": copy_transposed,
    "copy_heads": copy_heads,
    "join": join,
    "adam": adam,
    "sum_all": lambda: reduce(randn(10_000_000)),
    "sum_rows": lambda: reduce(randn(4096, 1024), 1),
    "sum_columns": lambda: reduce(randn(4096, 1024), 0),
    "sum_short": short(torch.sum),
    "amax_short": short(torch.amax),
    "argmax_short": short(torch.argmax),
    "var_short": short(torch.var),
    "softmax_short": lambda n, dim: step(randn(MILLION, n), lambda x: torch.softmax(x, dim)),
    "softmax_inner": lambda n: step(randn(1000, 64, n), lambda x: torch.softmax(x, 1)),
    "layer_norm_short": lambda n: step(randn(MILLION, n), lambda x: F.layer_norm(x, (n,))),
    "batch_norm_short": lambda n: step(randn(MILLION, n), lambda x: F.batch_norm(x, None, None, training=True)),
    "index_select_inner": index_select_inner,
    "linear_step": linear_step,
    "matmul_batch": matmul_batch,
    "softmax_step": lambda n: step(randn(4096, n), lambda x: torch.softmax(x, 1)),
    "cross_entropy_step": cross_entropy_step,
    "attention_step": attention_step,
    "embedding_step": embedding_step,
    "conv2d_forward": conv2d_forward,
    "conv2d_data_gradient": conv2d_data_gradient,
    "conv2d_weight_gradient": conv2d_weight_gradient,
    "max_pool_forward": lambda: pool(F.max_pool2d, 24, 2),
    "max_pool_backward": max_pool_backward,
    "avg_pool_forward": lambda: pool(F.avg_pool2d, 24, 2),
    "global_pool_forward": lambda: pool(F.adaptive_avg_pool2d, 56, 1),
    "batch_norm_forward": lambda: norm_forward(batch_norm),
    "batch_norm_backward": lambda: norm_backward(batch_norm),
    "layer_norm_forward": lambda: norm_forward(layer_norm),
    "layer_norm_backward": lambda: norm_backward(layer_norm),
    "dropout_forward": dropout_forward,
    "dropout_backward": dropout_backward,
    "draw_uniform": lambda: lambda: torch.rand(MILLIONS, **options),
    "draw_normal": lambda: lambda: torch.randn(MILLIONS, **options),
}


# --- steps of other ops: shapes of the arguments, function

SQUARE, IMAGES = (1024, 1024), (32, 64, 28, 28)


def indices(*shape):
    return torch.randint(0, 1024, shape, **options)


INDEX = functools.cache(indices)
STEPS = {
    "sin": ([SQUARE], torch.sin),
    "cos": ([SQUARE], torch.cos),
    "tan": ([SQUARE], torch.tan),
    "asin": ([SQUARE], torch.asin),
    "atan": ([SQUARE], torch.atan),
    "atan2": ([SQUARE, SQUARE], torch.atan2),
    "hypot": ([SQUARE, SQUARE], torch.hypot),
    "fmod": ([SQUARE, SQUARE], torch.fmod),
    "pow_of_tensors": ([SQUARE, SQUARE], torch.pow),
    "tanh": ([SQUARE], torch.tanh),
    "where": ([SQUARE, SQUARE], lambda a, b: torch.where(a > b, a, b)),
    "mul_column": ([SQUARE, (1024, 1)], torch.mul),
    "mul_channels": ([IMAGES, (1, 64, 1, 1)], torch.mul),
    "mul_both_ways": ([(64, 1, 64, 4), (64, 1, 4)], torch.mul),
    "outer": ([(1024,), (1024,)], torch.outer),
    "bmm_small": ([(256, 32, 32), (256, 32, 32)], torch.bmm),
    "sum_outer_dims": ([(64, 64, 256)], lambda x: x.sum((0, 2))),
    "mean_of_channels": ([IMAGES], lambda x: x.mean((0, 2, 3))),
    "prod_rows": ([SQUARE], lambda x: x.prod(1)),
    "prod_all": ([SQUARE], torch.prod),
    "max_rows": ([SQUARE], lambda x: x.max(1).values),
    "max_middle": ([(64, 64, 256)], lambda x: x.max(1).values),
    "logsumexp": ([SQUARE], lambda x: x.logsumexp(1)),
    "cumsum": ([SQUARE], lambda x: x.cumsum(1)),
    "cumprod": ([SQUARE], lambda x: x.cumprod(1)),
    "sort": ([SQUARE], lambda x: x.sort().values),
    "topk": ([SQUARE], lambda x: x.topk(10).values),
    "median": ([SQUARE], lambda x: x.median(1).values),
    "quantile": ([SQUARE], lambda x: x.quantile(0.3, 1)),
    "gather": ([SQUARE], lambda x: x.gather(1, INDEX(*SQUARE))),
    "scatter_add": ([SQUARE, SQUARE], lambda x, y: x.scatter_add(1, INDEX(*SQUARE), y)),
    "index_select": ([SQUARE], lambda x: x.index_select(0, INDEX(4096))),
    "index_add": ([(1024, 256), (4096, 256)], lambda x, y: x.index_add(0, INDEX(4096), y)),
    "embedding_bag": ([(1024, 64)], lambda x: F.embedding_bag(INDEX(1024, 64), x)),
    "tril": ([SQUARE], torch.tril),
    "diag_embed": ([(64, 128)], torch.diag_embed),
    "flip": ([(32, 3, 224, 224)], lambda x: x.flip(3)),
    "roll": ([(8, 56, 56, 96)], lambda x: x.roll((3, 3), (1, 2))),
    "pad_reflect": ([(32, 16, 56, 56)], lambda x: F.pad(x, (1, 1, 1, 1), "reflect")),
    "repeat_interleave": ([(1024, 256)], lambda x: x.repeat_interleave(4, 1)),
    "upsample": ([(16, 16, 64, 64)], lambda x: F.interpolate(x, scale_factor=2)),
    "grid_sample": ([(8, 32, 64, 64), (8, 64, 64, 2)], lambda x, grid: F.grid_sample(x, grid, align_corners=False)),
    "adaptive_max_pool": ([IMAGES], lambda x: F.adaptive_max_pool2d(x, 7)),
    "group_norm": ([IMAGES, (64,), (64,)], lambda x, w, b: F.group_norm(x, 8, w, b)),
    "conv2d_of_3_channels": ([(8, 3, 224, 224), (64, 3, 7, 7)], lambda x, w: F.conv2d(x, w, None, 2, 3)),
    "conv_transpose_to_3_channels": ([(8, 64, 32, 32), (64, 3, 4, 4)], lambda x, w: F.conv_transpose2d(x, w, None, 2, 1)),
}


def step_of(name):
    shapes, function = STEPS[name]
    x = [(torch.rand(shape, **options) * 0.9 + 0.1).requires_grad_() for shape in shapes]
    g = torch.ones_like(function(*x))

    def run():
        for leaf in x:
            leaf.grad = None
        function(*x).backward(g)
    return run


def median_us(work, seconds):
    def finish():
        if options["device"].type == "cuda":
            torch.cuda.synchronize()

    times, start = [], None
    for i in range(1_000_000):
        before = time.perf_counter()
        work()
        finish()
        after = time.perf_counter()
        if i == 2:
            start = after
        if i > 2:
            times.append(after - before)
            if after - start > seconds and len(times) >= 5:
                break
    return statistics.median(times) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=argparse.FileType(), help="of --benchmark_out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=0.2, help="how long each op is measured")
    arguments = parser.parse_args()
    options["device"] = torch.device(arguments.device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # as miniparallel: full float32
    print(f"PyTorch {torch.__version__}", file=sys.stderr)
    print(f"{'op':52}{'us':>12}{'PyTorch us':>12}{'ratio':>8}")
    units = {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}
    for results in arguments.results:
        runs = {}  # of each op, in us: of --benchmark_repetitions
        for line in json.load(results)["benchmarks"]:
            if line["run_type"] == "iteration" and not line.get("error_occurred"):
                runs.setdefault(line["run_name"], []).append(line["real_time"] * units[line["time_unit"]])
        for op, times in runs.items():
            name, *rest = op.removesuffix("/real_time").split("/")
            ours = statistics.median(times)
            work = step_of(*rest) if name == "step" else OPS[name](*map(int, rest))
            torchs = median_us(work, arguments.seconds)
            print(f"{'/'.join([name, *rest]):52}{ours:12.1f}{torchs:12.1f}{ours / torchs:8.2f}", flush=True)


main()
