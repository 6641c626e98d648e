#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows elements{
    {"index_add", OP(index_add(x[0], 1, x[1], x[2], 2)), {m34, whole({3}, 4), real({3, 3})}, no_integers},
    {"gather", OP(gather(x[0], 1, x[1])), {m34, whole({3, 5}, 4)}},
    {"gather: first, of a part", OP(gather(x[0], 0, x[1])), {cube, whole({2, 3, 4}, 3)}},
    {"gather: nothing", OP(gather(x[0], 0, x[1])), {m34, whole({0, 4}, 3)}},
    {"gather: large", OP(gather(x[0], 1, x[1])), {real({301, 57}), whole({301, 91}, 57)}, no_golden},
    {"take_along_dim", OP(take_along_dim(x[0], x[1], 1)), {m34, whole({1, 2}, 4)}},
    {"scatter",
     OP(scatter(x[0], 0, argsort(x[1].to(float32), 0), x[2])),
     {m34, constant({3, 4}), m34},
     no_integers},
    {"scatter: value", OP(scatter(x[0], 1, x[1], 7)), {m34, whole({2, 3}, 4)}},
    {"scatter: the last of equal indices",
     OP(scatter(x[0], 0, x[1], x[2])),
     {m34, whole({7, 4}, 3), real({7, 4})},
     no_golden},
    {"scatter_add", OP(scatter_add(x[0], 0, x[1], x[2])), {m34, whole({5, 3}, 3), real({5, 3})}, no_integers},
    {"masked_select", OP(masked_select(x[0], x[1])), {m34, flag({4})}},
    {"masked_select: a mask of more dimensions", OP(masked_select(x[0], x[1])), {real({4}), flag({3, 4})}},
    {"nonzero", OP(nonzero(x[0])), {whole({3, 4, 5}, 2)}, no_gradient},
    {"nonzero: nothing", OP(nonzero(x[0])), {whole({3, 0}, 2)}, no_gradient},
    {"bincount", OP(bincount(x[0])), {whole({40}, 7)}, no_gradient},
    {"bincount: weights",
     OP(bincount(x[0], x[1], 9)),
     {whole({40}, 7), constant({40})},
     no_gradient | no_integers},
    {"one_hot", OP(one_hot(x[0])), {whole({3, 4}, 5)}, no_gradient},
    {"one_hot: classes", OP(one_hot(x[0], 7)), {whole({3}, 5)}, no_gradient},
};

}  // namespace miniparallel::testing
