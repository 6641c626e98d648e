#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows reductions{
    {"sum", OP(sum(x[0])), {cube}},
    {"sum: first", OP(sum(x[0], {0})), {cube}},
    {"sum: middle", OP(sum(x[0], {1}, true)), {cube}},
    {"sum: last", OP(sum(x[0], {-1})), {cube}},
    {"sum: outer two", OP(sum(x[0], {0, 2}, true)), {cube}},
    {"sum: no dimensions", OP(sum(x[0])), {real({})}},
    {"sum: empty", OP(sum(x[0], {1})), {real({3, 0})}},
    {"sum: of empty dimensions", OP(sum(x[0], {1})), {real({0, 3})}},
    {"sum: odd", OP(sum(x[0])), {real({1031})}},
    {"sum: large", OP(sum(x[0], {1})), {real({3, 100'003})}, no_golden},
    {"sum: large columns", OP(sum(x[0], {0})), {real({10'007, 13})}, no_golden},
    {"sum: short rows", OP(sum(x[0], {1})), {real({37, 3})}, no_golden},
    {"sum: short columns", OP(sum(x[0], {0})), {real({37, 3})}, no_golden},
    {"mean", OP(mean(x[0])), {cube}, no_integers},
    {"mean: last two", OP(mean(x[0], {1, 2})), {cube}, no_integers},
    {"mean: middle", OP(mean(x[0], {-2}, true)), {cube}, no_integers},
    {"mean: large", OP(mean(x[0])), {real({7, 30'011})}, no_golden},
    {"var", OP(var(x[0])), {cube}, no_integers},
    {"var: biased over the last", OP(var(x[0], {-1}, false)), {cube}, no_integers},
    {"var: first two, dimensions kept", OP(var(x[0], {0, 1}, true, true)), {cube}, no_integers},
    {"std", OP(std(x[0])), {cube}, no_integers | no_golden},
    {"std: biased over the last", OP(std(x[0], {-1}, false)), {cube}, no_integers | no_golden},
    {"amax", OP(amax(x[0])), {cube}},
    {"amax: middle", OP(amax(x[0], {1})), {cube}},
    {"amax: outer two", OP(amax(x[0], {0, 2}, true)), {cube}},
    {"amax: equal maxima", OP(amax(clamp(x[0], -1, 1), {0})), {real({9, 3})}},
    {"amax: large", OP(amax(x[0], {1})), {real({3, 50'021})}, no_golden},
    {"amax: short rows", OP(amax(x[0], {1})), {real({37, 4})}, no_golden},
    {"amax: short columns", OP(amax(x[0], {0})), {real({37, 4})}, no_golden},
    {"amin", OP(amin(x[0])), {cube}},
    {"amin: last", OP(amin(x[0], {-1})), {cube}},
    {"argmax", OP(argmax(x[0])), {cube}, no_gradient},
    {"argmax: middle", OP(argmax(x[0], 1)), {cube}, no_gradient},
    {"argmax: short rows", OP(argmax(x[0], 1)), {real({37, 2})}, no_gradient | no_golden},
    {"argmax: short columns", OP(argmax(x[0], 0)), {real({37, 2})}, no_gradient | no_golden},
    {"argmax: last, dimension kept", OP(argmax(x[0], -1, true)), {cube}, no_gradient},
};

}  // namespace miniparallel::testing
