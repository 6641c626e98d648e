#pragma once

#include <cstdint>

namespace miniparallel::autograd {

/// How many backward passes have ended, of all threads: each drops what the nodes that it has run need.
std::uint64_t finished_walks();

}  // namespace miniparallel::autograd
