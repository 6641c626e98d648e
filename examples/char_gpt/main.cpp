// A small GPT that learns to write like a text file, one character after the other.
//
//   char_gpt /usr/share/common-licenses/GPL-3
//
// The model is the decoder of Vaswani et al., "Attention is all you need" (2017), with the normalisation
// before each part (Radford et al., "Language models are unsupervised multitask learners", 2019).

#include <miniparallel/miniparallel.h>

#include "../precision.h"
#include "options.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <iterator>

using namespace miniparallel;

// --- the model

// Attention lets a place look at the places before it, the two linear layers think about what it saw. Both
// add to x instead of replacing it, so that gradients reach the first block undiminished.
struct Block {
  nn::LayerNorm norm1;
  nn::MultiheadAttention attention;
  nn::LayerNorm norm2;
  nn::Linear up, down;
  nn::Dropout drop;

  Tensor operator()(Tensor x) {
    x = x + drop(attention(norm1(x), {.causal = true}));
    return x + drop(down(up(norm2(x))));
  }
};

struct Gpt {
  nn::Embedding token, position;
  std::vector<Block> blocks;
  nn::LayerNorm norm;
  nn::Linear head;

  // (batch, places) character numbers -> (batch, places, vocabulary): logits of the character that comes next
  Tensor operator()(const Tensor& characters) {
    Tensor x = token(characters) + position(arange(characters.size(1), {.device = characters.device()}));
    for (Block& block : blocks) x = block(x);
    return head(norm(x));
  }
};

Gpt make_gpt(const Options& options, std::int64_t vocabulary) {
  const std::int64_t width = options.width;
  Gpt gpt{.token = {vocabulary, width},
          .position = {options.context, width},
          .blocks = {},
          .norm = {width},
          .head = {width, vocabulary}};
  // One by one: copies of a block would share its weights.
  for (std::int64_t i = 0; i < options.layers; ++i) {
    gpt.blocks.push_back({.norm1 = {width},
                          .attention = {width, options.heads},
                          .norm2 = {width},
                          .up = {width, 4 * width, {.activation = Activation::gelu_tanh}},
                          .down = {4 * width, width},
                          .drop = {options.dropout}});
  }
  return gpt;
}

// --- the text

// Each character that occurs has a number. A character is a byte: the model learns by itself to spell others.
struct Text {
  std::string vocabulary;
  Tensor characters;

  explicit Text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(file), {}};
    vocabulary = content;
    std::sort(vocabulary.begin(), vocabulary.end());
    vocabulary.erase(std::unique(vocabulary.begin(), vocabulary.end()), vocabulary.end());
    characters = encode(content);
  }

  Tensor encode(const std::string& text) const {
    std::vector<std::int64_t> numbers;
    numbers.reserve(text.size());
    for (const char c : text) {
      const std::size_t number = vocabulary.find(c);
      if (number == std::string::npos) throw Error(std::string("the text has no '") + c + "'");
      numbers.push_back(static_cast<std::int64_t>(number));
    }
    return tensor(numbers);
  }
  std::string decode(const Tensor& character) const { return {vocabulary[character.item<std::size_t>()]}; }
};

// A dataset: example i is the piece of text from i on and, as its target, the same piece one character later.
struct Pieces {
  Tensor characters;
  std::int64_t length;

  std::int64_t size() const { return characters.numel() - length; }
  std::array<Tensor, 2> get(std::int64_t i) const {
    return {characters.narrow(0, i, length), characters.narrow(0, i + 1, length)};
  }
};

// --- training and writing

Tensor loss_of(Gpt& gpt, const Tensor& characters, const Tensor& next, const Precision& precision) {
  const Autocast guard(precision.autocast);
  return cross_entropy(gpt(characters).flatten(0, 1), next.flatten());
}

double test(Gpt& gpt, const Pieces& pieces, Device device, const Precision& precision) {
  const NoGradGuard no_gradients;
  eval(gpt);
  double sum = 0;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < pieces.size(); i += pieces.length, ++count) {
    const auto [characters, next] = pieces.get(i);
    sum += loss_of(gpt, characters.unsqueeze(0).to(device), next.unsqueeze(0).to(device), precision).item();
  }
  train(gpt);
  return sum / static_cast<double>(count);
}

void train_on(Gpt& gpt, const Pieces& seen, const Pieces& held_back, Device device, const Options& options) {
  data::DataLoader batches(
      seen, {.batch_size = options.batch_size, .shuffle = true, .drop_last = true, .num_workers = 1});
  optim::AdamW optimizer(parameters(gpt), {.lr = options.lr});
  optim::CosineAnnealingLR scheduler(optimizer, {.t_max = std::max<std::int64_t>(options.steps, 1)});
  Precision precision(options.precision);
  const std::int64_t report_every = std::max<std::int64_t>(options.steps / 10, 1);
  for (std::int64_t step = 0; step < options.steps;) {
    for (auto& [characters, next] : batches) {
      const Tensor loss = loss_of(gpt, characters.to(device), next.to(device), precision);
      optimizer.zero_grad();
      precision.scaler.scale(loss).backward();
      precision.scaler.unscale_(optimizer);
      nn::utils::clip_grad_norm_(parameters(gpt), 1.0);
      precision.scaler.step(optimizer);
      precision.scaler.update();
      scheduler.step();
      if (++step % report_every == 0) {
        std::cout << "step " << step << ": loss " << loss.item() << ", on text held back "
                  << test(gpt, held_back, device, precision) << std::endl;
      }
      if (step == options.steps) break;
    }
  }
}

// Writes on from the prompt, character by character.
std::string write(Gpt& gpt, const Text& text, Device device, const Options& options) {
  const NoGradGuard no_gradients;
  eval(gpt);
  std::string written = options.prompt.empty() ? text.decode(text.characters[0]) : options.prompt;
  for (std::int64_t i = 0; i < options.length; ++i) {
    const std::size_t seen = std::min(written.size(), static_cast<std::size_t>(options.context));
    const Tensor last = text.encode(written.substr(written.size() - seen)).to(device);
    const Tensor logits = gpt(last.unsqueeze(0))[0][-1];
    // The largest of logits + Gumbel noise is a draw from softmax(logits): the Gumbel-max trick.
    const Tensor noise = -log(-log(rand_like(logits)));
    written += text.decode(argmax(logits / options.temperature + noise));
  }
  return written;
}

int main(int argc, char** argv) try {
  const Options options = parse_options(argc, argv);
  manual_seed(options.seed);
  const Text text(options.text);
  text.encode(options.prompt);  // throws, before any training, where the text lacks a character of it
  const std::int64_t characters = text.characters.numel(), seen = characters - characters / 10;
  if (characters / 10 <= options.context)
    throw Error("the text is too short: it needs over ten times --context");

  const Device best = cuda_device_count() > 0 ? Device::cuda() : Device::cpu();
  const Device device = options.device == "auto" ? best : Device::parse(options.device);
  Gpt gpt = make_gpt(options, static_cast<std::int64_t>(text.vocabulary.size()));
  to(gpt, device);
  std::cout << characters << " characters, " << text.vocabulary.size() << " different; "
            << num_parameters(gpt) << " parameters, on " << device << std::endl;
  train_on(gpt, {text.characters.slice(0, 0, seen), options.context},
           {text.characters.slice(0, seen, characters), options.context}, device, options);
  std::cout << "\n" << write(gpt, text, device, options) << "\n";
} catch (const std::exception& error) {
  std::cerr << "char_gpt: " << error.what() << '\n';
  return 1;
}
