#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows joining{
    {"cat", OP(cat({x[0], x[1]})), {m34, real({2, 4})}},
    {"cat: last", OP(cat({x[0], x[1], x[0]}, -1)), {m34, real({3, 1})}},
    {"cat: an empty part", OP(cat({x[0], x[1]}, 1)), {m34, real({3, 0})}},
    {"cat: large", OP(cat({x[0], x[1]}, 1)), {real({31, 2003}), real({31, 1999})}, no_golden},
    {"stack", OP(stack({x[0], x[1]})), {m34, m34}},
    {"stack: last", OP(stack({x[0], x[1], x[0]}, -1)), {m34, m34}},
    {"stack: no dimensions", OP(stack({x[0], x[1]})), {real({}), real({})}},
    {"index_select", OP(index_select(x[0], 0, x[1])), {m34, whole({5}, 3)}},
    {"index_select: last", OP(index_select(x[0], -1, x[1])), {cube, whole({7}, 5)}},
    {"index_select: narrow rows",
     OP(index_select(x[0], 1, x[1])),
     {real({3, 7, 2}), whole({19}, 7)},
     no_golden},
    {"index_select: none", OP(index_select(x[0], 1, x[1])), {m34, whole({0}, 3)}},
    {"index_select: large",
     OP(index_select(x[0], 0, x[1])),
     {real({509, 33}), whole({4001}, 509)},
     no_golden},
    {"embedding", OP(embedding(x[0], x[1])), {real({6, 3}), whole({4}, 6)}, no_integers},
    {"embedding: padding",
     OP(embedding(x[0], x[1], 2)),
     {real({6, 3}), whole({3, 5}, 6)},
     no_integers | no_differences},
    {"embedding: large", OP(embedding(x[0], x[1])), {real({301, 17}), whole({8, 801}, 301)}, no_golden},
    {"hstack", OP(hstack({x[0], x[1]})), {m34, real({3, 2})}},
    {"hstack: vectors", OP(hstack({x[0], x[1]})), {real({3}), real({2})}},
    {"vstack", OP(vstack({x[0], x[1]})), {real({3}), real({3})}},
    {"meshgrid", OP(meshgrid({x[0], x[1]})[1]), {real({3}), real({4})}, view_traits},
};

}  // namespace miniparallel::testing
