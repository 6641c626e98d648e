#!/usr/bin/env python3
"""The workloads of training_steps.cpp by PyTorch, printed in the same form:

  training_steps_torch.py [--device cuda] [--seconds 1.5] [PREFIX]
"""

import argparse
import json
import statistics
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


def measure(workload, model, optimizer, x, y, seconds):
    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        if x.is_cuda:
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 5:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    print(json.dumps({"workload": workload, "batch": len(x), "device": str(x.device), "threads": torch.get_num_threads(),
                      "median_ms": round(statistics.median(times) * 1e3, 3), "steps": len(times)}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="?", default="")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=1.5)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    torch.backends.cudnn.allow_tf32 = False  # miniparallel computes in full float32
    device = torch.device(arguments.device)

    def labels(n):
        return torch.randint(0, 10, (n,), device=device)

    if "W1".startswith(arguments.prefix[:2]):
        for n in (32, 128, 1024):
            model = mlp().to(device)
            measure("W1 mlp", model, torch.optim.Adam(model.parameters(), lr=1e-3), torch.randn(n, 784, device=device),
                    labels(n), arguments.seconds)
    if "W2".startswith(arguments.prefix[:2]):
        for n in (32, 64, 256, 1024):
            model = Cnn().to(device)
            measure("W2 cnn", model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
                    torch.randn(n, 1, 28, 28, device=device), labels(n), arguments.seconds)


main()
