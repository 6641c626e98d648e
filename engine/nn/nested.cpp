#include <miniparallel/nested.h>

#include <miniparallel/ops.h>

#include "engine/error.h"

namespace miniparallel::nested::detail {

void fail_to_join(const JoinNames& names, const Path& path, std::size_t value, const std::string& why) {
  const std::string text = path.text();
  fail(names.op, ": ", names.values, " 0 and ", value, " differ", text.empty() ? "" : " at ", text, ": ", why,
       "; they must have the same structure");
}

void fail_to_join_nothing(const JoinNames& names) {
  fail(names.op, ": there are no ", names.values, "; pass at least one");
}

bool are_defined(const std::vector<Tensor>& tensors, const JoinNames& names, const Path& path) {
  const bool defined = tensors[0].defined();
  for (std::size_t i = 1; i < tensors.size(); ++i)
    if (tensors[i].defined() != defined)
      fail_to_join(names, path, i, "one tensor is defined, the other is not");
  return defined;
}

Tensor placeholder(const Tensor&) {
  static const Tensor* const empty = new Tensor(zeros({0}));
  return *empty;
}

}  // namespace miniparallel::nested::detail
