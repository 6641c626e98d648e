// What has certainly happened before what: within a block, between blocks, between operations.

#include "core/block.h"
#include "core/checker.h"

#include <algorithm>

namespace miniparallel::simulator {

Checker::WarpClock& Checker::warp_clock(unsigned warp) {
  WarpClock& clock = warps_[warp];
  if (clock.segment != segment_) {
    clock.segment = segment_;
    for (auto& row : clock.seen) row.fill(0);
  }
  return clock;
}

void Checker::pass_warp_sync(unsigned warp, unsigned lanes) {
  WarpClock& clock = warp_clock(warp);
  std::array<std::uint16_t, 32> joined{};
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((lanes >> lane & 1) == 0) continue;
    ++clock.seen[lane][lane];
    for (unsigned j = 0; j < 32; ++j) joined[j] = std::max(joined[j], clock.seen[lane][j]);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((lanes >> lane & 1) != 0) clock.seen[lane] = joined;
  }
}

void Checker::fence() {
  const unsigned thread = Block::current()->thread();
  WarpClock& clock = warp_clock(thread / 32);
  ++clock.seen[thread % 32][thread % 32];
  fenced_[thread] = {segment_, clock.seen[thread % 32][thread % 32]};
}

/// An atomic hands on what its thread had fenced off, and
/// takes over what others handed on at the same address.
void Checker::synchronize_through(std::uintptr_t address) {
  if (fenced_[thread_].first == segment_) {
    ReleaseLog& log = releases_[address];
    const unsigned warp = thread_ / 32;
    log.by_block[block_number_].push_back(
        {log.length++, segment_, warp, warp_clock(warp).seen[thread_ % 32]});
  }
  if (releases_.empty()) return;
  if (const auto log = releases_.find(address); log != releases_.end())
    acquired_[address] = log->second.length;
}

std::uint32_t Checker::block_of(Record record) const {
  const auto after =
      std::upper_bound(blocks_.begin(), blocks_.end(), record.segment(),
                       [](std::uint32_t segment, const auto& block) { return segment < block.first; });
  return std::prev(after)->second;
}

bool Checker::ordered_by_release(Record record) {
  const std::uint32_t block = block_of(record);
  for (const auto& [address, length] : acquired_) {
    const ReleaseLog& log = releases_[address];
    const auto found = log.by_block.find(block);
    if (found == log.by_block.end()) continue;
    for (const Release& release : found->second) {
      if (release.position >= length) break;
      if (record.segment() < release.segment) return true;
      if (record.segment() == release.segment && record.thread() / 32 == release.warp &&
          release.seen[record.thread() % 32] > record.clock()) {
        return true;
      }
    }
  }
  return false;
}

const Checker::PastOperation& Checker::operation_of(Record record) {
  const auto holds = [&](std::size_t i) {
    return past_[i].first_segment <= record.segment() &&
           (i + 1 == past_.size() || record.segment() < past_[i + 1].first_segment);
  };
  if (last_past_ < past_.size() && holds(last_past_)) return past_[last_past_];
  const auto after =
      std::upper_bound(past_.begin(), past_.end(), record.segment(),
                       [](std::uint32_t segment, const auto& past) { return segment < past.first_segment; });
  last_past_ = static_cast<std::size_t>(std::prev(after) - past_.begin());
  return past_[last_past_];
}

/// Whether the recorded access has certainly happened before the one that is being made.
bool Checker::ordered(Record record) {
  const std::uint32_t segment = record.segment();
  if (segment >= block_segment_) {
    if (record.thread() == thread_ || segment != segment_) return true;
    if (record.thread() / 32 != thread_ / 32) return false;
    const WarpClock& clock = warps_[thread_ / 32];
    return clock.segment == segment_ && clock.seen[thread_ % 32][record.thread() % 32] > record.clock();
  }
  if (in_shared_) return true;  // of an earlier block, whose shared memory this was
  if (segment >= operation_segment_) return ordered_by_release(record);
  const PastOperation& past = operation_of(record);
  return operation_->clock.at(past.stream) >= past.sequence;
}

/// Compares an access with a word's history and adds it; false if it races with `offender`.
bool Checker::note(Cell& cell, Kind kind, unsigned mask, Record& offender) {
  const WarpClock& clock = warps_[thread_ / 32];
  const Record now(segment_, thread_, clock.segment == segment_ ? clock.seen[thread_ % 32][thread_ % 32] : 0u,
                   mask, kind);
  Record* room = nullptr;
  Record* weakest = &cell.records[0];
  int same_reads = 0;
  for (Record& record : cell.records) {
    if (record == now) return true;
    if (record.empty()) {
      room = &record;
      continue;
    }
    const bool conflicts = (record.mask() & mask) != 0 && record.kind() != kind
                               ? true
                               : (record.mask() & mask) != 0 && kind == Kind::write;
    const bool is_ordered = ordered(record);
    if (conflicts && !is_ordered) {
      offender = record;
      return false;
    }
    // What a stronger or equal later access of the same bytes follows can be forgotten: any conflict shows
    // with that one.
    if (is_ordered && (record.mask() & ~mask) == 0 && record.kind() <= kind) {
      record = Record();
      room = &record;
      continue;
    }
    if (record.kind() == kind && record.segment() == segment_ && record.mask() == mask) ++same_reads;
    if (record.kind() < weakest->kind() || (is_ordered && record.kind() == weakest->kind()))
      weakest = &record;
  }
  // Two threads that did the same in this stretch stand for
  // all: whoever conflicts later conflicts with one of them.
  if (same_reads >= 2 && kind != Kind::write) return true;
  *(room != nullptr ? room : weakest) = now;
  return true;
}

}  // namespace miniparallel::simulator
