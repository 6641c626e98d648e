#!/usr/bin/env python3
"""Writes optim_goldens.safetensors: what PyTorch's optimizers, schedulers and gradient clipping do.

Every variant takes 20 steps on the same parameters with the same gradients; parameter 3 has none in steps 5 to 7.
Names: start.{parameter}, gradient.{step}.{parameter}; {variant}.{dtype}.step{n}.{parameter} and, after the last
step, {variant}.{dtype}.{state}.{parameter}; schedule.{name}: rates before each of 30 steps, momentum.{name} likewise;
lbfgs.{variant}.{step}.{loss before, a and b after}; plateau.{name}: rates after each of plateau.metrics; clip.{kind}.{...}.
"""
import inspect
import sys
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



class Lion(torch.optim.Optimizer):
    """Program 1 of "Symbolic discovery of optimization algorithms" (Chen et al. 2023), which PyTorch lacks."""

    def __init__(self, parameters, lr, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        super().__init__(parameters, dict(lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = -parameter.grad if group["maximize"] else parameter.grad
                average = self.state[parameter].setdefault("exp_avg", torch.zeros_like(parameter))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(group["lr"] * torch.sign(beta1 * average + (1 - beta1) * gradient))
                average.mul_(beta2).add_((1 - beta2) * gradient)


# NAdam keeps a product in the default dtype, and ours is a double.
torch.set_default_dtype(torch.float64)

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
    "sgd_maximize": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=0.1, maximize=True)),
    "adam_amsgrad": (torch.optim.Adam, dict(lr=0.02, betas=(0.8, 0.9), amsgrad=True, weight_decay=0.1)),
    "adamw_amsgrad": (torch.optim.AdamW, dict(lr=0.02, betas=(0.8, 0.9), amsgrad=True, maximize=True)),
    "nadam": (torch.optim.NAdam, dict(lr=0.01)),
    "nadam_options": (torch.optim.NAdam, dict(lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1,
                                              momentum_decay=0.1)),
    "nadam_decoupled": (torch.optim.NAdam, dict(lr=0.02, weight_decay=0.1, decoupled_weight_decay=True,
                                                maximize=True)),
    "radam": (torch.optim.RAdam, dict(lr=0.01)),
    "radam_options": (torch.optim.RAdam, dict(lr=0.02, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.1)),
    "radam_decoupled": (torch.optim.RAdam, dict(lr=0.02, betas=(0.8, 0.99), weight_decay=0.1,
                                                decoupled_weight_decay=True, maximize=True)),
    "adamax": (torch.optim.Adamax, dict(lr=0.01)),
    "adamax_options": (torch.optim.Adamax, dict(lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1,
                                                maximize=True)),
    "rmsprop": (torch.optim.RMSprop, dict(lr=0.01)),
    "rmsprop_momentum": (torch.optim.RMSprop, dict(lr=0.01, alpha=0.9, momentum=0.8, weight_decay=0.1)),
    "rmsprop_centered": (torch.optim.RMSprop, dict(lr=0.01, alpha=0.9, eps=1e-2, centered=True, maximize=True)),
    "rmsprop_all": (torch.optim.RMSprop, dict(lr=0.01, alpha=0.8, eps=1e-2, centered=True, momentum=0.5)),
    "adagrad": (torch.optim.Adagrad, dict(lr=0.1)),
    "adagrad_options": (torch.optim.Adagrad, dict(lr=0.1, lr_decay=0.05, weight_decay=0.1,
                                                  initial_accumulator_value=0.3, eps=1e-4, maximize=True)),
    "adadelta": (torch.optim.Adadelta, dict()),
    "adadelta_options": (torch.optim.Adadelta, dict(lr=0.5, rho=0.8, eps=1e-3, weight_decay=0.1, maximize=True)),
    "rprop": (torch.optim.Rprop, dict()),
    "rprop_options": (torch.optim.Rprop, dict(lr=0.1, etas=(0.3, 2.0), step_sizes=(0.02, 0.5), maximize=True)),
    "lion": (Lion, dict(lr=0.01)),
    "lion_options": (Lion, dict(lr=0.02, betas=(0.8, 0.95), weight_decay=0.3, maximize=True)),
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
                if key not in ("step", "mu_product") and value is not None:
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
    "multi_step": lambda o: [torch.optim.lr_scheduler.MultiStepLR(o, milestones=[3, 8, 8, 20], gamma=0.5)],
    "exponential": lambda o: [torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9)],
    "constant": lambda o: [torch.optim.lr_scheduler.ConstantLR(o, factor=0.25, total_iters=6)],
    "polynomial": lambda o: [torch.optim.lr_scheduler.PolynomialLR(o, total_iters=12, power=1.5)],
    "lambda": lambda o: [torch.optim.lr_scheduler.LambdaLR(o, lambda count: 1 / (1 + count))],
    "multiplicative": lambda o: [torch.optim.lr_scheduler.MultiplicativeLR(o, lambda count: 1 - 0.01 * count)],
    "restarts": lambda o: [torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=7, eta_min=0.001)],
    "longer_restarts": lambda o: [torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2)],
    "one_cycle": lambda o: [torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.8, total_steps=31)],
    "one_cycle_linear": lambda o: [
        torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.8, total_steps=40, pct_start=0.2, anneal_strategy="linear",
                                            div_factor=10, final_div_factor=100),
    ],
    "one_cycle_three_phases": lambda o: [
        torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.8, total_steps=30, pct_start=0.4, three_phase=True),
    ],
    "exponential_in_chain": lambda o: [
        torch.optim.lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=4),
        torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9),
        torch.optim.lr_scheduler.MultiStepLR(o, milestones=[6], gamma=0.1),
    ],
    "sequence": lambda o: [
        torch.optim.lr_scheduler.SequentialLR(
            o,
            [
                torch.optim.lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=5),
                torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=10, eta_min=0.001),
                torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9),
            ],
            milestones=[5, 15],
        ),
    ],
}
torch.set_default_dtype(torch.float32)
for name, make in SCHEDULES.items():
    weight = torch.zeros(1, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([dict(params=[weight], lr=0.5), dict(params=[bias], lr=0.02)])
    schedulers = make(optimizer)
    rates, momenta = [], []
    for _ in range(30):
        rates.append([group["lr"] for group in optimizer.param_groups])
        momenta.append([group["momentum"] for group in optimizer.param_groups])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    goldens[f"schedule.{name}"] = torch.tensor(rates, dtype=torch.float64)
    if name.startswith("one_cycle"):
        goldens[f"momentum.{name}"] = torch.tensor(momenta, dtype=torch.float64)

# Rates and metrics of ReduceLROnPlateau.
METRICS = [5, 4, 4.0005, 3.9999, 4, 4, 4, 4, 3, 3.1, 3.2, 3.3, 3.4, 3.5, 2, 2, 2, 2, 2, 2, 2, 1.99, 1.98, 3, 3, 3, 3, 3, 3, 3]
PLATEAUS = {
    "default": dict(patience=2),
    "max": dict(mode="max", factor=0.5, patience=1, threshold=0.05, threshold_mode="abs", cooldown=2, min_lr=0.01),
    "eps": dict(factor=0.3, patience=0, eps=0.005),
}
goldens["plateau.metrics"] = torch.tensor(METRICS, dtype=torch.float64)
for name, options in PLATEAUS.items():
    weight = torch.zeros(1, requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([dict(params=[weight], lr=0.5), dict(params=[bias], lr=0.02)])
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    rates = []
    for metric in METRICS:
        scheduler.step(metric)
        rates.append([group["lr"] for group in optimizer.param_groups])
    goldens[f"plateau.{name}"] = torch.tensor(rates, dtype=torch.float64)

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


def valley(a, b):
    """A curved valley, and what ties b to a."""
    return ((1 - a) ** 2).sum() + 5 * ((a[1:] - a[:-1] ** 2) ** 2).sum() + ((b - a[:2, None] * a[3:]) ** 2).sum()


for name, options in {"plain": dict(lr=0.1, max_iter=4), "short": dict(lr=0.1, max_iter=6, history_size=2),
                      "wolfe": dict(max_iter=5, line_search_fn="strong_wolfe")}.items():
    a = torch.linspace(-1.2, 0.8, 5, dtype=torch.float64).requires_grad_()
    b = torch.ones(2, 2, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.LBFGS([a, b], **options)

    def closure():
        optimizer.zero_grad()
        loss = valley(a, b)
        loss.backward()
        return loss

    for step in range(1, 9):
        loss = optimizer.step(closure)
        goldens[f"lbfgs.{name}.{step}.loss"] = loss.detach().clone()
        goldens[f"lbfgs.{name}.{step}.a"] = a.detach().clone()
        goldens[f"lbfgs.{name}.{step}.b"] = b.detach().clone()

# Muon, of matrices alone: muon.start.{i}, muon.gradient.{step}.{i}, muon.{variant}.{dtype}.{step}.{i} and, after the
# last step, muon.{variant}.{dtype}.momentum_buffer.{i}. It is PyTorch's but for a rounding to bfloat16.
muon = sys.modules["torch.optim._muon"]
exec(inspect.getsource(muon._zeropower_via_newtonschulz).replace("torch.bfloat16", "grad.dtype"), vars(muon))
generator = torch.Generator().manual_seed(1)
matrices = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in ((3, 5), (6, 4))]
for i, value in enumerate(matrices):
    goldens[f"muon.start.{i}"] = value
muon_gradients = [[torch.randn(value.shape, dtype=torch.float64, generator=generator) for value in matrices]
                  for _ in range(6)]
for name, options in {"default": dict(lr=0.05), "options": dict(lr=0.02, weight_decay=0.3, momentum=0.8, nesterov=False,
                                                                eps=1e-5, adjust_lr_fn="match_rms_adamw")}.items():
    for dtype in (torch.float32, torch.float64):
        label = f"muon.{name}.{str(dtype).removeprefix('torch.')}"
        parameters = [value.to(dtype).clone().requires_grad_() for value in matrices]
        optimizer = torch.optim.Muon(parameters, **options)
        for step in range(1, 7):
            for i, parameter in enumerate(parameters):
                goldens[f"muon.gradient.{step}.{i}"] = muon_gradients[step - 1][i]
                parameter.grad = muon_gradients[step - 1][i].to(dtype)
            optimizer.step()
            for i, parameter in enumerate(parameters):
                goldens[f"{label}.{step}.{i}"] = parameter.detach().clone()
        for i, parameter in enumerate(parameters):
            goldens[f"{label}.momentum_buffer.{i}"] = optimizer.state[parameter]["momentum_buffer"].clone()

save_file(goldens, Path(__file__).parent / "optim_goldens.safetensors")
