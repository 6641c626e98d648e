#pragma once

namespace miniparallel::kernels::cpu {

/// For which instruction set the kernels that run were compiled, in Highway's words: "AVX3" is AVX-512.
const char* instruction_set();

}  // namespace miniparallel::kernels::cpu
