// Says what is on pictures of clothes, with what predict_train has learned.
//
//   predict clothes.safetensors shirt.png boot.jpg
//   predict clothes.safetensors                        takes one path after the other from its input

#include "net.h"

#include <chrono>
#include <cstdio>
#include <iostream>

using namespace miniparallel;

// A file as the model wants it: (1, 1, 28, 28), from 0 to 1.
Tensor picture(const std::string& path) {
  const Tensor gray = read_image(path, ImageReadMode::gray).to(float32) / 255;
  return data::Resize{28, 28}(gray).unsqueeze(0);
}

void answer(Net& net, const std::string& path) {
  const Tensor x = picture(path);
  const auto begin = std::chrono::steady_clock::now();
  const Tensor chances = softmax(net(x), 1)[0];
  const auto [chance, name] = max(chances, 0);  // item() waits for a GPU, so the time is that of the answer
  const std::size_t best = name.item<std::size_t>();
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
  std::printf("%s: %s (%.0f %%), %.0f us\n", path.c_str(), data::FashionMnist::kClasses[best],
              100 * chance.item(), time.count());
  std::fflush(stdout);
}

int main(int argc, char** argv) try {
  if (argc < 2) return std::cerr << "usage: predict WEIGHTS [IMAGE ...]\n", 2;
  Net net;
  load(net, argv[1]);  // names and shapes must be those of Net
  eval(net);           // as it is used: without dropout, with the running statistics of batch normalisation
  const NoGradGuard no_gradients;
  set_num_threads(1);          // a small model on one image: more threads would only wait for each other
  net(zeros({1, 1, 28, 28}));  // the first call takes memory from the system, later ones use it again
  for (int i = 2; i < argc; ++i) answer(net, argv[i]);
  std::string line;
  while (argc == 2 && std::getline(std::cin, line)) {
    try {
      answer(net, line);
    } catch (const Error& error) {  // one bad picture does not end the service
      std::printf("%s\n", error.what());
      std::fflush(stdout);
    }
  }
} catch (const std::exception& error) {
  std::cerr << "predict: " << error.what() << '\n';
  return 1;
}
