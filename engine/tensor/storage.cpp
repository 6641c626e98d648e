#include "engine/tensor/storage.h"

#include <miniparallel/log.h>

#include "engine/device/accelerator.h"
#include "engine/memory/caching_allocator.h"
#include "engine/tensor/pending.h"

#include <utility>

namespace miniparallel {

Storage::Storage(std::size_t bytes, Device device) : Storage(allocate(bytes, device), bytes, device) {}

Storage::Storage(const Allocation& block, std::size_t bytes, Device device)
    : allocator_(block.allocator),
      stream_(block.stream),
      data_(static_cast<std::byte*>(block.data)),
      bytes_(bytes),
      device_(device) {}

Storage::Storage(void* foreign, std::size_t bytes, Device device)
    : Storage({&miniparallel::allocator(device), foreign, miniparallel::stream(device)}, bytes, device) {
  is_foreign_ = true;
}

Storage::~Storage() {
  if (is_foreign_) {
    release_foreign();
  } else {
    allocator_->deallocate(data_, bytes_, stream_, users_);
  }
}

void Storage::release_foreign() noexcept {
  if (!released_) return;
  if (device_.is_cuda()) {
    users_.push_back(stream_);
    for (const kernels::Stream user : users_) {
      try {
        accelerator(device_).synchronize_stream(user);
      } catch (const std::exception& error) {  // the next call that can reports a device that fails
        log(LogLevel::warning,
            std::string("from_blob: memory was released while a GPU failed: ") + error.what());
      }
    }
  }
  released_(data_);
}

void Storage::record_use(kernels::Stream stream) {
  if (stream != stream_) allocator_->add_user(users_, stream);
}

Allocation Storage::exchange_block(const Allocation& other) {
  return {std::exchange(allocator_, other.allocator),
          std::exchange(data_, static_cast<std::byte*>(other.data)), std::exchange(stream_, other.stream)};
}

void Storage::set_pending(std::unique_ptr<Pending> pending) { pending_ = std::move(pending); }

bool Storage::is_pinned() const { return device_.is_cpu() && allocator_ != &host_allocator(); }

void Storage::wait_for_copies() {
  if (!is_pinned()) return;
  for (const kernels::Stream user : allocator_->take_users(users_))
    accelerator(Device::cuda(user.device)).synchronize_stream(user);
}

}  // namespace miniparallel
