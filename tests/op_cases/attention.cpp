#include <miniparallel/random.h>

#include "tests/op_cases/rows.h"

namespace miniparallel::testing {
namespace {

const Input query = real({2, 3, 4}), key = real({2, 5, 4}), value = real({2, 5, 6});

}  // namespace

const Rows attention{
    {"dropout",
     [](const std::vector<Tensor>& x) { return manual_seed(3), dropout(x[0], 0.4); },
     {m34},
     no_golden},
    {"dropout: evaluation", OP(dropout(x[0], 0.4, false)), {m34}, may_alias | no_integers},
    {"dropout: none", OP(dropout(x[0], 0)), {m34}, no_integers},
    {"dropout: all", OP(dropout(x[0], 1)), {m34}, no_integers},
    {"dropout2d",
     [](const std::vector<Tensor>& x) { return manual_seed(3), dropout2d(x[0], 0.4); },
     {image},
     no_golden},
    {"dropout2d: evaluation", OP(dropout2d(x[0], 0.4, false)), {image}, may_alias | no_integers},
    {"dropout2d: all", OP(dropout2d(x[0], 1)), {real({2, 3, 4})}, no_integers},
    {"bernoulli",
     [](const std::vector<Tensor>& x) { return manual_seed(3), bernoulli(x[0]); },
     {real({3, 4}, 0, 1)},
     no_golden | no_gradient | random},
    {"bernoulli: one probability",
     [](const std::vector<Tensor>& x) { return manual_seed(3), bernoulli(x[0], 0.3); },
     {m34},
     no_golden | no_gradient | random},
    {"multinomial",
     [](const std::vector<Tensor>& x) { return manual_seed(3), multinomial(x[0], 3); },
     {m34p},
     no_golden | no_gradient},
    {"multinomial: with replacement",
     [](const std::vector<Tensor>& x) { return manual_seed(3), multinomial(x[0], 50, true); },
     {real({5}, 0, 1)},
     no_golden | no_gradient},
    {"scaled_dot_product_attention",
     OP(scaled_dot_product_attention(x[0], x[1], x[2])),
     {query, key, value},
     no_integers},
    {"scaled_dot_product_attention: heads",
     OP(scaled_dot_product_attention(x[0], x[1], x[2])),
     {real({2, 2, 3, 4}), real({2, 2, 5, 4}), real({2, 2, 5, 3})},
     no_integers},
    {"scaled_dot_product_attention: causal",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], {}, {.causal = true})),
     {real({2, 5, 4}), key, value},
     no_integers},
    {"scaled_dot_product_attention: scale",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], {}, {.scale = 0.3})),
     {query, key, value},
     no_integers},
    {"scaled_dot_product_attention: added mask",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], x[3])),
     {query, key, value, constant({3, 5})},
     no_integers},
    {"scaled_dot_product_attention: bool mask",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], x[3] < 1.0)),
     {query, key, value, constant({2, 3, 5})},
     no_integers},
};

}  // namespace miniparallel::testing
