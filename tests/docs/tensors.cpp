#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <sstream>

// The code of docs/tensors.md.

using namespace miniparallel;

TEST_CASE("docs/tensors: create") {
#include "snippets/tensors/create.inc"
  CHECK(a.dtype() == float32);
  CHECK(b.to_string() == "tensor([[1, 2, 3],\n        [4, 5, 6]])");
  std::ostringstream kind;
  kind << b.shape() << ' ' << b.dtype() << ' ' << b.device();
  CHECK(kind.str() == "[2, 3] int64 cpu");
  CHECK(e.to_vector<int>() == std::vector<int>(6, 7));
  CHECK(g.numel() == 4);
  CHECK(n.dtype() == float64);
}

TEST_CASE("docs/tensors: in and out") {
#include "snippets/tensors/in_and_out.inc"
  CHECK(values == pixels);
  CHECK(equal(raw, image));
  CHECK(mean_value == 0.5);
  CHECK(first[27] == 0.5f);
}

TEST_CASE("docs/tensors: arithmetic") {
#include "snippets/tensors/arithmetic.inc"
  CHECK(y.shape() == Shape{4, 3});
  CHECK(z.shape() == Shape{4, 3});
  CHECK(p.shape() == Shape{4, 4});
  CHECK(allclose(sum(q, {1}), ones({4})));
  CHECK(total.dim() == 0);
  CHECK(per_row.shape() == Shape{4});
  CHECK(kept.shape() == Shape{1, 3});
  CHECK(where_it_is.dtype() == int64);
  CHECK(largest.shape() == Shape{4});
  CHECK(r.shape() == x.shape());
}

TEST_CASE("docs/tensors: views") {
#include "snippets/tensors/views.inc"
  CHECK(x[0][2][3].item() == 7);
  CHECK(column.shape() == Shape{2, 3});
  CHECK(part.shape() == Shape{2, 3, 2});
  CHECK(tail.shape() == Shape{2, 2, 4});
  CHECK(turned.shape() == Shape{4, 3, 2});
  CHECK(flat.shape() == Shape{2, 12});
  CHECK(rows.shape() == Shape{2, 2, 4});
  CHECK(joined.shape() == Shape{2, 6, 4});
  CHECK(stacked.shape() == Shape{2, 2, 3, 4});
  own.zero_();
  CHECK(x[1][0][0].item() == 12);
}

TEST_CASE("docs/tensors: devices") {
#include "snippets/tensors/devices.inc"
  CHECK(y.device() == Device::cpu());
}

TEST_CASE("docs/tensors: blob") {
#include "snippets/tensors/blob.inc"
  CHECK(samples[5] == 1);
  CHECK(columns.data<float>() == samples.data());
  CHECK(same.data<double>() == owned);
}
