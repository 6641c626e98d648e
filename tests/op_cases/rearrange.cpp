#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows rearranged{
    {"tril", OP(tril(x[0])), {cube}},
    {"tril: diagonal", OP(tril(x[0], 1)), {m34}},
    {"triu", OP(triu(x[0])), {cube}},
    {"triu: diagonal", OP(triu(x[0], -1)), {m34}},
    {"diag", OP(diag(x[0])), {m34}, any_dtype},
    {"diag: of a vector", OP(diag(x[0], -1)), {real({3})}, any_dtype},
    {"diag: of nothing", OP(diag(x[0])), {real({0})}, any_dtype},
    {"tile", OP(tile(x[0], {2})), {m34}, any_dtype},
    {"repeat_interleave", OP(repeat_interleave(x[0], 2)), {m34}, any_dtype},
    {"repeat_interleave: first", OP(repeat_interleave(x[0], 3, 0)), {m34}, any_dtype},
    {"flip", OP(flip(x[0], {0, -1})), {cube}, any_dtype},
    {"flip: nothing", OP(flip(x[0], {})), {m34}, any_dtype},
    {"roll", OP(roll(x[0], 5)), {m34}, any_dtype},
    {"roll: two dimensions", OP(roll(x[0], {1, -2}, {0, 1})), {cube}, any_dtype},
    {"pad", OP(pad(x[0], {1, 2, 0, 1}, PadMode::constant, 3)), {m34}, any_dtype},
    {"pad: less", OP(pad(x[0], {-1, 2, 1, -1})), {cube}, any_dtype},
    {"pad: reflect", OP(pad(x[0], {2, 1}, PadMode::reflect)), {m34}, any_dtype},
    {"pad: reflect, two dimensions", OP(pad(x[0], {2, 1, 1, 3}, PadMode::reflect)), {cube}, any_dtype},
    {"pad: replicate", OP(pad(x[0], {5, 1, 0, 2}, PadMode::replicate)), {cube}, any_dtype},
    {"pad: circular", OP(pad(x[0], {5, 1}, PadMode::circular)), {cube}, any_dtype},
};

}  // namespace miniparallel::testing
