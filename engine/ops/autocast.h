#pragma once

#include <miniparallel/autocast.h>

#include "engine/ops/half.h"
#include "engine/threads/autocast_mode.h"

#include <optional>
#include <string_view>
#include <vector>

/// Which ops change the dtype of their arguments within an `Autocast` guard. Such an op begins with one line:
///
///   Tensor softmax(const Tensor& x, int dim) {
///     MP_AUTOCAST(softmax, x, dim);

namespace miniparallel {

enum class Cast {
  lower,   ///< float32 to the guard's dtype
  full,    ///< 16-bit types to float32
  widest,  ///< all to the widest of the arguments' dtypes
};

struct CastRule {
  std::string_view op;
  Cast cast;
};

/// PyTorch's lists for CUDA, of the ops that there are, and the rule of layer_norm for add_layer_norm. Ops
/// that promote the dtypes of their arguments anyway, such as cat, need no rule.
inline constexpr CastRule kCastRules[] = {
    {"addbmm", Cast::lower},
    {"addmm", Cast::lower},
    {"addmv", Cast::lower},
    {"addr", Cast::lower},
    {"baddbmm", Cast::lower},
    {"conv1d", Cast::lower},
    {"conv2d", Cast::lower},
    {"conv3d", Cast::lower},
    {"conv_transpose1d", Cast::lower},
    {"conv_transpose2d", Cast::lower},
    {"conv_transpose3d", Cast::lower},
    {"einsum", Cast::lower},
    {"linear", Cast::lower},
    {"matmul", Cast::lower},  // and with it mm, mv and bmm
    {"multi_dot", Cast::lower},
    {"prelu", Cast::lower},
    {"scaled_dot_product_attention", Cast::lower},

    {"acos", Cast::full},
    {"add_layer_norm", Cast::full},
    {"asin", Cast::full},
    {"bce_with_logits", Cast::full},
    {"binary_cross_entropy_with_logits", Cast::full},
    {"cdist", Cast::full},
    {"cosh", Cast::full},
    {"cosine_embedding_loss", Cast::full},
    {"cosine_similarity", Cast::full},
    {"cross_entropy", Cast::full},
    {"cumprod", Cast::full},
    {"cumsum", Cast::full},
    {"dist", Cast::full},
    {"erfinv", Cast::full},
    {"exp", Cast::full},
    {"expm1", Cast::full},
    {"group_norm", Cast::full},
    {"hinge_embedding_loss", Cast::full},
    {"huber_loss", Cast::full},
    {"interpolate", Cast::full},
    {"kl_div", Cast::full},
    {"l1_loss", Cast::full},
    {"layer_norm", Cast::full},
    {"log", Cast::full},
    {"log10", Cast::full},
    {"log1p", Cast::full},
    {"log2", Cast::full},
    {"log_softmax", Cast::full},
    {"logsumexp", Cast::full},
    {"margin_ranking_loss", Cast::full},
    {"mse_loss", Cast::full},
    {"multi_margin_loss", Cast::full},
    {"nll_loss", Cast::full},
    {"norm", Cast::full},
    {"normalize", Cast::full},
    {"pdist", Cast::full},
    {"poisson_nll_loss", Cast::full},
    {"pow", Cast::full},
    {"prod", Cast::full},
    {"reciprocal", Cast::full},
    {"rsqrt", Cast::full},
    {"sinh", Cast::full},
    {"smooth_l1_loss", Cast::full},
    {"soft_margin_loss", Cast::full},
    {"softmax", Cast::full},
    {"softmin", Cast::full},
    {"softplus", Cast::full},
    {"sum", Cast::full},
    {"tan", Cast::full},
    {"triplet_margin_loss", Cast::full},

    {"addcdiv", Cast::widest},
    {"addcmul", Cast::widest},
    {"atan2", Cast::widest},
    {"bilinear", Cast::widest},
    {"cross", Cast::widest},
    {"dot", Cast::widest},
    {"grid_sample", Cast::widest},
    {"scatter_add", Cast::widest},
    {"tensordot", Cast::widest},
};

constexpr std::optional<Cast> cast_rule(std::string_view op) {
  for (const CastRule& rule : kCastRules)
    if (rule.op == op) return rule.cast;
  return std::nullopt;
}

/// The tensor in the dtype: floating ones of 32 bits and less. A leaf that requires grad is converted to a
/// 16-bit type once.
Tensor autocast_to(DType dtype, const AutocastMode& mode, const Tensor& x);

/// The rule's; any for an op without one.
constexpr Cast cast_of(std::string_view op) { return cast_rule(op).value_or(Cast::full); }

namespace detail {

inline Tensor cast_to(DType dtype, const AutocastMode& mode, const Tensor& x) {
  return autocast_to(dtype, mode, x);
}
inline std::vector<Tensor> cast_to(DType dtype, const AutocastMode& mode,
                                   const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  result.reserve(tensors.size());
  for (const Tensor& x : tensors) result.push_back(autocast_to(dtype, mode, x));
  return result;
}
template <class T>
const T& cast_to(DType, const AutocastMode&, const T& other) {
  return other;
}

/// Of two dtypes the wider one, where both are floating; below all others, at the beginning, bool.
inline void widen_to(DType& widest, const Tensor& x) {
  if (x.defined() && x.is_floating()) widest = promote(widest, x.dtype());
}
template <class T>
void widen_to(DType&, const T&) {}

}  // namespace detail

/// The op with its arguments as the rule wants them, and without a mode.
template <Cast cast, class Op, class... Arguments>
auto autocast(const Op& op, const Arguments&... arguments) {
  const std::shared_ptr<const AutocastMode> mode = autocast_mode();  // NOLINT: the scope below replaces it
  DType dtype = cast == Cast::lower ? mode->dtype : float32;
  if constexpr (cast == Cast::widest) {
    dtype = boolean;
    (detail::widen_to(dtype, arguments), ...);
  }
  const AutocastModeScope plain(nullptr);
  return op(detail::cast_to(dtype, *mode, arguments)...);
}

#define MP_AUTOCAST(name, ...)                                                  \
  static_assert(cast_rule(#name).has_value(), "the op has no row in the list"); \
  if (in_autocast) [[unlikely]]                                                 \
  return autocast<cast_of(#name)>(MP_OP(name), __VA_ARGS__)

}  // namespace miniparallel
