#include "kernels/conv2d.h"

#include "kernels/by_dtype.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/device/probe.h"
#include "kernels/tf32.h"

#include <algorithm>
#include <vector>

namespace miniparallel::kernels::cuda {
namespace {

/// with_type with the 16-bit types.
template <class F>
void with_any_type(DType dtype, const F& f) {
  if (dtype == float16) return f.template operator()<Half>();
  if (dtype == bfloat16) return f.template operator()<BFloat16>();
  with_type(dtype, f);
}

/// Whether float32 is to be rounded to TF32: allowed, and there is code for it.
bool rounds_to_tf32(Stream stream) {
  return tf32_is_allowed.load(std::memory_order_relaxed) && code_architecture(stream.device) >= 80;
}

template <class T>
auto implicit_gemm_for(const ImplicitGemmArgs<T>& args, Stream stream) {
  const bool directly = args.first().filters <= kFewFilters;
  if constexpr (sizeof(T) == 8) {
    return directly ? implicit_gemm_directly<T> : implicit_gemm_by_tiles<T>;
  } else {
    if (directly) return args.first().out_pixel > 1 ? implicit_gemm_by_filters<T> : implicit_gemm_directly<T>;
    if constexpr (sizeof(T) == 4)
      if (!rounds_to_tf32(stream)) return implicit_gemm_by_tiles<T>;
    return takes_packs(args) ? implicit_gemm_by_packs<T> : implicit_gemm_on_tensor_cores<T>;
  }
}

template <class T>
auto weight_gradient_for(const WeightGradientArgs<T>& args, Stream stream) {
  const bool directly = args.gemm.filters <= kFewFilters || args.dweight == nullptr;
  if constexpr (sizeof(T) == 8) {
    return directly ? weight_gradient_directly<T> : weight_gradient_by_tiles<T>;
  } else {
    if (directly)
      return args.gemm.out_pixel > 1 && args.dweight != nullptr ? weight_gradient_by_filters<T>
                                                                : weight_gradient_directly<T>;
    if constexpr (sizeof(T) == 4)
      if (!rounds_to_tf32(stream)) return weight_gradient_by_tiles<T>;
    return takes_packs(args) ? weight_gradient_by_packs<T> : weight_gradient_on_tensor_cores<T>;
  }
}

template <class T>
void implicit_gemm_as(const std::vector<ImplicitGemm>& gemms, const void* source, const void* weight,
                      const void* bias, const Destination& out, Stream stream) {
  for (std::size_t first = 0; first < gemms.size(); first += kMaxGemms) {
    ImplicitGemmArgs<T> args{{},
                             static_cast<unsigned>(std::min<std::size_t>(gemms.size() - first, kMaxGemms)),
                             static_cast<const T*>(source),
                             static_cast<const T*>(weight),
                             static_cast<const T*>(bias),
                             static_cast<T*>(out.data),
                             out.beta != 0};
    std::copy_n(gemms.data() + first, args.count, args.gemms);
    if (args.first().positions() == 0 || args.first().filters == 0) continue;
    implicit_gemm_for(args, stream)(args, stream);
  }
}

void forward(DType dtype, const Conv2dGeometry& geometry, const void* x, const void* weight, const void* bias,
             void* y, Stream stream) {
  check_sizes(geometry);
  with_any_type(
      dtype, [&]<class T>() { implicit_gemm_as<T>({forward_gemm(geometry)}, x, weight, bias, {y}, stream); });
}

void data_gradient(DType dtype, const Conv2dGeometry& geometry, const void* g, const void* weight,
                   Destination dx, Stream stream) {
  check_sizes(geometry);
  std::vector<ImplicitGemm> gemms = data_gradient_gemms(geometry);
  if (dx.beta != 0) std::erase_if(gemms, [](const ImplicitGemm& gemm) { return gemm.depth() == 0; });
  with_any_type(dtype, [&]<class T>() { implicit_gemm_as<T>(gemms, g, weight, nullptr, dx, stream); });
}

template <class T>
void weight_gradient_as(const Conv2dGeometry& geometry, const void* g, const void* x,
                        const Destination& dweight, const Destination& dbias, Stream stream) {
  const ImplicitGemm whole = forward_gemm(geometry);
  if (whole.filters == 0) return;
  for_each_part(whole, whole.plane(), [&](const ImplicitGemm& part, std::int64_t first) {
    const WeightGradientArgs<T> args{part,
                                     static_cast<const T*>(g) + first * part.out_image,
                                     static_cast<const T*>(x) + first * part.source_image,
                                     static_cast<T*>(dweight.data),
                                     static_cast<T*>(dbias.data),
                                     dweight.beta != 0 || first > 0,
                                     dbias.beta != 0 || first > 0};
    weight_gradient_for(args, stream)(args, stream);
  });
}

void weight_gradient(DType dtype, const Conv2dGeometry& geometry, const void* g, const void* x,
                     Destination dweight, Destination dbias, Stream stream) {
  check_sizes(geometry);
  with_any_type(dtype, [&]<class T>() { weight_gradient_as<T>(geometry, g, x, dweight, dbias, stream); });
}

}  // namespace

const Conv2d& conv2d() {
  static constexpr Conv2d launchers{
      .forward = forward, .data_gradient = data_gradient, .weight_gradient = weight_gradient};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
