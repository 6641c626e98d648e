#include <miniparallel/linalg.h>

#include "tests/op_cases/rows.h"

namespace miniparallel::testing {
namespace {

/// Symmetric, and positive definite.
Tensor positive(const Tensor& x) {
  return matmul(x, x.transpose(-1, -2)) + eye(x.size(-2), {.dtype = x.dtype(), .device = x.device()});
}
Tensor symmetric(const Tensor& x) { return x + x.transpose(-1, -2); }
/// What does not depend on the signs of columns.
Tensor projector(const Tensor& u) { return matmul(u, u.transpose(-1, -2)); }

const Input m33 = real({3, 3}), stack33 = real({2, 3, 3});
constexpr unsigned lapack = no_integers | blas;

}  // namespace

const Rows decompositions{
    {"solve", OP(solve(x[0], x[1])), {m33, real({3, 2})}, lapack},
    {"solve: vectors", OP(solve(x[0], x[1])), {stack33, real({2, 3})}, lapack},
    {"solve: nothing", OP(solve(x[0], x[1])), {real({0, 3, 3}), real({0, 3, 2})}, lapack},
    {"solve_triangular", OP(solve_triangular(x[0], x[1], true)), {stack33, real({2, 3, 4})}, lapack},
    {"solve_triangular: lower, ones on the diagonal",
     OP(solve_triangular(x[0], x[1], false, true)),
     {m33, real({3, 4})},
     lapack},
    {"inverse", OP(inverse(x[0])), {stack33}, lapack},
    {"inv", OP(linalg::inv(x[0])), {m33}, lapack},
    {"det", OP(det(x[0])), {stack33}, lapack},
    {"det: of nothing", OP(det(x[0])), {real({2, 0, 0})}, lapack},
    {"logdet", OP(logdet(positive(x[0]))), {stack33}, lapack},
    {"slogdet: sign", OP(slogdet(x[0]).sign), {stack33}, lapack | no_gradient},
    {"slogdet: logarithm", OP(slogdet(x[0]).logabsdet), {stack33}, lapack},
    {"cholesky", OP(cholesky(positive(x[0]))), {real({2, 3, 4})}, lapack},
    {"cholesky: upper", OP(cholesky(positive(x[0]), true)), {m33}, lapack},
    {"cholesky_solve", OP(cholesky_solve(x[0], cholesky(positive(x[1])))), {real({3, 2}), m33}, lapack},
    {"qr: q", OP(qr(x[0]).q), {real({2, 4, 3})}, lapack},
    {"qr: r", OP(qr(x[0]).r), {real({4, 3})}, lapack},
    {"qr: wide", OP(qr(x[0]).r), {constant({2, 4})}, lapack | no_gradient},
    {"eigvalsh", OP(eigvalsh(symmetric(x[0]))), {m33}, lapack},
    {"eigh: vectors", OP(projector(eigh(symmetric(x[0])).vectors.slice(-1, 0, 1))), {stack33}, lapack},
    {"svdvals", OP(svdvals(x[0])), {real({2, 3, 4})}, lapack},
    {"svd: u", OP(projector(svd(x[0]).u.slice(-1, 0, 2))), {real({4, 3})}, lapack},
    {"svd: vh", OP(projector(svd(x[0]).vh.transpose(-1, -2).slice(-1, 0, 1))), {real({2, 3, 4})}, lapack},
    {"svd: the product",
     [](const std::vector<Tensor>& x) {
       const auto [u, s, vh] = svd(x[0]);
       return matmul(u * s.unsqueeze(-2), vh);
     },
     {real({2, 4, 3})},
     lapack},
    {"pinv", OP(pinv(x[0])), {real({2, 4, 3})}, lapack},
    {"matrix_rank",
     OP(matrix_rank(matmul(x[0], x[1]))),
     {constant({4, 2}), constant({2, 3})},
     lapack | no_gradient},
    {"cond", OP(cond(x[0])), {m33}, lapack},
    {"matrix_power", OP(matrix_power(x[0], 5)), {stack33}, lapack},
    {"matrix_power: of the inverse", OP(matrix_power(x[0], -2)), {m33}, lapack},
    {"matrix_power: none", OP(matrix_power(x[0], 0)), {m33}, lapack},
};

}  // namespace miniparallel::testing
