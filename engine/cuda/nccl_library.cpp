#include "engine/cuda/nccl_functions.h"

#ifdef MINIPARALLEL_HAS_NCCL

#include <dlfcn.h>

#include <type_traits>

namespace miniparallel::cuda {
namespace {

constexpr const char* kLibrary = "libnccl.so.2";

NcclFunctions load() {
  NcclFunctions functions;
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);  // stays open
  if (library == nullptr) {
    functions.unavailable = dlerror();
    return functions;
  }
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr && functions.unavailable.empty())
      functions.unavailable = std::string(kLibrary) + " has no " + name;
  };
  find(functions.get_error_string, "ncclGetErrorString");
  find(functions.comm_init_all, "ncclCommInitAll");
  find(functions.comm_abort, "ncclCommAbort");
  find(functions.group_start, "ncclGroupStart");
  find(functions.group_end, "ncclGroupEnd");
  find(functions.reduce, "ncclReduce");
  return functions;
}

}  // namespace

const NcclFunctions& nccl_functions() {
  static const auto* const functions = new NcclFunctions(load());  // usable while the process ends
  return *functions;
}

}  // namespace miniparallel::cuda

#endif
