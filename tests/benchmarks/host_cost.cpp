#include <miniparallel/miniparallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

// What a training step costs the host, on GPUs that do nothing (tests/support/idle_accelerator.cpp): the bare
// model, and wrappers of it on more and more devices. And a whole step on the CPU, by one thread, with a
// wrapper and without.
//
//   host_cost [SECONDS]     a table; each row is measured for so long
//   host_cost check         fails where a wrapper on one device costs much more than the bare model

using namespace miniparallel;

namespace {

constexpr std::int64_t kRows = 256;

struct Mlp {
  nn::Linear fc1{784, 256}, fc2{256, 256}, fc3{256, 10};
  Tensor operator()(const Tensor& x) { return fc3(relu(fc2(relu(fc1(x))))); }
  static Tensor batch() { return zeros({kRows, 784}); }
};

struct Cnn {
  nn::Conv2d conv1{1, 8, 3}, conv2{8, 16, 3};
  nn::BatchNorm2d norm1{8}, norm2{16};
  nn::Dropout drop{0.5};
  nn::Linear fc1{16 * 25, 32}, fc2{32, 10};
  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(norm1(conv1(x))), 2);
    x = max_pool2d(relu(norm2(conv2(x))), 2).flatten(1);
    return fc2(drop(relu(fc1(x))));
  }
  static Tensor batch() { return zeros({kRows, 1, 28, 28}); }
};

/// Microseconds of a step's parts.
struct Cost {
  double forward = 0, backward = 0, optimizer = 0;
  double step() const { return forward + backward + optimizer; }
};

using Clock = double (*)();

double wall_time() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
/// Of the calling thread: what else the machine runs does not count.
double thread_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

/// The bare model takes a batch on its device, a wrapper sends it by itself.
template <class Net>
Tensor call(Net& model, const Tensor& x, Device device) {
  return model(x.to(device));
}
template <class Net>
Tensor call(DataParallel<Net>& model, const Tensor& x, Device) {
  return model(x);
}

using Step = std::function<Cost(Clock)>;

template <class Net, class Model>
Step step_of(std::shared_ptr<Model> model, Device device) {
  const auto optimizer = std::make_shared<optim::Adam>(parameters(*model));
  return [model, optimizer, device, x = Net::batch(), y = zeros({kRows}, {.dtype = int64})](Clock now) {
    const double start = now();
    Tensor loss = cross_entropy(call(*model, x, device), y.to(device));
    const double forward = now();
    loss.backward();
    const double backward = now();
    optimizer->step();
    optimizer->zero_grad();
    return Cost{forward - start, backward - forward, now() - backward};
  };
}

template <class Net>
Step bare(Device device) {
  const auto model = std::make_shared<Net>();
  to(*model, device);
  return step_of<Net>(model, device);
}
template <class Net>
Step wrapped(const DeviceList& devices) {
  const auto model = std::make_shared<DataParallel<Net>>(Net{}, DataParallelOptions{.devices = devices});
  return step_of<Net>(model, model->device());
}

/// A step of the bare model, for no devices, or of a wrapper, as a graph.
template <class Net>
Step captured(const std::vector<int>& devices) {
  const auto of = [](auto model, Device device) {
    const auto optimizer = std::make_shared<optim::Adam>(parameters(*model));
    const auto plain = [model, optimizer, device](const Tensor& x, const Tensor& y) {
      Tensor loss = cross_entropy(call(*model, x, device), y.to(device));
      loss.backward();
      optimizer->step();
      optimizer->zero_grad();
      return loss;
    };
    const auto step = std::make_shared<CapturedStep<decltype(plain)>>(plain);
    return [step, x = Net::batch(), y = zeros({kRows}, {.dtype = int64})](Clock now) {
      const double start = now();
      (*step)(x, y);
      return Cost{now() - start, 0, 0};
    };
  };
  if (!devices.empty()) {
    const auto model = std::make_shared<DataParallel<Net>>(Net{}, DataParallelOptions{.devices = devices});
    return of(model, model->device());
  }
  const auto model = std::make_shared<Net>();
  to(*model, Device::cuda(0));
  return of(model, Device::cuda(0));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// The medians over the steps of `seconds`.
Cost measure(const Step& step, double seconds) {
  for (int i = 0; i < 20; ++i) step(wall_time);
  std::vector<double> forward, backward, optimizer;
  for (const double end = wall_time() + seconds * 1e6; wall_time() < end || forward.size() < 5;) {
    const Cost cost = step(wall_time);
    forward.push_back(cost.forward);
    backward.push_back(cost.backward);
    optimizer.push_back(cost.optimizer);
  }
  return {median(forward), median(backward), median(optimizer)};
}

/// The cost of `a` over that of `b`, by turns of ten steps each, of which the least disturbed one counts.
double ratio(const Step& a, const Step& b, double seconds) {
  const auto turn = [](const Step& step) {
    std::vector<double> costs;
    for (int i = 0; i < 10; ++i) costs.push_back(step(thread_time).step());
    return *std::ranges::min_element(costs);
  };
  turn(a), turn(b);
  std::vector<double> ratios;
  for (const double end = wall_time() + seconds * 1e6; wall_time() < end || ratios.size() < 5;)
    ratios.push_back(turn(a) / turn(b));
  return median(ratios);
}

void print(const char* net, const char* devices, const Cost& cost, double of_bare) {
  std::printf("%-4s %-22s %8.1f %8.1f %9.1f %8.1f %8.3f\n", net, devices, cost.forward, cost.backward,
              cost.optimizer, cost.step(), of_bare);
  std::fflush(stdout);
}

template <class Net>
void table(const char* net, double seconds) {
  struct Row {
    const char* name;
    std::vector<int> gpus;
  };
  const Step on_cpu = bare<Net>(Device::cpu()), wrapped_on_cpu = wrapped<Net>({Device::cpu()});
  print(net, "bare model, CPU", measure(on_cpu, seconds), 1);
  print(net, "wrapped, CPU", measure(wrapped_on_cpu, seconds), ratio(wrapped_on_cpu, on_cpu, seconds));
  const Step alone = bare<Net>(Device::cuda(0));
  const Cost cost_alone = measure(alone, seconds);
  print(net, "bare model", cost_alone, 1);
  const Step one = wrapped<Net>({0});
  print(net, "one GPU", measure(one, seconds), ratio(one, alone, seconds));
  for (const Row& row :
       {Row{"2 GPUs", {0, 1}}, Row{"4 GPUs", {0, 1, 2, 3}}, Row{"8 GPUs", {0, 1, 2, 3, 4, 5, 6, 7}},
        Row{"2 replicas on one GPU", {0, 0}}, Row{"4 replicas on one GPU", {0, 0, 0, 0}},
        Row{"8 replicas on one GPU", {0, 0, 0, 0, 0, 0, 0, 0}}}) {
    const Cost cost = measure(wrapped<Net>(row.gpus), seconds);
    print(net, row.name, cost, cost.step() / cost_alone.step());
  }
  for (const Row& row : {Row{"captured, bare model", {}}, Row{"captured, 2 GPUs", {0, 1}},
                         Row{"captured, 8 GPUs", {0, 1, 2, 3, 4, 5, 6, 7}},
                         Row{"captured, 8 replicas", {0, 0, 0, 0, 0, 0, 0, 0}}}) {
    const Cost cost = measure(captured<Net>(row.gpus), seconds);
    print(net, row.name, cost, cost.step() / cost_alone.step());
  }
}

/// Above the noise of a busy machine; the table tells it more exactly.
constexpr double kMost = 1.03;

template <class Net>
bool costs_nothing(const char* net) {
  const double found = ratio(wrapped<Net>({0}), bare<Net>(Device::cuda(0)), 1);
  std::printf("%s: a wrapper on one GPU takes %.3f of the time of the bare model\n", net, found);
  return found < kMost;
}

}  // namespace

int main(int argc, char** argv) try {
  set_num_threads(1);
  if (argc > 1 && std::string_view(argv[1]) == "check")
    return costs_nothing<Mlp>("MLP") && costs_nothing<Cnn>("CNN") ? 0 : 1;
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  std::printf("%-4s %-22s %8s %8s %9s %8s %8s\n", "us", "", "forward", "backward", "optimizer", "step",
              "ratio");
  table<Mlp>("MLP", seconds);
  table<Cnn>("CNN", seconds);
} catch (const std::exception& error) {
  std::fprintf(stderr, "host_cost: %s\n", error.what());
  return 1;
}
