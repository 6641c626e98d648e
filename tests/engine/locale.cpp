#include <locale>

#include <miniparallel/miniparallel.h>
#include <miniparallel/profiler.h>
#include <miniparallel/tensorboard.h>

#include "engine/error.h"
#include "kernels/cpu/cpu_cores.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>

// What the library writes and reads is the same in every locale of the program.

namespace miniparallel {
namespace {

/// While it lives, C and C++ write 1234.5 with a comma, months are French and letters those of Latin-1. C++
/// gets a locale of its own making; C needs one of the system's, or one that localedef makes.
class FrenchLocale {
 public:
  FrenchLocale()
      : cpp_(std::locale::global(std::locale(std::locale::classic(), new Commas))),
        c_(std::setlocale(LC_ALL, nullptr)) {
    const std::string name = "fr_FR.ISO-8859-1", made = folder_ / name;
    if (std::setlocale(LC_ALL, name.c_str()) != nullptr) return;
    if (std::system(("localedef -i fr_FR -f ISO-8859-1 " + made + " >/dev/null 2>&1").c_str()) != 0) return;
    ::setenv("LOCPATH", folder_.path().c_str(), 1);
    std::setlocale(LC_ALL, name.c_str());
    ::unsetenv("LOCPATH");
  }
  ~FrenchLocale() {
    std::locale::global(cpp_);  // which sets C's too, where it has a name
    std::setlocale(LC_ALL, c_.c_str());
  }
  FrenchLocale(const FrenchLocale&) = delete;
  FrenchLocale& operator=(const FrenchLocale&) = delete;

  static bool is_of_c() { return std::string(std::localeconv()->decimal_point) == ","; }

 private:
  struct Commas : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  testing::TemporaryFolder folder_;
  std::locale cpp_;
  std::string c_;
};

struct Net {
  nn::Linear fc{1000, 2};
  Tensor operator()(const Tensor& x) { return fc(x); }
};

/// Where a SummaryWriter writes that is not told where: the folder up to the month.
std::string folder_of_month(const testing::TemporaryFolder& folder) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const std::string name = tensorboard::SummaryWriter().log_dir();
  std::filesystem::current_path(before);
  return name.substr(0, std::string("runs/Jan").size());
}

/// What einsum says of a byte that is a letter, e with an accent, in Latin-1.
std::string refusal_of_letter() {
  try {
    einsum("i\xe9->i", {ones({2, 2})});
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

/// All kinds of texts that the library writes, and what it reads of texts.
std::string everything() {
  const testing::TemporaryFolder folder;
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << tensor({500.5, 2000.25, -100.125}) << tensor({1.5e-9, 1234567.0}) << tensor({1e10, 12345678.0})
      << arange(123456, 123460) << '\n'
      << Shape{12345, 6} << message("got ", 1234.5, " and ", 1234567) << '\n';
  Net net;
  out << summary(net, {1, 1000}) << '\n';

  const data::CsvTable table("x,y\n1234.5,-2.5e3\n", {}, "t.csv");
  for (const double value : table.numbers().to_vector<double>()) out << value << ' ';
  out << Device::parse("cuda:3") << '\n';

  testing::write_text(folder / "cpu.max", "250000 100000");
  out << kernels::cpu::control_group_cores(folder.path(), "0::/\n").value_or(-1) << '\n';

  const std::string file = folder / "weights.safetensors";
  save({{"a", ones({1234, 1})}}, file, {{"note", "1,5"}});
  const std::string bytes = testing::read_text(file);
  out << bytes.substr(8, bytes.find("}}") - 8) << load(file).at("a").shape() << '\n';
  const Checkpoint checkpoint{{"net", net}};
  save_checkpoint(folder / "run", checkpoint);
  load_checkpoint(folder / "run", checkpoint);
  out << folder_of_month(folder) << '\n' << refusal_of_letter() << '\n';
  return out.str();
}

TEST_CASE("what is written and read does not depend on the locale") {
  const std::string plain = everything();
  CHECK(plain.find("2000.25") != std::string::npos);
  CHECK(plain.find("1234.5 -2500") != std::string::npos);
  CHECK(plain.find("\n2.5\n") != std::string::npos);
  CHECK(plain.find("has '\xe9' at place 1") != std::string::npos);
  const FrenchLocale french;
  std::ostringstream changed;
  changed << 1234.5;
  REQUIRE(changed.str() == "1.234,5");
  if (!FrenchLocale::is_of_c()) MESSAGE("C has no French locale: only that of C++ was tried");
  CHECK(everything() == plain);
}

TEST_CASE("traces and tables of the profiler do not depend on the locale") {
  const testing::TemporaryFolder folder;
  const FrenchLocale french;
  Profiler profiler({}, {.table_rows = 0});
  matmul(ones({1000, 10}), ones({10, 1000}));
  profiler.stop();
  const std::string table = profiler.table();
  CHECK(table.find("matmul") != std::string::npos);
  CHECK(table.find(',') == std::string::npos);
  profiler.export_chrome_trace(folder / "trace.json");
  const std::string trace = testing::read_text(folder / "trace.json");
  const auto duration = trace.find("\"dur\":");
  REQUIRE(duration != std::string::npos);
  const std::string number =
      trace.substr(duration + 6, trace.find_first_of(",}", duration + 6) - duration - 6);
  CHECK(number.find_first_not_of("0123456789.e-") == std::string::npos);
  CHECK(trace.find("1.000") == std::string::npos);  // of [1000, 10]
}

}  // namespace
}  // namespace miniparallel
