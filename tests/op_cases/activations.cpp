#include "tests/op_cases/rows.h"

namespace miniparallel::testing {

const Rows activations{
    {"mish", OP(mish(x[0])), {m34}, elementwise | no_integers},
    {"logsigmoid", OP(logsigmoid(x[0])), {m34}, elementwise | no_integers},
    {"softsign", OP(softsign(x[0])), {m34}, elementwise | no_integers},
    {"hardsigmoid", OP(hardsigmoid(x[0])), {real({3, 4}, -4, 4)}, elementwise | no_integers},
    {"hardswish", OP(hardswish(x[0])), {real({3, 4}, -4, 4)}, elementwise | no_integers},
    {"relu6", OP(relu6(x[0])), {real({3, 4}, -3, 9)}, elementwise | no_integers},
    {"hardtanh", OP(hardtanh(x[0])), {m34}, elementwise | no_integers},
    {"hardtanh: bounds", OP(hardtanh(x[0], -1.5, 0.5)), {m34}, elementwise | no_integers},
    {"leaky_relu", OP(leaky_relu(x[0])), {m34}, elementwise | no_integers},
    {"leaky_relu: slope", OP(leaky_relu(x[0], 0.3)), {m34}, elementwise | no_integers},
    {"elu", OP(elu(x[0])), {m34}, elementwise | no_integers},
    {"elu: alpha", OP(elu(x[0], 0.7)), {m34}, elementwise | no_integers},
    {"selu", OP(selu(x[0])), {m34}, elementwise | no_integers},
    {"celu", OP(celu(x[0])), {m34}, elementwise | no_integers},
    {"celu: alpha", OP(celu(x[0], 0.7)), {m34}, elementwise | no_integers},
    {"softplus", OP(softplus(x[0])), {m34}, elementwise | no_integers},
    {"softplus: beta, threshold", OP(softplus(x[0], 2.5, 3)), {m34}, elementwise | no_integers},
    {"prelu", OP(prelu(x[0], x[1])), {m34, real({1})}, no_integers},
    {"prelu: by channel", OP(prelu(x[0], x[1])), {cube, real({4})}, no_integers},
    {"glu", OP(glu(x[0])), {m34}, no_integers},
    {"glu: middle", OP(glu(x[0], 1)), {cube}, no_integers},
    {"glu: empty", OP(glu(x[0], 1)), {real({3, 0})}, no_integers},
};

}  // namespace miniparallel::testing
