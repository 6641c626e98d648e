#!/usr/bin/env python3
"""Writes optim_goldens.safetensors: what PyTorch's optimizers, schedulers and gradient clipping do.

Every variant takes 20 steps on the same parameters with the same gradients; parameter 3 has none in steps 5 to 7.
Names: start.{parameter}, gradient.{step}.{parameter}; {variant}.{dtype}.step{n}.{parameter} and, after the last
step, {variant}.{dtype}.{state}.{parameter}; schedule.{name}: rates before each of 30 steps; clip.{kind}.{...}.
"""
from pathlib import Path

import torch
from safetensors.torch import save_file

SHAPES = [(3, 5), (7,), (), (33,)]
STEPS = 20
KEPT_STEPS = (1, 2, 20)

torch.manual_seed(0)
start = [torch.randn(shape, dtype=torch.float64) for shape in SHAPES]
gradients = [[torch.randn(shape, dtype=torch.float64) for shape in SHAPES] for _ in range(STEPS)]
goldens = {}
for i, value in enumerate(start):
    goldens[f"start.{i}"] = value
for step in range(STEPS):
    for i, value in enumerate(gradients[step]):
        goldens[f"gradient.{step + 1}.{i}"] = value

VARIANTS = {
    "sgd": (torch.optim.SGD, dict(lr=0.05)),
    "sgd_decay": (torch.optim.SGD, dict(lr=0.05, weight_decay=0.1)),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9)),
    "sgd_dampening": (torch.optim.SGD, dict(lr=0.05, momentum=0.8, dampening=0.3, weight_decay=0.01)),
    "sgd_nesterov": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)),
    "adam": (torch.optim.Adam, dict(lr=0.01)),
    "adam_options": (torch.optim.Adam, dict(lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    "adamw": (torch.optim.AdamW, dict(lr=0.01)),
    "adamw_options": (torch.optim.AdamW, dict(lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.3)),
    # Parameters 0 and 1, then 2 and 3 with other options.
    "groups": (torch.optim.Adam, dict(lr=0.01), dict(lr=0.1, weight_decay=0.05)),
}

for name, (optimizer_class, *options) in VARIANTS.items():
    for dtype in (torch.float32, torch.float64):
        label = f"{name}.{str(dtype).removeprefix('torch.')}"
        parameters = [value.to(dtype).clone().requires_grad_() for value in start]
        if len(options) == 1:
            optimizer = optimizer_class(parameters, **options[0])
        else:
            groups = [dict(params=parameters[:2], **options[0]), dict(params=parameters[2:], **options[1])]
            optimizer = optimizer_class(groups)
        for step in range(1, STEPS + 1):
            for i, parameter in enumerate(parameters):
                missing = i == 3 and 5 <= step <= 7
                parameter.grad = None if missing else gradients[step - 1][i].to(dtype)
            optimizer.step()
            if step in KEPT_STEPS:
                for i, parameter in enumerate(parameters):
                    goldens[f"{label}.step{step}.{i}"] = parameter.detach().clone()
        for i, parameter in enumerate(parameters):
            for key, value in optimizer.state[parameter].items():
                if key != "step" and value is not None:
                    goldens[f"{label}.{key}.{i}"] = value.clone()

SCHEDULES = {
    "step": lambda o: [torch.optim.lr_scheduler.StepLR(o, step_size=4, gamma=0.5)],
    "cosine": lambda o: [torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=8, eta_min=0.001)],
    "cosine_to_zero": lambda o: [torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=10)],
    "linear": lambda o: [torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=6)],
    "linear_down": lambda o: [torch.optim.lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.25, total_iters=9)],
    "warmup_and_step": lambda o: [
        torch.optim.lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=4),
        torch.optim.lr_scheduler.StepLR(o, step_size=5, gamma=0.3),
    ],
}
for name, make in SCHEDULES.items():
    weight = torch.zeros(1, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([dict(params=[weight], lr=0.5), dict(params=[bias], lr=0.02)])
    schedulers = make(optimizer)
    rates = []
    for _ in range(30):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    goldens[f"schedule.{name}"] = torch.tensor(rates, dtype=torch.float64)

NORMS = {"one": 1.0, "two": 2.0, "infinity": float("inf")}
for name, norm_type in NORMS.items():
    for limit_name, limit in (("clipped", 0.5), ("free", 1000.0)):
        parameters = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]
        for parameter, gradient in zip(parameters, gradients[0]):
            parameter.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit, norm_type=norm_type)
        goldens[f"clip.{name}.{limit_name}.norm"] = norm
        for i, parameter in enumerate(parameters):
            goldens[f"clip.{name}.{limit_name}.{i}"] = parameter.grad
for i, gradient in enumerate(gradients[0]):
    goldens[f"clip.value.{i}"] = gradient.clamp(-0.25, 0.25)

save_file(goldens, Path(__file__).parent / "optim_goldens.safetensors")
