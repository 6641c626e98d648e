#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows rearranged{
    {"tril", OP(tril(x[0])), {cube}},
    {"tril: diagonal", OP(tril(x[0], 1)), {m34}},
    {"triu", OP(triu(x[0])), {cube}},
    {"triu: diagonal", OP(triu(x[0], -1)), {m34}},
    {"diag", OP(diag(x[0])), {m34}},
    {"diag: of a vector", OP(diag(x[0], -1)), {real({3})}},
    {"diag: of nothing", OP(diag(x[0])), {real({0})}},
    {"tile", OP(tile(x[0], {2})), {m34}},
    {"repeat_interleave", OP(repeat_interleave(x[0], 2)), {m34}},
    {"repeat_interleave: first", OP(repeat_interleave(x[0], 3, 0)), {m34}},
    {"flip", OP(flip(x[0], {0, -1})), {cube}},
    {"flip: nothing", OP(flip(x[0], {})), {m34}},
    {"roll", OP(roll(x[0], 5)), {m34}},
    {"roll: two dimensions", OP(roll(x[0], {1, -2}, {0, 1})), {cube}},
    {"pad", OP(pad(x[0], {1, 2, 0, 1}, PadMode::constant, 3)), {m34}},
    {"pad: less", OP(pad(x[0], {-1, 2, 1, -1})), {cube}},
    {"pad: reflect", OP(pad(x[0], {2, 1}, PadMode::reflect)), {m34}},
    {"pad: reflect, two dimensions", OP(pad(x[0], {2, 1, 1, 3}, PadMode::reflect)), {cube}},
    {"pad: replicate", OP(pad(x[0], {5, 1, 0, 2}, PadMode::replicate)), {cube}},
    {"pad: circular", OP(pad(x[0], {5, 1}, PadMode::circular)), {cube}},
};

}  // namespace miniparallel::testing
