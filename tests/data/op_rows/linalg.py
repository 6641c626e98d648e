"""PyTorch's side of the rows in tests/op_cases/linalg.cpp."""
import torch
from torch import linalg


def positive(x):
    return x @ x.mT + torch.eye(x.shape[-2], dtype=x.dtype)


def symmetric(x):
    return x + x.mT


def projector(u):
    return u @ u.mT


def svd(x):
    return linalg.svd(x, full_matrices=False)


def product(x):
    u, s, vh = svd(x)
    return u * s.unsqueeze(-2) @ vh


ROWS = {
    "solve": linalg.solve,
    "solve: vectors": lambda a, b: linalg.solve(a, b.unsqueeze(-1)).squeeze(-1),
    "solve: nothing": linalg.solve,
    "solve_triangular": lambda a, b: linalg.solve_triangular(a, b, upper=True),
    "solve_triangular: lower, ones on the diagonal":
        lambda a, b: linalg.solve_triangular(a, b, upper=False, unitriangular=True),
    "inverse": torch.inverse,
    "inv": linalg.inv,
    "det": torch.det,
    "det: of nothing": torch.det,
    "logdet": lambda x: torch.logdet(positive(x)),
    "slogdet: sign": lambda x: linalg.slogdet(x).sign,
    "slogdet: logarithm": lambda x: linalg.slogdet(x).logabsdet,
    "cholesky": lambda x: linalg.cholesky(positive(x)),
    "cholesky: upper": lambda x: linalg.cholesky(positive(x), upper=True),
    "cholesky_solve": lambda b, x: torch.cholesky_solve(b, linalg.cholesky(positive(x))),
    "qr: q": lambda x: linalg.qr(x).Q,
    "qr: r": lambda x: linalg.qr(x).R,
    "qr: wide": lambda x: linalg.qr(x).R,
    "eigvalsh": lambda x: linalg.eigvalsh(symmetric(x)),
    "eigh: vectors": lambda x: projector(linalg.eigh(symmetric(x)).eigenvectors[..., :1]),
    "svdvals": linalg.svdvals,
    "svd: u": lambda x: projector(svd(x)[0][..., :2]),
    "svd: vh": lambda x: projector(svd(x)[2].mT[..., :1]),
    "svd: the product": product,
    "pinv": linalg.pinv,
    "matrix_rank": lambda a, b: linalg.matrix_rank(a @ b),
    "cond": linalg.cond,
    "matrix_power": lambda x: linalg.matrix_power(x, 5),
    "matrix_power: of the inverse": lambda x: linalg.matrix_power(x, -2),
    "matrix_power: none": lambda x: linalg.matrix_power(x, 0),
}
