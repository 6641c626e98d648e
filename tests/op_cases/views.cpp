#include "tests/op_cases/rows.h"

namespace miniparallel::testing {
namespace {

const unsigned view_traits = any_dtype | may_alias;

}  // namespace

const Rows views{
    {"view", OP(x[0].view({2, -1})), {m34}, view_traits | contiguous_only},
    {"reshape", OP(x[0].reshape({6, 2})), {m34}, view_traits},
    {"reshape: of a transpose", OP(x[0].t().reshape({2, 6})), {m34}, view_traits},
    {"flatten", OP(x[0].flatten(1)), {cube}, view_traits},
    {"transpose", OP(x[0].transpose(0, -1)), {cube}, view_traits},
    {"t", OP(x[0].t()), {m34}, view_traits},
    {"permute", OP(x[0].permute({2, 0, 1})), {cube}, view_traits},
    {"slice", OP(x[0].slice(1, 0, 4, 3)), {m34}, view_traits},
    {"slice: from the end", OP(x[0].slice(-1, -3, 100)), {m34}, view_traits},
    {"slice: empty", OP(x[0].slice(0, 2, 1)), {m34}, view_traits},
    {"narrow", OP(x[0].narrow(0, 1, 2)), {m34}, view_traits},
    {"select", OP(x[0].select(1, -1)), {cube}, view_traits},
    {"operator[]", OP(x[0][1]), {cube}, view_traits},
    {"expand", OP(x[0].expand({2, -1, 5})), {real({3, 1})}, view_traits},
    {"squeeze", OP(x[0].squeeze()), {real({1, 3, 1})}, view_traits},
    {"squeeze: one", OP(x[0].squeeze(0)), {real({1, 3, 1})}, view_traits},
    {"unsqueeze", OP(x[0].unsqueeze(-1)), {m34}, view_traits},
    {"chunk", OP(x[0].chunk(3, 1)[2]), {real({2, 8})}, view_traits},
    {"split", OP(x[0].split(3, 1)[2]), {real({2, 8})}, view_traits},
    {"split: sizes", OP(x[0].split(Shape{1, 4, 3}, 1)[1]), {real({2, 8})}, view_traits},
    {"contiguous", OP(x[0].t().contiguous()), {m34}, view_traits},
    {"clone", OP(x[0].clone()), {m34}, any_dtype | elementwise},
    {"to", OP(x[0].to(float32).to(float64)), {m34}, any_dtype | no_differences},
    {"to: device", OP(x[0].to(x[0].device())), {m34}, view_traits},
    {"to: device and dtype", OP(x[0].to(x[0].device(), float64)), {m34}, view_traits},
    {"cpu", OP(x[0].cpu()), {m34}, view_traits},
    {"cuda", OP(x[0].is_cuda() ? x[0].cuda() : x[0]), {m34}, view_traits | no_golden},
};

}  // namespace miniparallel::testing
