#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows indexed{
    {"index", OP(index(x[0], {1, Ellipsis{}, Range{1, -1}})), {cube}, view_traits},
    {"index: a step and a new dimension",
     OP(index(x[0], {Range{.step = 2}, NewAxis{}, -1, Range{}})),
     {cube},
     view_traits},
    {"index: one index", OP(index(x[0], {x[1]})), {m34, whole({5}, 3, -3)}},
    {"index: in the middle", OP(index(x[0], {Range{}, x[1]})), {cube, whole({2, 3}, 4, -4)}},
    {"index: neighbours", OP(index(x[0], {Range{}, x[1], x[2]})), {cube, whole({3, 1}, 4), whole({2}, 5)}},
    {"index: apart", OP(index(x[0], {x[1], Range{1}, x[2]})), {cube, whole({3}, 3), whole({3}, 5, -5)}},
    {"index: a number and an index", OP(index(x[0], {x[1], Ellipsis{}, 2})), {cube, whole({6}, 3)}},
    {"index: a mask", OP(index(x[0], {x[0].detach() > 0})), {m34}, no_integers},
    {"index: a mask of rows", OP(index(x[0], {Ellipsis{}, x[1]})), {cube, flag({5})}},
    {"index: a mask of two dimensions", OP(index(x[0], {x[1], Range{0, 3}})), {cube, flag({3, 4})}},
    {"index: none", OP(index(x[0], {x[1]})), {m34, whole({0}, 3)}},
    {"index: large",
     OP(index(x[0], {x[1], x[2]})),
     {real({130, 70, 9}), whole({3000}, 130), whole({3000}, 70)},
     no_golden},
    {"operator[]: braces", OP(x[0][{1, Range{0, 2}}]), {cube}, view_traits | no_golden},
    {"operator[]: a mask", OP(x[0][x[0].detach() > 0]), {m34}, no_golden | no_integers},
    {"index_put", OP(index_put(x[0], {1, Range{1, 3}}, x[1])), {m34, real({2})}, no_integers},
    {"index_put: an index",
     OP(index_put(x[0], {argsort(x[1]), Range{0, 2}}, x[2])),
     {m34, whole({3}, 99), real({3, 2})},
     no_integers},
    {"index_put: apart, broadcast",
     OP(index_put(x[0], {argsort(x[1]), Range{}, 2}, x[2])),
     {cube, whole({3}, 99), real({4})},
     no_integers},
    {"index_put: a mask", OP(index_put(x[0], {x[1]}, x[2])), {cube, flag({3, 4}), real({5})}, no_integers},
    {"index_put: accumulate",
     OP(index_put(x[0], {x[1], x[2]}, x[3], true)),
     {m34, whole({7}, 3), whole({7}, 4), real({7})},
     no_integers},
    {"index_put_", IN_PLACE(index_put_({Range{}, 1}, x[1])), {m34, real({3})}, no_integers},
    {"index_put_: a number in a mask", IN_PLACE(index_put_({x[1]}, 7)), {m34, flag({3, 4})}, no_integers},
};

}  // namespace miniparallel::testing
