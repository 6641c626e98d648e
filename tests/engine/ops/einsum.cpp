#include "tests/support/derivatives.h"

namespace miniparallel {
namespace {

using testing::error_of;

TEST_CASE("einsum: an equation that does not fit is named") {
  const Tensor x = ones({3, 4});
  CHECK(error_of([&] { einsum("ij,jk", {x}); }) ==
        "einsum: 'ij,jk' is for 2 operands, but 1 were given; separate their letters by commas");
  CHECK(error_of([&] { einsum("ijk->i", {x}); }) ==
        "einsum: an operand of shape [3, 4] does not fit its 3 letters in 'ijk->i'; name each of its "
        "dimensions");
  CHECK(error_of([&] { einsum("ij,ij->i", {x, ones({3, 5})}); }) ==
        "einsum: 'j' in 'ij,ij->i' names dimensions of sizes 4 and 5; they must be equal");
  CHECK(error_of([&] { einsum("ij->k", {x}); }) ==
        "einsum: 'k' in the result of 'ij->k' must occur once there, and in an operand");
  CHECK(error_of([&] { einsum("i1->i", {x}); }) ==
        "einsum: 'i1->i' has '1' at place 1; it consists of letters, commas, one -> and ... once in a part");
  CHECK(error_of([&] { einsum("ii->i", {x}); }) ==
        "einsum: 'i' in 'ii->i' names dimensions of sizes 3 and 4; a diagonal needs equal ones");
  CHECK(error_of([&] { einsum("ij->i", {ones({2, 2}, int64)}); }).starts_with("einsum: got int64"));
}

TEST_CASE("einsum: the products that users write") {
  const Tensor a = arange(6.0).view({2, 3}), b = arange(12.0).view({3, 4}), v = arange(3.0);
  CHECK(allclose(einsum("ij,jk->ik", {a, b}), matmul(a, b)));
  CHECK(allclose(einsum(" ij , jk ", {a, b}), matmul(a, b)));
  CHECK(allclose(einsum("ij->ji", {a}), a.t()));
  CHECK(allclose(einsum("ij->", {a}), sum(a)));
  CHECK(allclose(einsum("i,i->i", {v, v}), v * v));
  CHECK(allclose(einsum("i,j->ij", {v, v}), outer(v, v)));
  CHECK(allclose(einsum("...j->j...", {a}), a.t()));
  CHECK(allclose(einsum("...i,...i->...", {a, a.narrow(0, 0, 1)}), sum(a * a.narrow(0, 0, 1), 1)));
}

}  // namespace
}  // namespace miniparallel
