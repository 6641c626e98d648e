"""PyTorch's side of the rows in tests/op_cases/matmul.cpp."""
import torch
import torch.nn.functional as F


def linear_gelu(x, weight, bias=None):
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")


matmul = torch.matmul

ROWS = {
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
}
