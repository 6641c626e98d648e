// Saves checkpoint after checkpoint until it is killed: save_repeatedly FILE. In checkpoint n the number is n
// and so is every element of the model, which makes a file of two halves stand out.

#include <miniparallel/miniparallel.h>

#include <filesystem>

using namespace miniparallel;

int main(int, char** argv) {
  const std::string file = argv[1];
  nn::Linear model(1000, 500);
  std::int64_t number = 0;
  const Checkpoint checkpoint{{"model", model}, {"number", number}};
  if (std::filesystem::exists(file)) load_checkpoint(file, checkpoint);
  const NoGradGuard guard;
  for (;;) {
    ++number;
    for (Tensor parameter : parameters(model)) parameter.fill_(static_cast<double>(number));
    save_checkpoint(file, checkpoint);
  }
}
