#include <miniparallel/simulator_nccl.h>

#include "engine/cuda/nccl_functions.h"

// In the place of engine/cuda/nccl_library.cpp.

namespace miniparallel::cuda {

const NcclFunctions& nccl_functions() {
  static const NcclFunctions functions = [] {
    const simulator::NcclTable& table = simulator::nccl_functions();
    return NcclFunctions{.get_error_string = table.GetErrorString,
                         .comm_init_all = table.CommInitAll,
                         .comm_abort = table.CommAbort,
                         .group_start = table.GroupStart,
                         .group_end = table.GroupEnd,
                         .reduce = table.Reduce,
                         .unavailable = {}};
  }();
  return functions;
}

}  // namespace miniparallel::cuda
