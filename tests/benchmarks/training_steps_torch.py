#!/usr/bin/env python3
"""The workloads of training_steps.cpp by PyTorch, printed in the same form:

  training_steps_torch.py [--device cuda] [--data-parallel] [--compile] [--seconds 1.5] [--beside FILE] [PREFIX]

--beside takes what training_steps printed in the same minutes; each line then has its median and `ratio`, miniparallel's
time over PyTorch's. On a CPU give both the same OMP_NUM_THREADS. --data-parallel wraps each model in
nn.DataParallel(device_ids=[0]), --compile runs each through torch.compile.
"""

import argparse
import json
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.drop1, self.drop2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        return self.fc2(self.drop2(F.relu(self.fc1(self.drop1(x).flatten(1)))))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(256), nn.LayerNorm(256)
        self.qkv, self.out = nn.Linear(256, 768), nn.Linear(256, 256)
        self.up, self.down = nn.Linear(256, 1024), nn.Linear(1024, 256)

    def attention(self, x):
        q, k, v = (t.unflatten(-1, (4, 64)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    VOCABULARY = PLACES = 128

    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(self.VOCABULARY, 256), nn.Embedding(self.PLACES, 256)
        self.register_buffer("places", torch.arange(self.PLACES))
        self.blocks = nn.Sequential(*(Block() for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(256), nn.Linear(256, self.VOCABULARY)

    def forward(self, tokens):
        x = self.token(tokens) + self.position(self.places)
        return self.head(self.norm(self.blocks(x))).flatten(0, 1)


class ResidualBlock(nn.Module):
    def __init__(self, size, out):
        super().__init__()
        self.conv1 = nn.Conv2d(size, out, 3, stride=out // size, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.shortcut = nn.Identity() if size == out else nn.Sequential(
            nn.Conv2d(size, out, 1, stride=out // size, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, blocks_of_each_size):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        sizes = [16] + [out for out in (16, 32, 64) for _ in range(blocks_of_each_size)]
        self.blocks = nn.Sequential(*(ResidualBlock(*pair) for pair in zip(sizes, sizes[1:])))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.norm(self.conv(x)))).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(128, 256, batch_first=True), nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def measure(workload, model, optimizer, x, y, options):
    """One line of the output."""
    if options.data_parallel:
        model = nn.DataParallel(model, device_ids=[0])
    if options.compile:
        torch._dynamo.reset()
        model = torch.compile(model)

    def step():
        optimizer.zero_grad(set_to_none=True)  # not the default before 2.0
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if x.is_cuda:
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < options.seconds or len(times) < 5:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    median = statistics.median(times)
    return {"workload": workload, "batch": len(x), "device": str(x.device), "threads": torch.get_num_threads(),
            "median_ms": round(median * 1e3, 3), "steps_per_second": round(1 / median, 1), "steps": len(times),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def workloads(options):
    prefix, device = options.prefix, torch.device(options.device)

    def labels(n):
        return torch.randint(0, 10, (n,), device=device)

    if "W1".startswith(prefix):
        for n in (32, 128, 1024):
            model = mlp().to(device)
            yield measure("W1 mlp", model, torch.optim.Adam(model.parameters(), lr=1e-3),
                          torch.randn(n, 784, device=device), labels(n), options)
    if "W2".startswith(prefix):
        for n in (32, 64, 256, 1024):
            model = Cnn().to(device)
            yield measure("W2 cnn", model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
                          torch.randn(n, 1, 28, 28, device=device), labels(n), options)
    if "W3".startswith(prefix) and hasattr(F, "scaled_dot_product_attention"):  # not before 2.0
        for n in (8, 32, 128):
            model = Gpt().to(device)

            def tokens(*shape):
                return torch.randint(0, Gpt.VOCABULARY, shape, device=device)

            yield measure("W3 gpt", model, torch.optim.AdamW(model.parameters(), lr=1e-3),
                          tokens(n, Gpt.PLACES), tokens(n * Gpt.PLACES), options)
    if "W4".startswith(prefix):
        for layers in (8, 20):
            model = ResNet((layers - 2) // 6).to(device)
            yield measure(f"W4 resnet-{layers}", model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
                          torch.randn(128, 3, 32, 32, device=device), labels(128), options)
    if "W5".startswith(prefix):
        model = Recurrent().to(device)
        yield measure("W5 lstm", model, torch.optim.Adam(model.parameters(), lr=1e-3),
                      torch.randn(64, 64, 128, device=device), labels(64), options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="?", default="", help="W1 to W5")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data-parallel", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--beside", type=argparse.FileType())
    arguments = parser.parse_args()
    torch.manual_seed(1)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # as miniparallel: full float32
    print(f"PyTorch {torch.__version__}", file=sys.stderr)

    def key(line):
        return line["workload"], line["batch"], line["device"]

    peers = {key(line): line["median_ms"] for line in map(json.loads, arguments.beside or [])}
    for line in workloads(arguments):
        if key(line) in peers:
            line["miniparallel_ms"] = peers[key(line)]
            line["ratio"] = round(peers[key(line)] / line["median_ms"], 2)
        print(json.dumps(line), flush=True)


main()
