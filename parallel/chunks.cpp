#include <miniparallel/parallel/chunks.h>

#include "engine/error.h"

#include <algorithm>
#include <numeric>
#include <sstream>

namespace miniparallel {
namespace {

std::vector<std::int64_t> balanced(std::int64_t rows, std::int64_t parts) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(parts), rows / parts);
  for (std::int64_t i = 0; i < rows % parts; ++i) ++sizes[static_cast<std::size_t>(i)];
  return sizes;
}

std::vector<std::int64_t> torch_chunks(std::int64_t rows, std::int64_t parts) {
  const std::int64_t size = (rows + parts - 1) / parts;
  std::vector<std::int64_t> sizes;
  for (std::int64_t left = rows; left > 0; left -= size) sizes.push_back(std::min(size, left));
  return sizes;
}

std::string to_text(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "{" + text + "}";
}

void check_sizes(const std::vector<std::int64_t>& sizes, std::int64_t rows, int replicas) {
  check(sizes.size() <= static_cast<std::size_t>(replicas), "Split::sizes: got ", sizes.size(), " sizes ",
        to_text(sizes), " for ", replicas, " replicas; name one size per replica");
  check(std::ranges::all_of(sizes, [](std::int64_t size) { return size >= 0; }), "Split::sizes: got ",
        to_text(sizes), "; sizes cannot be negative");
  const std::int64_t sum = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  check(sum == rows, "Split::sizes: got ", to_text(sizes), ", which make ", sum, " rows, for a batch of ",
        rows, "; the sizes must add up to the batch");
}

}  // namespace

std::vector<std::int64_t> chunk_sizes(std::int64_t rows, int replicas, const Split& split,
                                      std::int64_t min_rows) {
  if (split.kind_ == Split::Kind::sizes) {
    check_sizes(split.rows_, rows, replicas);
    return rows == 0 ? std::vector<std::int64_t>{0} : split.rows_;
  }
  const auto divide = split.kind_ == Split::Kind::balanced ? balanced : torch_chunks;
  for (std::int64_t parts = std::min<std::int64_t>(replicas, rows); parts > 1; --parts)
    if (std::vector<std::int64_t> sizes = divide(rows, parts); sizes.back() >= min_rows) return sizes;
  return {rows};
}

}  // namespace miniparallel
