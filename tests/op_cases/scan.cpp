#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows scans{
    {"cumsum", OP(cumsum(x[0], 1)), {cube}},
    {"cumsum: last", OP(cumsum(x[0], -1)), {cube}},
    {"cumsum: no dimensions", OP(cumsum(x[0], 0)), {real({})}},
    {"cumsum: empty", OP(cumsum(x[0], 1)), {real({3, 0})}},
    {"cumsum: odd", OP(cumsum(x[0], 0)), {real({1031})}},
    {"cumsum: large", OP(cumsum(x[0], 1)), {real({3, 50'021})}, no_golden},
    {"cumprod", OP(cumprod(x[0], 0)), {cube}},
    {"cumprod: last", OP(cumprod(x[0], 2)), {cube}},
    {"cumprod: zeros", OP(cumprod(x[0] * x[1], 1)), {m34, whole({3, 4}, 2)}, no_integers},
    {"sort", OP(sort(x[0]).values), {cube}},
    {"sort: first, descending", OP(sort(x[0], 0, true).values), {cube}},
    {"sort: large", OP(sort(x[0], 0).values), {real({5003, 2})}, no_golden},
    {"argsort", OP(argsort(x[0])), {cube}, no_gradient},
    {"argsort: middle, descending", OP(argsort(x[0], 1, true)), {cube}, no_gradient},
    {"topk", OP(topk(x[0], 2).values), {cube}},
    {"topk: middle, smallest", OP(topk(x[0], 3, 1, false).values), {cube}},
    {"topk: indices", OP(topk(x[0], 2, 0).indices), {cube}, no_gradient | no_integers | no_golden},
};

}  // namespace miniparallel::testing
