// A recurrent network that learns to write like a text file, one character after the other.
//
//   lstm_text /usr/share/common-licenses/GPL-3                      1000 steps, then 400 characters
//   lstm_text /usr/share/common-licenses/GPL-3 200 "The "
//
// Hochreiter, Schmidhuber: "Long short-term memory" (1997). Where a GPT sees the last characters all at once,
// an LSTM reads them one by one and keeps what matters in its state. So the text is cut into as many strips
// as a batch has rows; each step reads on in every strip where the last one stopped, with the state that was
// left. The gradient goes back to the beginning of the step, the memory further.

#include <miniparallel/miniparallel.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

using namespace miniparallel;

constexpr std::int64_t kStrips = 32, kLength = 32, kWidth = 128;

struct Net {
  nn::Embedding characters;
  nn::LSTM lstm;
  nn::Linear output;

  // Numbers of characters (batch, length), the state before -> logits of the next character for each, the
  // state after.
  auto operator()(const Tensor& x, const nn::LSTMState& before) {
    auto [y, after] = lstm(characters(x), before);
    return std::pair(output(y), after);
  }
};

// Each character that occurs has a number.
struct Text {
  std::string vocabulary, content;

  explicit Text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    content.assign(std::istreambuf_iterator<char>(file), {});
    vocabulary = content;
    std::sort(vocabulary.begin(), vocabulary.end());
    vocabulary.erase(std::unique(vocabulary.begin(), vocabulary.end()), vocabulary.end());
    if (std::ssize(content) < kStrips * (kLength + 1))
      throw Error(path + ": the text is too short, or missing");
  }
  Tensor encode(const std::string& text) const {
    std::vector<std::int64_t> numbers;
    for (const char c : text) {
      const std::size_t number = vocabulary.find(c);
      if (number == std::string::npos) throw Error(std::string("the text has no '") + c + "'");
      numbers.push_back(static_cast<std::int64_t>(number));
    }
    return tensor(numbers);
  }
};

void learn(Net& net, const Text& text, std::int64_t steps) {
  const std::int64_t strip = std::ssize(text.content) / kStrips;
  const Tensor strips =
      text.encode(text.content.substr(0, static_cast<std::size_t>(strip * kStrips))).view({kStrips, strip});
  optim::Adam optimizer(parameters(net), {.lr = 5e-3});
  nn::LSTMState state;
  std::int64_t at = 0;
  for (std::int64_t step = 1; step <= steps; ++step) {
    if (at + kLength >= strip) {  // from the beginning, which nothing precedes
      at = 0;
      state = {};
    }
    const auto [logits, after] = net(strips.narrow(1, at, kLength), state);
    const Tensor loss = cross_entropy(logits.flatten(0, 1), strips.narrow(1, at + 1, kLength).flatten());
    optimizer.zero_grad();
    loss.backward();
    nn::utils::clip_grad_norm_(parameters(net), 1.0);  // a long memory can make gradients explode
    optimizer.step();
    state = {after.h.detach(), after.c.detach()};  // the memory goes on, the gradient stops here
    at += kLength;
    if (step % std::max<std::int64_t>(steps / 10, 1) == 0)
      std::cout << "step " << step << ": loss " << loss.item() << std::endl;
  }
}

// Reads the prompt, then writes on: each character that it writes is the next one that it reads.
std::string write(Net& net, const Text& text, const std::string& prompt, int length) {
  const NoGradGuard no_gradients;
  std::string written = prompt;
  Tensor seen = text.encode(prompt).unsqueeze(0);
  nn::LSTMState state;
  for (int i = 0; i < length; ++i) {
    const auto [logits, after] = net(seen, state);
    state = after;
    seen = multinomial(softmax(logits[0][-1] / 0.7, 0), 1).unsqueeze(0);
    written += text.vocabulary[seen.item<std::size_t>()];
  }
  return written;
}

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 4) return std::cerr << "usage: lstm_text FILE [STEPS [PROMPT]]\n", 2;
  const Text text(argv[1]);
  const std::int64_t steps = argc > 2 ? std::atoll(argv[2]) : 1000;
  const std::string prompt = argc > 3 ? argv[3] : text.content.substr(0, 1);
  text.encode(prompt);  // throws, before any training, where the text lacks a character of it

  manual_seed(1);
  const std::int64_t vocabulary = std::ssize(text.vocabulary);
  Net net{.characters = {vocabulary, 32},
          .lstm = {32, kWidth, {.num_layers = 2, .batch_first = true}},
          .output = {kWidth, vocabulary}};
  std::cout << text.content.size() << " characters, " << vocabulary << " different; " << num_parameters(net)
            << " parameters\n";
  learn(net, text, steps);
  std::cout << '\n' << write(net, text, prompt, 400) << '\n';
} catch (const std::exception& error) {
  std::cerr << "lstm_text: " << error.what() << '\n';
  return 1;
}
