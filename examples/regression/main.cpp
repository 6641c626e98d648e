// Learns to predict one column of a CSV file from the others.
//
//   regression flats.csv price_thousand                 train, and measure the error on rows held back
//   regression flats.csv price_thousand 70 3 12 2.5     also predict the price of this flat
//
// flats.csv beside this file has 240 flats, invented: area, rooms, age, distance to the centre, price.

#include <miniparallel/miniparallel.h>

#include <cstdlib>
#include <iostream>

using namespace miniparallel;

// Columns have different units, so they are brought to mean 0 and deviation 1. The numbers for that are
// Buffers: part of the model, moved and saved with it, but not trained.
struct Net {
  nn::Buffer mean, deviation;
  nn::Linear hidden, output;

  Tensor operator()(const Tensor& x) { return output(tanh(hidden((x - mean) / deviation))); }
};

int main(int argc, char** argv) try {
  if (argc < 3) return std::cerr << "usage: regression FILE.csv TARGET [VALUE of each other column]\n", 2;
  const data::CsvTable table = data::read_csv(argv[1]);
  const std::string target = table.names()[static_cast<std::size_t>(table.column(argv[2]))];
  std::vector<std::string> features;
  for (const std::string& name : table.names()) {
    if (name != target) features.push_back(name);
  }
  const Tensor x = table.numbers(features), y = table.numbers({target});

  // A fifth of the rows is held back: only rows that the model has not seen tell how well it predicts.
  manual_seed(1);
  const Tensor order = randperm(table.rows());
  const Tensor held = order.slice(0, 0, table.rows() / 5),
               seen = order.slice(0, table.rows() / 5, table.rows());
  const Tensor train_x = index_select(x, 0, seen), train_y = index_select(y, 0, seen);

  Net net{.mean = nn::Buffer(mean(train_x, {0})),
          .deviation = nn::Buffer(sqrt(var(train_x, {0})) + 1e-6),
          .hidden = {x.size(1), 32},
          .output = {32, 1}};
  const Tensor y_mean = mean(train_y), y_deviation = sqrt(var(train_y)) + 1e-6;

  data::DataLoader batches(data::TensorDataset(train_x, (train_y - y_mean) / y_deviation),
                           {.batch_size = 32, .shuffle = true});
  optim::Adam optimizer(parameters(net), {.lr = 1e-2});
  for (int epoch = 1; epoch <= 100; ++epoch) {
    double loss_sum = 0;
    for (auto& [rows, wanted] : batches) {
      const Tensor loss = mse_loss(net(rows), wanted);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      loss_sum += loss.item();
    }
    if (epoch % 20 == 0)
      std::cout << "epoch " << epoch << ": loss " << loss_sum / static_cast<double>(batches.size()) << '\n';
  }

  const NoGradGuard no_gradients;
  const Tensor held_y = index_select(y, 0, held);
  const Tensor predicted = net(index_select(x, 0, held)) * y_deviation + y_mean;
  std::cout << "error on rows held back: " << l1_loss(predicted, held_y).item() << " on average ("
            << l1_loss(y_mean.expand(held_y.shape()), held_y).item() << " by always guessing the mean)\n";

  if (argc == 3) return 0;
  std::vector<float> values;
  for (int i = 3; i < argc; ++i) values.push_back(std::stof(argv[i]));
  const Tensor guess = net(tensor(values, {1, x.size(1)})) * y_deviation + y_mean;
  std::cout << target << " = " << guess.item() << '\n';
} catch (const std::exception& error) {
  std::cerr << "regression: " << error.what() << '\n';
  return 1;
}
