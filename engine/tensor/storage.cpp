#include "engine/tensor/storage.h"

#include "engine/device/accelerator.h"
#include "engine/memory/caching_allocator.h"

namespace miniparallel {

Storage::Storage(std::size_t bytes, Device device)
    : allocator_(allocator(device)),
      stream_(miniparallel::stream(device)),
      data_(static_cast<std::byte*>(allocator_.allocate(bytes, stream_))),
      bytes_(bytes),
      device_(device) {}

Storage::~Storage() { allocator_.deallocate(data_, bytes_, stream_, users_); }

void Storage::record_use(kernels::Stream stream) {
  if (stream != stream_) allocator_.add_user(users_, stream);
}

}  // namespace miniparallel
