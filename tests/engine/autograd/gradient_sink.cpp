#include "engine/autograd/gradient_sink.h"

#include <miniparallel/miniparallel.h>

#include "engine/autograd/node.h"
#include "engine/tensor/tensor_impl.h"

#include <doctest/doctest.h>

#include <stdexcept>

namespace miniparallel {
namespace {

using autograd::GradientSink;
using autograd::RecorderScope;

/// Keeps what arrives; gives out `memory`, once, as the place of any end.
struct Recorded final : GradientSink {
  struct Seen final : Walk {
    explicit Seen(Recorded& of) : to(of) {}
    ~Seen() override { to.abandoned += committed ? 0 : 1; }
    Tensor place(std::size_t, int) override { return std::exchange(to.memory, {}); }
    void arrived(std::size_t end, int rank, Tensor gradient) override {
      if (!gradient.defined()) return to.complete.push_back(end);
      to.gradients.push_back(gradient);
      to.from.push_back({end, rank});
    }
    void commit() override { committed = true, ++to.committed; }
    Recorded& to;
    bool committed = false;
  };
  std::unique_ptr<Walk> begin(const std::vector<std::size_t>& ends) override {
    reached.push_back(ends.size());
    return std::make_unique<Seen>(*this);
  }
  std::vector<std::size_t> reached;
  void check_bypass() const override {
    if (refuses) throw std::runtime_error("must not be bypassed");
  }
  std::vector<Tensor> gradients;
  std::vector<std::pair<std::size_t, int>> from;  // (end, rank)
  std::vector<std::size_t> complete;
  Tensor memory;
  bool refuses = false;
  int committed = 0, abandoned = 0;
};

Tensor leaf_with(const std::shared_ptr<Recorded>& sink, std::size_t end = 0) {
  Tensor leaf = ones({2, 2}, {.requires_grad = true});
  autograd::meta_of(leaf).sink = sink;
  autograd::meta_of(leaf).sink_end = end;
  return leaf;
}

TEST_CASE(
    "gradient sink: gets the sum of a leaf's gradients, once per walk, and the leaf's grad stays empty") {
  const auto sink = std::make_shared<Recorded>();
  const Tensor a = leaf_with(sink), b = leaf_with(sink), other = ones({2, 2}, {.requires_grad = true});
  sum(a * 2 + a * other + b).backward();
  CHECK(sink->reached == std::vector<std::size_t>{2});
  CHECK(sink->gradients.size() == 2);
  CHECK(sink->complete.size() == 2);
  CHECK(sink->committed == 1);
  CHECK_FALSE(a.grad().defined());
  CHECK(other.grad().defined());
  CHECK(equal(sink->gradients[0] + sink->gradients[1], full({2, 2}, 4.0)));
}

TEST_CASE("gradient sink: a kernel writes into the place that it gives") {
  const auto sink = std::make_shared<Recorded>();
  const Tensor w = leaf_with(sink);
  sink->memory = empty({2, 2});
  const Tensor memory = sink->memory;
  sum(matmul(ones({3, 2}), w)).backward();
  REQUIRE(sink->gradients.size() == 1);
  CHECK(sink->gradients[0].is_same(memory));
  CHECK(equal(memory, full({2, 2}, 3.0)));
  sink->memory = empty({5});  // does not fit: not used
  sum(matmul(ones({3, 2}), w)).backward();
  CHECK(equal(sink->gradients[1], full({2, 2}, 3.0)));
}

TEST_CASE("gradient sink: gets what each recorder sends by itself, in the order of their ranks") {
  const auto sink = std::make_shared<Recorded>();
  const Tensor w = leaf_with(sink, 5);
  const auto sent = [&](int rank, double factor) {
    const RecorderScope scope(
        std::make_shared<const autograd::Recorder>(autograd::Recorder{rank, "a recorder"}));
    return sum(w * factor) + sum(w * 10);
  };
  const Tensor last = sent(3, 3), first = sent(0, 1);
  const Tensor earlier = sum(w * 100), later = sum(w * 200);
  (earlier + last + later + first).backward();
  using From = std::vector<std::pair<std::size_t, int>>;
  CHECK(sink->from == From{{5, 0}, {5, 3}, {5, autograd::kNoRank}, {5, autograd::kNoRank}});
  std::vector<double> values;
  for (const Tensor& gradient : sink->gradients) values.push_back(gradient.select(0, 0).select(0, 0).item());
  CHECK(values == std::vector<double>{11, 13, 200, 100});
  CHECK(sink->complete == std::vector<std::size_t>{5});
}

TEST_CASE("gradient sink: learns of ends that get nothing, and of each as soon as it is complete") {
  const auto sink = std::make_shared<Recorded>();
  const Tensor first = leaf_with(sink, 1), last = leaf_with(sink, 2), none = leaf_with(sink, 3);
  const Tensor y = ones({2, 2}), h = first * 3;
  autograd::record("nothing", y, {none}, [](autograd::Backward&) {});
  std::vector<std::size_t> before;
  h.register_hook([&](const Tensor&) {
    before = sink->complete;
    return Tensor();
  });
  sum(h * last + y).backward();
  CHECK(before == std::vector<std::size_t>{2, 3});
  CHECK(sink->complete == std::vector<std::size_t>{2, 3, 1});
  CHECK(sink->gradients.size() == 2);
}

TEST_CASE("gradient sink: is asked before a backward that records adds to grad") {
  const auto sink = std::make_shared<Recorded>();
  const Tensor w = leaf_with(sink);
  sink->refuses = true;
  CHECK_THROWS_WITH_AS(sum(w * w).backward({}, false, true), "must not be bypassed", std::runtime_error);
  CHECK_FALSE(w.grad().defined());
  CHECK(equal(autograd::grad({sum(w * w)}, {w}, {.create_graph = true})[0], full({2, 2}, 2.0)));
}

TEST_CASE("gradient sink: a walk that fails is abandoned") {
  const auto sink = std::make_shared<Recorded>();
  const Tensor w = leaf_with(sink), x = ones({2, 2}, {.requires_grad = true});
  const Tensor y = x * 2;
  y.register_hook([](const Tensor&) -> Tensor { throw std::runtime_error("no"); });
  CHECK_THROWS_AS(sum(y + w).backward(), std::runtime_error);
  CHECK(sink->committed == 0);
  CHECK(sink->abandoned == 1);
}

TEST_CASE("gradient sink: autograd::grad and walks that record know none") {
  const auto sink = std::make_shared<Recorded>();
  const Tensor w = leaf_with(sink);
  CHECK(equal(autograd::grad({sum(w * w)}, {w})[0], full({2, 2}, 2.0)));
  sum(w * w).backward({}, false, true);
  CHECK(w.grad().requires_grad());
  w.set_grad({});  // which holds its graph
  CHECK(sink->reached.empty());
}

}  // namespace
}  // namespace miniparallel
