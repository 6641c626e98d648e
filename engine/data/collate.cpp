#include <miniparallel/data/collate.h>

#include <miniparallel/error.h>

namespace miniparallel::data::detail {

Tensor stack_examples(std::vector<Tensor> tensors, const nested::Path& path) {
  try {
    return stack(tensors);
  } catch (Error& error) {
    if (const std::string text = path.text(); !text.empty())
      error.add_note("when collate joined " + text + " of the examples");
    throw;
  }
}

}  // namespace miniparallel::data::detail
