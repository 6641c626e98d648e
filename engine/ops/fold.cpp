#include "engine/ops/common.h"
#include "engine/ops/half.h"
#include "engine/ops/indexing.h"

// The windows of a convolution as columns, and back: rows of an index and their sums.

namespace miniparallel {
namespace {

/// How often a kernel of one dimension fits, and where its elements lie in the padded input.
struct Windows {
  std::int64_t count;
  Tensor places;  ///< int64, (kernel, count)

  Windows(const char* op, std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
          std::int64_t dilation, Device device) {
    check(kernel > 0 && stride > 0 && dilation > 0 && padding >= 0, op, ": got kernel ", kernel, ", stride ",
          stride, ", dilation ", dilation, " and padding ", padding,
          "; the padding must be at least 0, the others 1");
    std::int64_t reach = 0, room = 0;
    const bool overflow =
        __builtin_mul_overflow(kernel - 1, dilation, &reach) || __builtin_mul_overflow(padding, 2, &room) ||
        __builtin_add_overflow(room, size - 1, &room) || __builtin_sub_overflow(room, reach, &room);
    check(!overflow && room >= 0, op, ": a kernel of ", kernel, " with dilation ", dilation,
          " does not fit a size of ", size, " with padding ", padding, "; use a larger input or padding");
    count = room / stride + 1;
    const TensorOptions counting{.dtype = int64, .device = device};
    places = (arange(kernel, counting) * dilation).unsqueeze(1) + arange(count, counting) * stride;
  }
};

/// The place of each element of the columns in a padded plane: (kh kw, windows) as one index.
struct Columns {
  Shape padded;       ///< height and width
  std::int64_t size;  ///< elements of a window
  Tensor index;       ///< int64

  Columns(const char* op, Size2 image, Size2 kernel, const UnfoldOptions& o, Device device) {
    const Windows down(op, image.height, kernel.height, o.stride.height, o.padding.height, o.dilation.height,
                       device);
    const Windows across(op, image.width, kernel.width, o.stride.width, o.padding.width, o.dilation.width,
                         device);
    padded = {image.height + 2 * o.padding.height, image.width + 2 * o.padding.width};
    size = kernel.height * kernel.width;
    const Tensor rows = down.places.unsqueeze(1).unsqueeze(-1) * padded[1];
    const Tensor all = rows + across.places.unsqueeze(1).unsqueeze(0);
    index = all.reshape({size, down.count * across.count});
  }
};

std::vector<std::int64_t> margins(Size2 padding) {
  return {padding.width, padding.width, padding.height, padding.height};
}

}  // namespace

Tensor unfold(const Tensor& x, Size2 kernel, const UnfoldOptions& o) try {
  check_floating("unfold", x);
  check(x.dim() == 4, "unfold: input has shape ", x.shape(), "; it must be (n, channels, height, width)",
        x.dim() == 3 ? ", for one image unsqueeze(0)" : "");
  const Columns columns("unfold", {x.size(2), x.size(3)}, kernel, o, x.device());
  const std::int64_t n = x.size(0), channels = x.size(1), windows = columns.index.size(1);
  const Tensor planes = pad(x, margins(o.padding)).flatten(2);
  return index_select(planes, 2, columns.index.flatten()).reshape({n, channels * columns.size, windows});
} catch (const Error& error) {
  rethrow_as("unfold", error);
}

Tensor fold(const Tensor& x, Size2 output, Size2 kernel, const UnfoldOptions& o) try {
  check_floating("fold", x);
  if (is_half(x)) return in_float32(MP_OP(fold), x, output, kernel, o);
  check(x.dim() == 3, "fold: input has shape ", x.shape(), "; it must be (n, channels kh kw, windows)");
  check(output.height > 0 && output.width > 0, "fold: got output ", output.height, " x ", output.width,
        "; it must be at least 1");
  const Columns columns("fold", output, kernel, o, x.device());
  check(x.size(1) % columns.size == 0 && x.size(2) == columns.index.size(1), "fold: input of shape ",
        x.shape(), " does not fit; a kernel of ", kernel.height, " x ", kernel.width, " needs ", columns.size,
        " times the channels, and ", columns.index.size(1), " windows");
  const std::int64_t n = x.size(0), channels = x.size(1) / columns.size;
  const Tensor picked = x.reshape({n, channels, columns.index.numel()});
  const Shape whole{n, channels, columns.padded.numel()};
  const Tensor planes = scatter_rows({"fold", 2, -1}, picked, columns.index.flatten().contiguous(), whole);
  return planes.view({n, channels, columns.padded[0], columns.padded[1]})
      .narrow(2, o.padding.height, output.height)
      .narrow(3, o.padding.width, output.width)
      .contiguous();
} catch (const Error& error) {
  rethrow_as("fold", error);
}

}  // namespace miniparallel
