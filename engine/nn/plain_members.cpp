#include <miniparallel/model/plain_members.h>

#include "engine/error.h"

namespace miniparallel::reflect {

void fail_to_assign(const Path& path, const std::string& why) {
  const std::string name = path.state_key();
  fail("assign_plain_members: the models differ", name.empty() ? "" : " at ", name, ": ", why,
       "; they must have the same layers");
}

void check_same_shape(const Path& path, const Tensor& from, const Tensor& to) {
  if (from.defined() != to.defined()) fail_to_assign(path, "one tensor is defined, the other is not");
  if (from.defined() && from.shape() != to.shape())
    fail_to_assign(path, message("shapes ", from.shape(), " and ", to.shape()));
}

}  // namespace miniparallel::reflect
