// Learns to predict one column of a CSV file from the others.
//
//   regression flats.csv price_thousand                 train, and measure the error on rows held back
//   regression flats.csv price_thousand 70 3 12 2.5     also predict the price of this flat
//
// flats.csv next to this file has 240 flats, invented: area, rooms, age, distance to the centre, price.

#include <miniparallel/miniparallel.h>

#include <charconv>
#include <iostream>

using namespace miniparallel;

// Columns have different units, so inside they have mean 0 and variance 1. The numbers for that are Buffers:
// part of the model, moved and saved with it, but not trained.
struct Net {
  nn::Buffer x_mean, x_var, y_mean, y_var;
  nn::Linear hidden, output;

  Tensor operator()(const Tensor& x) {
    return output(tanh(hidden((x - x_mean) / sqrt(x_var + 1e-6)))) * sqrt(y_var) + y_mean;
  }
};

float to_number(const std::string& text) {
  float number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) throw Error("'" + text + "' is not a number");
  return number;
}

int main(int argc, char** argv) try {
  if (argc < 3) return std::cerr << "usage: regression FILE.csv TARGET [VALUE of each other column]\n", 2;
  const std::string target = argv[2];
  const data::CsvTable table = data::read_csv(argv[1]);
  const data::TensorDataset examples(table.drop({target}).numbers(), table.numbers({target}));

  // The query, before the training: it may have a mistake.
  Tensor query;
  if (argc > 3) {
    std::vector<float> values;
    for (int i = 3; i < argc; ++i) values.push_back(to_number(argv[i]));
    query = tensor(values, {1, table.columns() - 1});
  }

  // A fifth of the rows is held back: only rows that the model has not seen tell how well it predicts.
  manual_seed(1);
  const auto [seen, held] = data::random_split(examples, {0.8, 0.2});
  const auto [x, y] = data::as_batch(seen);
  Net net{nn::Buffer(mean(x, {0})), nn::Buffer(var(x, {0})), nn::Buffer(mean(y, {0})),
          nn::Buffer(var(y, {0})),  {x.size(1), 32},         {32, 1}};

  data::DataLoader batches(seen, {.batch_size = 32, .shuffle = true});
  optim::Adam optimizer(parameters(net), {.lr = 1e-2});
  for (int epoch = 1; epoch <= 100; ++epoch) {
    for (auto& [rows, wanted] : batches) {
      optimizer.zero_grad();
      mse_loss(net(rows), wanted).backward();
      optimizer.step();
    }
    if (epoch % 20 == 0) std::cout << "epoch " << epoch << ": error " << l1_loss(net(x), y).item() << '\n';
  }

  const NoGradGuard no_gradients;
  const auto [held_x, held_y] = data::as_batch(held);
  std::cout << "error on rows held back: " << l1_loss(net(held_x), held_y).item() << " on average ("
            << l1_loss(net.y_mean.expand(held_y.shape()), held_y).item() << " by always guessing the mean)\n";

  if (query.defined()) std::cout << target << " = " << net(query).item() << '\n';
} catch (const std::exception& error) {
  std::cerr << "regression: " << error.what() << '\n';
  return 1;
}
