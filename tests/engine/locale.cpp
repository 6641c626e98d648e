#include <locale>

#include <miniparallel/miniparallel.h>
#include <miniparallel/profiler.h>

#include "engine/error.h"
#include "engine/threads/cpu_cores.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <clocale>
#include <cstdlib>
#include <optional>
#include <sstream>

// What the library writes and reads is the same in every locale of the program.

namespace miniparallel {
namespace {

/// While it lives, C and C++ write 1234.5 as 1.234,5. C++ gets a locale of its own making; C needs one of the
/// system's, or one that localedef makes.
class CommaLocale {
 public:
  CommaLocale()
      : cpp_(std::locale::global(std::locale(std::locale::classic(), new Commas))),
        c_(std::setlocale(LC_ALL, nullptr)) {
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"})
      if (std::setlocale(LC_ALL, name) != nullptr) return;
    const std::string made = folder_ / "de_DE.UTF-8";
    if (std::system(("localedef -i de_DE -f UTF-8 " + made + " >/dev/null 2>&1").c_str()) != 0) return;
    ::setenv("LOCPATH", folder_.path().c_str(), 1);
    std::setlocale(LC_ALL, "de_DE.UTF-8");
    ::unsetenv("LOCPATH");
  }
  ~CommaLocale() {
    std::locale::global(cpp_);  // which sets C's too, where it has a name
    std::setlocale(LC_ALL, c_.c_str());
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;

  static bool c_has_commas() { return std::string(std::localeconv()->decimal_point) == ","; }

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
  out << control_group_cores(folder.path(), "0::/\n").value_or(-1) << '\n';

  const std::string file = folder / "weights.safetensors";
  save({{"a", ones({1234, 1})}}, file, {{"note", "1,5"}});
  const std::string bytes = testing::read_text(file);
  out << bytes.substr(8, bytes.find("}}") - 8) << load(file).at("a").shape() << '\n';
  const Checkpoint checkpoint{{"net", net}};
  save_checkpoint(folder / "run", checkpoint);
  load_checkpoint(folder / "run", checkpoint);
  return out.str();
}

TEST_CASE("what is written and read does not depend on the locale") {
  const std::string plain = everything();
  CHECK(plain.find("2000.25") != std::string::npos);
  CHECK(plain.find("1234.5 -2500") != std::string::npos);
  CHECK(plain.find("\n2.5\n") != std::string::npos);
  const CommaLocale commas;
  std::ostringstream changed;
  changed << 1234.5;
  REQUIRE(changed.str() == "1.234,5");
  if (!CommaLocale::c_has_commas()) MESSAGE("no locale of C with a comma: only that of C++ was tried");
  CHECK(everything() == plain);
}

TEST_CASE("traces and tables of the profiler do not depend on the locale") {
  const testing::TemporaryFolder folder;
  const CommaLocale commas;
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
