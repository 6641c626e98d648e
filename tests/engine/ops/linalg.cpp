#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <cmath>

namespace miniparallel::testing {
namespace {

double largest(const Tensor& x) { return amax(abs(x)).item(); }

TEST_CASE("linalg: matrices of some size are put together again by their parts") {
  manual_seed(3);
  for (const Shape& shape : {Shape{40, 40}, Shape{3, 50, 20}, Shape{20, 50}}) {
    CAPTURE(shape);
    const Tensor x = randn(shape, float64);
    const auto [u, s, vh] = linalg::svd(x);
    CHECK(largest(matmul(u * s.unsqueeze(-2), vh) - x) < 1e-12);
    CHECK(amin(diff(-s)).item() >= 0);
    const auto [q, r] = qr(x);
    CHECK(largest(matmul(q, r) - x) < 1e-12);
    CHECK(equal(r, triu(r)));
    CHECK(largest(matmul(matmul(x, pinv(x)), x) - x) < 1e-10);
    const Tensor square_of = matmul(x, x.transpose(-1, -2)) + eye(x.size(-2), float64);
    const Tensor l = cholesky(square_of);
    CHECK(largest(matmul(l, l.transpose(-1, -2)) - square_of) < 1e-11);
    const auto [values, vectors] = eigh(square_of);
    CHECK(largest(matmul(vectors * values.unsqueeze(-2), vectors.transpose(-1, -2)) - square_of) < 1e-11);
    CHECK(largest(matmul(square_of, solve(square_of, x)) - x) < 1e-10);
    CHECK(largest(logdet(square_of) - sum(log(values), {-1})) < 1e-10);
  }
}

TEST_CASE("linalg: singular matrices, and those that are not positive definite") {
  const Tensor singular = tensor({{1.0, 2.0}, {2.0, 4.0}});
  CHECK(det(singular).item() == 0);
  CHECK(slogdet(singular).sign.item() == 0);
  CHECK(slogdet(singular).logabsdet.item() == -HUGE_VAL);
  CHECK(matrix_rank(singular).item<int>() == 1);
  CHECK(slogdet(tensor({{0.0, 2.0}, {2.0, 0.0}})).sign.item() == -1);
  CHECK(std::isnan(logdet(tensor({{0.0, 2.0}, {2.0, 0.0}})).item()));
  CHECK(error_of([&] { (void)inverse(stack({eye(2), singular})); }) ==
        "inverse: matrix 1 is singular: element 1 of the diagonal of its U is 0");
  CHECK(error_of([&] { (void)linalg::inv(singular); }).starts_with("inv: matrix 0 is singular"));
  CHECK(error_of([&] { (void)solve(singular, ones(2)); }).starts_with("solve: matrix 0 is singular"));
  CHECK(error_of([&] { det(singular.clone().requires_grad_()).backward(); }).find("matrix 0 is singular") !=
        std::string::npos);
  CHECK(error_of([&] { (void)cholesky(-eye(3)); }) ==
        "cholesky: matrix 0 is not positive definite: its leading minor of order 1 is not");
  CHECK(error_of([&] { (void)svd(full({2, 2}, HUGE_VAL)); }) ==
        "svd: got an infinite element or NaN; they must be numbers");
  CHECK(error_of([&] { (void)eigh(full({2, 2}, std::nan(""))); }) ==
        "eigh: got an infinite element or NaN; they must be numbers");
}

TEST_CASE("linalg: shapes that do not fit, and the gradient of a wide QR") {
  CHECK(error_of([] { (void)det(ones({2, 3})); }) == "det: got shape [2, 3]; it must be (..., n, n)");
  CHECK(error_of([] { (void)solve(ones({2, 2}), ones({3, 1})); }) ==
        "solve: got shapes [2, 2] and [3, 1]; they must be (..., n, n) and (..., n, k), with leading "
        "dimensions "
        "that agree");
  const Tensor wide = randn({2, 3}).requires_grad_();
  CHECK(error_of([&] { sum(qr(wide).r).backward(); }).find("at least as many rows") != std::string::npos);
}

TEST_CASE("linalg: no matrices, and matrices of nothing") {
  CHECK(inverse(zeros({0, 3, 3})).shape() == Shape{0, 3, 3});
  CHECK(inverse(zeros({2, 0, 0})).shape() == Shape{2, 0, 0});
  CHECK(equal(det(zeros({2, 0, 0})), ones(2)));
  CHECK(equal(slogdet(zeros({2, 0, 0})).logabsdet, zeros(2)));
  CHECK(svd(zeros({3, 0})).u.shape() == Shape{3, 0});
  CHECK(svdvals(zeros({0, 3, 2})).shape() == Shape{0, 2});
  CHECK(qr(zeros({0, 2})).r.shape() == Shape{0, 2});
  CHECK(eigvalsh(zeros({0, 0})).shape() == Shape{0});
  CHECK(solve(ones({1, 1}), zeros({1, 0})).shape() == Shape{1, 0});
  CHECK(equal(matrix_rank(zeros({2, 0, 3})), zeros({2}, int64)));
}

}  // namespace
}  // namespace miniparallel::testing
