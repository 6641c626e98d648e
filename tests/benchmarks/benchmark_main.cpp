#include "kernels/cpu/instruction_set.h"
#include "tests/benchmarks/benchmark.h"
#include "tests/benchmarks/device_option.h"

#include <iostream>
#include <string>

extern "C" char* openblas_get_corename();

namespace {

/// What computes on the CPU: the kernels' instruction set, and the kernels that the BLAS has taken.
std::string kernels_in_use() {
  return std::string(miniparallel::kernels::cpu::instruction_set()) + ", OpenBLAS " + openblas_get_corename();
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace miniparallel;
  CLI::App app("Times the ops of one family");
  app.footer("--benchmark_filter=REGEX and the other options of Google Benchmark are taken too.");
  app.allow_extras();
  benchmarks::add_device_option(app, benchmarks::here.device);
  CLI11_PARSE(app, argc, argv);

  std::vector<std::string> others = app.remaining();
  std::vector<char*> arguments{argv[0]};
  for (std::string& argument : others) arguments.push_back(argument.data());
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  benchmark::AddCustomContext("kernels", kernels_in_use());
  benchmark::AddCustomContext("device", to_string(benchmarks::here.device));
  synchronize(benchmarks::here.device);  // says why there is no GPU before anything is measured
  benchmark::RunSpecifiedBenchmarks();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
