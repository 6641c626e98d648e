#include "core/symbol.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <vector>

namespace miniparallel::simulator {
namespace {

using Table = std::map<std::uintptr_t, std::string>;

template <typename T>
std::vector<T> read_array(std::ifstream& file, std::uint64_t offset, std::size_t count) {
  std::vector<T> items(count);
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(items.data()), static_cast<std::streamsize>(count * sizeof(T)));
  return items;
}

/// Adds the functions in the symbol table of one loaded object.
void add_functions(const char* path, std::uintptr_t base, Table& table) {
  std::ifstream file(path, std::ios::binary);
  const auto header = read_array<Elf64_Ehdr>(file, 0, 1).front();
  if (!file || header.e_ident[EI_CLASS] != ELFCLASS64) return;
  const auto sections = read_array<Elf64_Shdr>(file, header.e_shoff, header.e_shnum);
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB) continue;
    const auto names =
        read_array<char>(file, sections[section.sh_link].sh_offset, sections[section.sh_link].sh_size);
    for (const Elf64_Sym& symbol :
         read_array<Elf64_Sym>(file, section.sh_offset, section.sh_size / sizeof(Elf64_Sym))) {
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_value != 0) {
        table.emplace(base + symbol.st_value, &names[symbol.st_name]);
      }
    }
  }
}

Table read_table() {
  Table table;
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* into) {
        const bool is_program = object->dlpi_name[0] == '\0';
        add_functions(is_program ? "/proc/self/exe" : object->dlpi_name, object->dlpi_addr,
                      *static_cast<Table*>(into));
        return 0;
      },
      &table);
  return table;
}

/// "void (anonymous namespace)::scale<float>(float*, int)" becomes "scale<float>".
std::string shortened(const std::string& mangled) {
  int status = 0;
  char* const demangled = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
  if (demangled == nullptr) return mangled;
  std::string name = demangled;
  std::free(demangled);
  const std::string anonymous = "(anonymous namespace)::";
  for (auto at = name.find(anonymous); at != std::string::npos; at = name.find(anonymous))
    name.erase(at, anonymous.size());
  int depth = 0;
  std::size_t begin = 0, end = name.size();
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (depth == 0 && name[i] == ' ') begin = i + 1;
    if (depth == 0 && name[i] == '(') {
      end = i;
      break;
    }
  }
  return name.substr(begin, end - begin);
}

}  // namespace

std::string mangled_symbol(const void* function) {
  static const auto& table = *new Table(read_table());
  const auto found = table.find(reinterpret_cast<std::uintptr_t>(function));
  if (found != table.end()) return found->second;
  char text[32];
  std::snprintf(text, sizeof text, "at %p", function);
  return text;
}

std::string symbol_name(const void* function) {
  static std::mutex mutex;
  static auto& known = *new std::map<const void*, std::string>;
  const std::lock_guard lock(mutex);
  std::string& name = known[function];
  if (name.empty()) name = shortened(mangled_symbol(function));
  return name;
}

}  // namespace miniparallel::simulator
