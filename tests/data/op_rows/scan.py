"""PyTorch's side of the rows in tests/op_cases/scan.cpp."""

ROWS = {
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
}
