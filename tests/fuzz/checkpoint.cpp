#include <miniparallel/miniparallel.h>

#include "engine/io/safetensors_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

using namespace miniparallel;

namespace {

/// A run with every kind of part, all of them small.
struct Run {
  nn::Linear model{2, 2};
  optim::SGD optimizer{parameters(model), {.lr = 0.1, .momentum = 0.9}};
  optim::StepLR scheduler{optimizer, {.step_size = 2}};
  data::DataLoader<data::TensorDataset<1>> batches{data::TensorDataset(ones({5, 2})),
                                                   {.batch_size = 2, .shuffle = true, .seed = 1}};
  std::int32_t epoch = 0;
  double best = 0;
  bool flag = false;
  std::string text;
  std::vector<double> losses;
  std::vector<std::int64_t> counts;
  Checkpoint checkpoint{{"model", model},     {"optimizer", optimizer}, {"scheduler", scheduler},
                        {"batches", batches}, {"epoch", epoch},         {"best", best},
                        {"flag", flag},       {"text", text},           {"losses", losses},
                        {"counts", counts}};

  /// Goes on as a program would: nothing that was loaded may lead astray.
  void train() {
    for (auto& [x] : batches) {
      model(x).sum().backward();
      optimizer.step();
      optimizer.zero_grad();
      scheduler.step();
    }
  }

  /// Every bit of every part.
  std::string bits() const {
    std::string all;
    for (const CheckpointPart& part : checkpoint.parts()) {
      for (const auto& [name, tensor] : part.state_dict()) {
        const Tensor values = tensor.detach().contiguous();
        const auto bytes = io::bytes_of(values);
        all += part.name() + '.' + name + ' ' + std::to_string(bytes.size()) + ' ';
        all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
    }
    const RandomState random = random_state();
    return all + std::to_string(random.seed) + ' ' + std::to_string(random.ordinal);
  }
};

/// A file in memory that holds these bytes.
class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* data, std::size_t size) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || ::write(descriptor_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

}  // namespace

/// Whatever the file holds: it is loaded whole, and training
/// goes on, or it is refused and nothing has changed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  manual_seed(1);
  Run run;
  const std::string before = run.bits();
  bool loaded = false;
  for (const bool strict : {true, false}) {
    try {
      load_checkpoint(file.path(), run.checkpoint, {.strict = strict});
      loaded = true;
      break;
    } catch (const Error&) {
      if (run.bits() != before) std::abort();
    }
  }
  if (loaded) run.train();
  return 0;
}
