"""PyTorch's side of the rows in tests/op_cases/in_place.cpp."""


def in_place(change):
    def function(x, *others):
        y = x.clone()
        change(y, *others)
        return y

    return function


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


ROWS = {
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
    "addcmul_": in_place(lambda y, a, b: y.addcmul_(a, b)),
    "addcdiv_": in_place(lambda y, a, b: y.addcdiv_(a, b, value=2)),
    "scatter_": in_place(lambda y, k, s: y.scatter_(0, k.argsort(dim=0, stable=True), s)),
    "scatter_: value": in_place(lambda y, i: y.scatter_(1, i, 7)),
    "scatter_add_": in_place(lambda y, i, s: y.scatter_add_(0, i, s)),
    "index_add_": in_place(lambda y, i, s: y.index_add_(0, i, s)),
}
