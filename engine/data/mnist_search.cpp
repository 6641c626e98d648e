#include <miniparallel/data/mnist.h>
#include <miniparallel/log.h>

#include "engine/error.h"

#include <cstdlib>

namespace miniparallel::data {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string mnist_cache_dir() {
  std::string cache = environment("XDG_CACHE_HOME");
  if (cache.empty()) cache = environment("HOME") + "/.cache";
  return cache + "/miniparallel/mnist";
}

std::string fashion_mnist_dir() { return "/usr/share/datasets/fashion-mnist"; }

std::vector<std::string> mnist_search_path() {
  std::vector<std::string> folders = {"data/mnist", "data/MNIST/raw", mnist_cache_dir(),
                                      "/usr/share/datasets/mnist"};
  const std::string chosen = environment("MNIST_DIR");
  if (!chosen.empty()) folders.insert(folders.begin(), chosen);
  return folders;
}

std::string default_mnist_dir() {
  std::string looked_at;
  for (const std::string& folder : mnist_search_path()) {
    if (is_mnist_dir(folder)) return folder;
    looked_at += "\n  " + folder;
  }
  std::string fashion = fashion_mnist_dir();
  if (is_mnist_dir(fashion)) {
    log(LogLevel::warning, "default_mnist_dir: MNIST was not found, this is Fashion-MNIST in " + fashion +
                               " (clothes, harder than digits); for MNIST set MNIST_DIR");
    return fashion;
  }
  fail("default_mnist_dir: no MNIST files found; looked into", looked_at, "\n  ", fashion,
       "\nset MNIST_DIR, or install Debian's package dataset-fashion-mnist");
}

}  // namespace miniparallel::data
