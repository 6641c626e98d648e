#include "kernels/cpu/blas_processor.h"

#include "kernels/cpu/instruction_set.h"

#include <cblas.h>
#include <hwy/targets.h>

#include <cstdlib>
#include <string_view>

// OpenBLAS takes its kernels when it is loaded. These have it choose again; builds of it for a single
// processor have neither.
extern "C" {
__attribute__((weak)) void gotoblas_dynamic_quit();
__attribute__((weak)) void gotoblas_dynamic_init();
}

namespace miniparallel::kernels::cpu {

bool tell_blas_of_processor() {
#if HWY_ARCH_X86
  constexpr const char* kVariable = "OPENBLAS_CORETYPE";
  if (gotoblas_dynamic_quit == nullptr || gotoblas_dynamic_init == nullptr) return false;
  if (std::getenv(kVariable) != nullptr || openblas_get_corename() != std::string_view("Prescott"))
    return false;
  const std::int64_t targets = hwy::SupportedTargets();
  const char* const processor = (targets & HWY_AVX3) != 0   ? "SkylakeX"
                                : (targets & HWY_AVX2) != 0 ? "Haswell"
                                                            : nullptr;
  if (processor == nullptr) return false;
  setenv(kVariable, processor, 0);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  unsetenv(kVariable);
  return true;
#else
  return false;
#endif
}

bool blas_lags() {
#if HWY_ARCH_X86
  const std::string_view own = instruction_set(), core = openblas_get_corename();
  const auto is_any_of = [&](auto... names) { return ((core == names) || ...); };
  const bool has_avx512 = is_any_of("SkylakeX", "Cooperlake", "SapphireRapids");
  const bool has_avx2 = has_avx512 || is_any_of("Haswell", "Zen", "Excavator");
  return own == "AVX3" ? !has_avx512 : own == "AVX2" && !has_avx2;
#else
  return false;
#endif
}

}  // namespace miniparallel::kernels::cpu
