#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>

namespace miniparallel::data {

/// Throws unless `image` is a CPU tensor [channels, rows, columns]; `name` is the transform.
void check_image(const char* name, const Tensor& image);

/// A part of an image; what is outside of it is zero.
Tensor crop(const Tensor& image, std::int64_t top, std::int64_t left, std::int64_t height,
            std::int64_t width);

}  // namespace miniparallel::data
