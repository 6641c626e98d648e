#pragma once

#include <miniparallel/model/members.h>
#include <miniparallel/model/plain.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/ops.h>

namespace miniparallel {
namespace nn {

struct Conv2dOptions {
  Size2 stride = 1;
  Padding2 padding = 0;  ///< numbers, "valid" or, at stride 1, "same"
  Size2 dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};
struct Conv1dOptions {
  std::int64_t stride = 1;
  Padding1 padding = 0;  ///< as in `Conv2dOptions`
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};
struct Conv3dOptions {
  Size3 stride = 1;
  Padding3 padding = 0;  ///< as in `Conv2dOptions`
  Size3 dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};
struct ConvTranspose1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t groups = 1;
  bool bias = true;
  std::int64_t dilation = 1;
};
struct ConvTranspose2dOptions {
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 output_padding = 0;
  std::int64_t groups = 1;
  bool bias = true;
  Size2 dilation = 1;
};
struct ConvTranspose3dOptions {
  Size3 stride = 1;
  Size3 padding = 0;
  Size3 output_padding = 0;
  std::int64_t groups = 1;
  bool bias = true;
  Size3 dilation = 1;
};

}  // namespace nn

template <>
inline constexpr bool is_plain<nn::Conv2dOptions> = true;
template <>
inline constexpr bool is_plain<nn::Conv1dOptions> = true;
template <>
inline constexpr bool is_plain<nn::Conv3dOptions> = true;
template <>
inline constexpr bool is_plain<nn::ConvTranspose1dOptions> = true;
template <>
inline constexpr bool is_plain<nn::ConvTranspose2dOptions> = true;
template <>
inline constexpr bool is_plain<nn::ConvTranspose3dOptions> = true;

namespace nn {

/// x (n, in, h, w) -> (n, out, h', w'), h' = (h + 2 padding - dilation (kernel - 1) - 1) / stride + 1. Weight
/// and bias start uniform within 1 / sqrt(in / groups * kernel area).
struct Conv2d {
  Conv2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel,
         const Conv2dOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (out, in / groups, kernel height, kernel width)
  Parameter bias;    ///< (out), or undefined
  Conv2dOptions options;
  MINIPARALLEL_MEMBERS(weight, bias, options)
};

/// x (n, in, l) -> (n, out, l'): likewise.
struct Conv1d {
  Conv1d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel,
         const Conv1dOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (out, in / groups, kernel)
  Parameter bias;    ///< (out), or undefined
  Conv1dOptions options;
  MINIPARALLEL_MEMBERS(weight, bias, options)
};

/// x (n, in, d, h, w) -> (n, out, d', h', w'): likewise.
struct Conv3d {
  Conv3d(std::int64_t in_channels, std::int64_t out_channels, Size3 kernel,
         const Conv3dOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (out, in / groups, kernel depth, height, width)
  Parameter bias;    ///< (out), or undefined
  Conv3dOptions options;
  MINIPARALLEL_MEMBERS(weight, bias, options)
};

/// x (n, in, l) -> (n, out, l'): see `ConvTranspose2d`.
struct ConvTranspose1d {
  ConvTranspose1d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel,
                  const ConvTranspose1dOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (in, out / groups, kernel)
  Parameter bias;    ///< (out), or undefined
  ConvTranspose1dOptions options;
  MINIPARALLEL_MEMBERS(weight, bias, options)
};

/// x (n, in, h, w) -> (n, out, h', w'), h' = (h - 1) stride - 2 padding + dilation (kernel - 1) +
/// output_padding + 1: see `conv_transpose2d`. Weight and bias start uniform within 1 / sqrt(out / groups *
/// kernel area).
struct ConvTranspose2d {
  ConvTranspose2d(std::int64_t in_channels, std::int64_t out_channels, Size2 kernel,
                  const ConvTranspose2dOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (in, out / groups, kernel height, kernel width)
  Parameter bias;    ///< (out), or undefined
  ConvTranspose2dOptions options;
  MINIPARALLEL_MEMBERS(weight, bias, options)
};

/// x (n, in, d, h, w) -> (n, out, d', h', w'): likewise.
struct ConvTranspose3d {
  ConvTranspose3d(std::int64_t in_channels, std::int64_t out_channels, Size3 kernel,
                  const ConvTranspose3dOptions& options = {});
  Tensor operator()(const Tensor& x) const;

  Parameter weight;  ///< (in, out / groups, kernel depth, height, width)
  Parameter bias;    ///< (out), or undefined
  ConvTranspose3dOptions options;
  MINIPARALLEL_MEMBERS(weight, bias, options)
};

}  // namespace nn
}  // namespace miniparallel
