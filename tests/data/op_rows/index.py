"""PyTorch's side of the rows in tests/op_cases/index.cpp."""
import torch


def put(x, indices, values, accumulate=False):
    y = x.clone()
    if accumulate:
        return y.index_put(indices, values, accumulate=True)
    y[indices] = values
    return y


WHOLE = slice(None)

ROWS = {
    "index": lambda x: x[1, ..., 1:-1],
    "index: a step and a new dimension": lambda x: x[::2, None, -1, :],
    "index: one index": lambda x, i: x[i],
    "index: in the middle": lambda x, i: x[:, i],
    "index: neighbours": lambda x, i, j: x[:, i, j],
    "index: apart": lambda x, i, j: x[i, 1:, j],
    "index: a number and an index": lambda x, i: x[i, ..., 2],
    "index: a mask": lambda x: x[x.detach() > 0],
    "index: a mask of rows": lambda x, m: x[..., m],
    "index: a mask of two dimensions": lambda x, m: x[m, 0:3],
    "index: none": lambda x, i: x[i],
    "index_put": lambda x, v: put(x, (1, slice(1, 3)), v),
    "index_put: an index": lambda x, k, v: put(x, (k.argsort(), slice(0, 2)), v),
    "index_put: apart, broadcast": lambda x, k, v: put(x, (k.argsort(), WHOLE, 2), v),
    "index_put: a mask": lambda x, m, v: put(x, (m,), v),
    "index_put: accumulate": lambda x, i, j, v: put(x, (i, j), v, True),
    "index_put_": lambda x, v: put(x, (WHOLE, 1), v),
    "index_put_: a number in a mask": lambda x, m: put(x, (m,), 7),
}
