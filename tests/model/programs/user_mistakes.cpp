// As mistakes.cpp, of those who use models.
// case MODEL_FOR_PARAMETERS: an optimizer takes the parameters of a model, std::vector<Tensor>, not the model
// case NO_GET: this dataset has no get(); give it auto get(std::int64_t index) const
// case NO_SIZE: this dataset has no size(); give it std::int64_t size() const
#include <miniparallel/data.h>
#include <miniparallel/nn.h>
#include <miniparallel/optim.h>

using namespace miniparallel;

struct Net {
  nn::Linear fc{3, 4};
};

#if defined(MODEL_FOR_PARAMETERS)
void train_it(Net& net) { optim::AdamW optimizer(net, {.lr = 1e-3}); }
#elif defined(NO_GET)
struct Examples {
  std::int64_t size() const { return 1; }
  Tensor get(std::int64_t) { return {}; }  // not const
};
void load_it() { data::DataLoader batches(Examples(), {.batch_size = 2}); }
#elif defined(NO_SIZE)
void load_it(const Tensor& images) { data::DataLoader batches(images, {.batch_size = 2}); }
#endif
