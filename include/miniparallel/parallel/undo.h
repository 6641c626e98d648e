#pragma once

#include <miniparallel/model.h>

#include <memory>

namespace miniparallel::parallel {

/// Puts the tensors of a model back where they are now - values, devices, dtypes, handles, gradients and who
/// takes these - when it is destroyed, unless `keep` was called before: a set-up that fails undoes itself.
/// The model's members must stay where they are meanwhile; until then the old memory is held.
class Undo {
 public:
  explicit Undo(const reflect::Inventory& model);
  /// All is done: the model stays as it is by now.
  void keep();

 private:
  class Before;
  std::shared_ptr<Before> before_;
};

}  // namespace miniparallel::parallel
