#include <miniparallel/parallel/chunks.h>

#include "engine/error.h"

#include <algorithm>
#include <cmath>
#include <numeric>

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

/// Each part ends at the row next to its share of the whole. The smallest shares are left out until each part
/// has `min_rows` rows.
std::vector<std::int64_t> proportional(std::int64_t rows, std::vector<double> shares, std::int64_t min_rows) {
  for (;;) {
    const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
    std::vector<std::int64_t> sizes;
    std::int64_t begin = 0;
    double sum = 0;
    for (const double share : shares) {
      sum += share;
      const std::int64_t end = std::llround(static_cast<double>(rows) * sum / total);
      sizes.push_back(end - begin);
      begin = end;
    }
    std::size_t smallest = shares.size(), used = 0;
    bool fits = true;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      if (shares[i] == 0) continue;
      ++used;
      fits = fits && sizes[i] >= min_rows;
      if (smallest == shares.size() || shares[i] <= shares[smallest]) smallest = i;
    }
    if (fits || used == 1) return sizes;
    shares[smallest] = 0;
  }
}

template <class T>
std::string to_text(const std::vector<T>& numbers) {
  std::string text;
  for (const T number : numbers) text += (text.empty() ? "" : ", ") + message(number);
  return "{" + text + "}";
}

void check_shares(const std::vector<double>& shares, int replicas) {
  check(shares.size() == static_cast<std::size_t>(replicas), "Split::shares: got ", shares.size(), " shares ",
        to_text(shares), " for ", replicas, " replicas; name one share per replica");
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  check(std::ranges::all_of(shares, [](double share) { return share >= 0; }) && total > 0 &&
            std::isfinite(total),
        "Split::shares: got ", to_text(shares),
        "; shares are finite and not negative, and one of them is positive");
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

std::string Split::to_string() const {
  switch (kind_) {
    case Kind::balanced:
      return "balanced";
    case Kind::torch_chunk:
      return "torch_chunk";
    case Kind::by_speed:
      return "by_speed";
    case Kind::shares:
      return "shares " + to_text(shares_);
    case Kind::sizes:
      break;
  }
  return "sizes " + to_text(rows_);
}

std::vector<std::int64_t> chunk_sizes(std::int64_t rows, int replicas, const Split& split,
                                      std::int64_t min_rows) {
  if (split.kind_ == Split::Kind::sizes) {
    check_sizes(split.rows_, rows, replicas);
    return rows == 0 ? std::vector<std::int64_t>{0} : split.rows_;
  }
  if (split.kind_ == Split::Kind::shares) {
    check_shares(split.shares_, replicas);
    return rows == 0 ? std::vector<std::int64_t>{0} : proportional(rows, split.shares_, min_rows);
  }
  const auto divide = split.kind_ == Split::Kind::torch_chunk ? torch_chunks : balanced;
  for (std::int64_t parts = std::min<std::int64_t>(replicas, rows); parts > 1; --parts)
    if (std::vector<std::int64_t> sizes = divide(rows, parts); sizes.back() >= min_rows) return sizes;
  return {rows};
}

}  // namespace miniparallel
