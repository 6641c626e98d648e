#pragma once

#include <CLI/CLI.hpp>

#include <charconv>
#include <cmath>
#include <functional>
#include <string>

/// Checks of options that say in one line what is wrong: "--lr: got -1; it must be above 0".

inline CLI::Validator number_that(const std::string& requirement, const std::function<bool(double)>& holds) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool is_number =
            error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
        return is_number && holds(value) ? std::string() : "got " + text + "; it must be " + requirement;
      },
      "");
}

inline CLI::Validator above_zero() {
  return number_that("above 0", [](double value) { return value > 0; });
}

inline CLI::Validator from_zero_on() {
  return number_that("at least 0", [](double value) { return value >= 0; });
}
