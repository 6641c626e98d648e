#pragma once

#include <miniparallel/device.h>
#include <miniparallel/error.h>

#include <CLI/CLI.hpp>

#include <string>

namespace miniparallel::benchmarks {

/// Adds `--device` to the program's options.
inline void add_device_option(CLI::App& app, Device& device) {
  const auto read = [&device](const std::string& text) {
    try {
      device = Device::parse(text);
    } catch (const Error& error) {
      throw CLI::ValidationError("--device", error.what());
    }
  };
  app.add_option_function<std::string>("--device", read, "cpu, cuda or cuda:<index>")
      ->default_str(to_string(device));
}

}  // namespace miniparallel::benchmarks
