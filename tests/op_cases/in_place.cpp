#include <miniparallel/random.h>

#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows in_place{
    {"copy_", IN_PLACE(copy_(x[1])), {m34, real({4})}},
    {"fill_", IN_PLACE(fill_(3)), {m34}, elementwise},
    {"zero_", IN_PLACE(zero_()), {m34}, elementwise},
    {"add_", IN_PLACE(add_(x[1])), {m34, real({4})}},
    {"add_: alpha", IN_PLACE(add_(x[1], 2)), {m34, m34}, elementwise | no_integers},
    {"add_: scalar", IN_PLACE(add_(2)), {m34}, elementwise},
    {"sub_", IN_PLACE(sub_(x[1])), {m34, real({4})}},
    {"sub_: scalar", IN_PLACE(sub_(2)), {m34}, elementwise | no_golden},
    {"mul_", IN_PLACE(mul_(x[1])), {m34, real({4})}},
    {"mul_: scalar", IN_PLACE(mul_(3)), {m34}, elementwise},
    {"div_", IN_PLACE(div_(x[1])), {m34, real({4}, 0.5, 2)}},
    {"div_: scalar", IN_PLACE(div_(4)), {m34}, elementwise},
    {"clamp_", IN_PLACE(clamp_(-1, 1)), {m34}, elementwise},
    {"masked_fill_", IN_PLACE(masked_fill_(x[1], 7)), {m34, flag({4})}},
    {"uniform_",
     [](const std::vector<Tensor>& x) { return manual_seed(5), x[0].clone().uniform_(2, 3); },
     {m34},
     no_golden | no_gradient | no_integers | random},
    {"normal_",
     [](const std::vector<Tensor>& x) { return manual_seed(5), x[0].clone().normal_(1, 2); },
     {m34},
     no_golden | no_gradient | no_integers | random},
    {"exponential_",
     [](const std::vector<Tensor>& x) { return manual_seed(5), x[0].clone().exponential_(2); },
     {m34},
     no_gradient | no_golden | random},
    {"bernoulli_",
     [](const std::vector<Tensor>& x) { return manual_seed(5), x[0].clone().bernoulli_(0.3); },
     {m34},
     no_golden | no_gradient | random},
    {"bernoulli_: probabilities",
     [](const std::vector<Tensor>& x) { return manual_seed(5), x[0].clone().bernoulli_(x[1]); },
     {m34, real({4}, 0, 1)},
     no_golden | no_gradient | random},
    {"operator+=", IN_PLACE(operator+=(x[1])), {m34, m34}, elementwise},
    {"operator+=: scalar", IN_PLACE(operator+=(2)), {m34}, elementwise},
    {"operator-=", IN_PLACE(operator-=(x[1])), {m34, m34}, elementwise},
    {"operator-=: scalar", IN_PLACE(operator-=(2)), {m34}, elementwise | no_golden},
    {"operator*=", IN_PLACE(operator*=(x[1])), {m34, m34}, elementwise},
    {"operator*=: scalar", IN_PLACE(operator*=(3)), {m34}, elementwise},
    {"operator/=", IN_PLACE(operator/=(x[1])), {m34, m34p}, elementwise},
    {"operator/=: scalar", IN_PLACE(operator/=(4)), {m34}, elementwise},
    {"add_: to a view",
     [](const std::vector<Tensor>& x) {
       Tensor y = x[0] * 2;
       y.select(0, 1).add_(x[1]);
       return y;
     },
     {m34, real({4})}},
    {"mul_: to columns, twice",
     [](const std::vector<Tensor>& x) {
       const Tensor y = x[0] * 2;
       y.slice(1, 0, 4, 2).mul_(x[1]);
       y.slice(1, 1, 4, 2).t().mul_(x[2]);
       return y * y;
     },
     {m34, real({3, 1}), real({3})}},
    {"copy_: to columns",
     [](const std::vector<Tensor>& x) {
       const Tensor y = x[0] * 2;
       y.slice(1, 0, 4, 2).copy_(x[1]);
       return y * y;
     },
     {m34, real({3, 1})},
     no_integers},
    {"addcmul_", IN_PLACE(addcmul_(x[1], x[2])), {m34, m34, real({4})}, no_integers},
    {"addcdiv_", IN_PLACE(addcdiv_(x[1], x[2], 2)), {m34, m34, m34p}, no_integers},
    {"scatter_",
     IN_PLACE(scatter_(0, argsort(x[1].to(float32), 0), x[2])),
     {m34, constant({3, 4}), m34},
     no_integers},
    {"scatter_: value", IN_PLACE(scatter_(1, x[1], 7)), {m34, whole({2, 3}, 4)}},
    {"scatter_add_",
     IN_PLACE(scatter_add_(0, x[1], x[2])),
     {m34, whole({5, 3}, 3), real({5, 3})},
     no_integers},
    {"index_add_", IN_PLACE(index_add_(0, x[1], x[2])), {m34, whole({5}, 3), real({5, 4})}, no_integers},
};

}  // namespace miniparallel::testing
