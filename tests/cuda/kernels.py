#!/usr/bin/env python3
"""What became of the CUDA kernels: their registers, their instructions, and whether the tests launch each of them.

  kernels.py update TABLE LIBRARY     writes the table of resources from a library built by nvcc
  kernels.py resources TABLE LIBRARY  compares the library with the table; fails where a kernel needs more
  kernels.py vectors LIBRARY          streaming kernels load and store 16 bytes at once
  kernels.py tensor_cores LIBRARY     kernels that are named after tensor cores multiply on them
  kernels.py coverage TABLE LAUNCHES  every kernel of the table is in the simulated GPU's list of launches

A kernel is an instantiation. It is named without return type, parameters and the project's namespaces.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict

MORE_REGISTERS = 4  # allowed beyond the table: another version of ptxas may need them
COLUMNS = ("registers", "stack", "shared")


def short_names(symbols):
    """Readable names of mangled symbols. Files' anonymous namespaces are told apart in symbols only."""
    symbols = list(symbols)
    demangled = subprocess.run(["c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True)
    return dict(zip(symbols, map(short_name, demangled.stdout.splitlines())))


def short_name(text):
    text = text.replace("(anonymous namespace)::", "")
    text = re.sub(r"\bminiparallel::(kernels::)?(cuda::)?", "", text)
    depth, start = 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "<") - (letter == ">")
        if depth == 0 and letter == " ":
            start = at + 1
        if depth == 0 and letter == "(":
            return text[start:at]
    return text[start:]


def is_of_library(name):
    """Thrust's kernels: they are NVIDIA's, and the simulated GPU has its own sort in their place."""
    return name.startswith(("cub::", "thrust::"))


def cuobjdump(program, what, library):
    beside = os.path.dirname(os.path.realpath(program))  # -sass needs nvdisasm
    environment = dict(os.environ, PATH=beside + os.pathsep + os.environ["PATH"])
    dump = subprocess.Popen([program, what, library], stdout=subprocess.PIPE, text=True, env=environment)
    yield from dump.stdout
    if dump.wait() != 0:
        sys.exit(f"{program} {what} {library} failed")


def architecture_of(line):
    found = re.match(r"arch = (sm_\w+)", line)
    return found and found[1]


def read_library(program, library):
    """{architecture: {kernel: {column: number}}}"""
    usage, architecture, symbol = defaultdict(list), None, None
    for line in cuobjdump(program, "-res-usage", library):
        architecture = architecture_of(line) or architecture
        if found := re.match(r"\s*Function (\S+):", line):
            symbol = found[1]
        if found := re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)", line):
            usage[architecture].append((symbol, dict(zip(COLUMNS, map(int, found.groups())))))
    names = short_names({symbol for kernels in usage.values() for symbol, _ in kernels})
    result = {}
    for architecture, kernels in usage.items():
        twice = [name for name, count in Counter(names[symbol] for symbol, _ in kernels).items() if count > 1]
        if twice:
            sys.exit("two kernels have one name; rename them or what they are made of:\n" + "\n".join(twice))
        result[architecture] = {names[symbol]: numbers for symbol, numbers in kernels if not is_of_library(names[symbol])}
    if not result:
        sys.exit(f"{library} holds no kernels")
    return result


def read_table(path):
    """The architecture that the table is for, and {kernel: {column: number}}."""
    with open(path) as file:
        lines = file.read().splitlines()
    rows = [line.split("\t") for line in lines[2:]]
    return lines[0].split()[-1], {row[-1]: dict(zip(COLUMNS, map(int, row))) for row in rows}


def update(arguments):
    usage = read_library(arguments.cuobjdump, arguments.library)
    architecture = min(usage, key=lambda name: int(re.sub(r"\D", "", name)))
    with open(arguments.table, "w") as file:
        file.write(f"# Written by `cmake --build --preset cuda --target update_kernel_resources`, for {architecture}\n")
        file.write("\t".join(COLUMNS) + "\tkernel\n")
        for name, numbers in sorted(usage[architecture].items()):
            file.write("\t".join(str(numbers[column]) for column in COLUMNS) + f"\t{name}\n")
    print(f"{len(usage[architecture])} kernels")


def resources(arguments):
    architecture, table = read_table(arguments.table)
    usage = read_library(arguments.cuobjdump, arguments.library)
    if architecture not in usage:
        sys.exit(f"the table is for {architecture}, the library has {', '.join(sorted(usage))}")
    problems = [f"{name}: not in the table" for name in usage[architecture] if name not in table]
    problems += [f"{name}: in the table, not in the library" for name in table if name not in usage[architecture]]
    for name, numbers in usage[architecture].items():
        known = table.get(name, numbers)
        for column, slack in zip(COLUMNS, (MORE_REGISTERS, 0, 0)):
            if numbers[column] > known[column] + slack:
                problems.append(f"{name}: {numbers[column]} {column}, the table has {known[column]}")
    # Registers are compared for one architecture; a stack is slow on each.
    for other, kernels in usage.items():
        problems += [f"{name} on {other}: a stack of {numbers['stack']} bytes" for name, numbers in kernels.items()
                     if numbers["stack"] > 0 and table.get(name, numbers)["stack"] == 0]
    with_stack = sorted(name for name, numbers in table.items() if numbers["stack"] > 0)
    print(f"{len(usage[architecture])} kernels on {', '.join(sorted(usage))}; most registers: "
          f"{max(numbers['registers'] for numbers in usage[architecture].values())}; "
          f"with a stack by the table: {len(with_stack)}")
    finish(problems, "if this is as it should be: cmake --build --preset cuda --target update_kernel_resources")


def is_streaming(name):
    return re.match(r"conv2d(_weight)?_filters<(float, 4|Half, 8|BFloat16, 8)[,>]"
                    r"|(map_arrays|map_rows|update_rows|copy_rows|generate|sum_arrays)<|copy_words<Pack<|for_each_block<\d+, Dropout<"
                    r"|(normalize_channel_packs|channel_packs_gradient|dropout_channel_packs|max_pool2d(_scatter)?_packs|average_pool2d(_backward)?_packs)<",
                    name)


def operands(name):
    """Which of reads and writes a streaming kernel does 16 bytes at a time: those of its widest elements."""
    if name.startswith("generate<"):
        return {"STG"}
    if name.startswith("conv2d_weight_filters<"):
        return {"LDG"}
    found = re.match(r"(?:map_arrays<\d+, |sum_arrays<)(.*)>$", name)  # a function or type, output, inputs
    if not found:
        return {"LDG", "STG"}
    parts, depth = [""], 0
    for letter in found[1]:
        depth += (letter == "<") - (letter == ">")
        if depth == 0 and letter == ",":
            parts.append("")
        else:
            parts[-1] += letter
    sizes = {"double": 8, "long": 8, "unsigned long": 8, "float": 4, "int": 4, "unsigned int": 4, "Half": 2,
             "BFloat16": 2, "unsigned short": 2, "unsigned char": 1, "bool": 1}
    if re.match(r"Convert<long, (int|unsigned char)>", parts[0]):
        return set()  # the compiler loads the low words alone
    output, *inputs = (sizes[part.strip()] for part in parts[1:])
    widest = max([output, *inputs])
    return {kind for kind, sized in (("STG", [output]), ("LDG", inputs)) if widest in sized}


def vectors(arguments):
    wide, architecture, symbol = defaultdict(set), None, None
    for line in cuobjdump(arguments.cuobjdump, "-sass", arguments.library):
        architecture = architecture_of(line) or architecture
        if found := re.search(r"Function : (\S+)", line):
            symbol = (architecture, found[1])
            wide[symbol] = set()
        elif found := re.search(r"\b(LDG|STG)\.[\w.]*\b128\b", line):
            wide[symbol].add(found[1])
    names = short_names({symbol for _, symbol in wide})
    problems, count = [], 0
    for (architecture, symbol), found in wide.items():
        name = names[symbol]
        if not is_streaming(name):
            continue
        count += 1
        problems += [f"{name} on {architecture}: no {kind}.128" for kind in sorted(operands(name) - found)]
    if count == 0:
        problems.append("no streaming kernel was found")
    print(f"{count} streaming kernels of {len(wide)}")
    finish(problems)


def tensor_cores(arguments):
    """Code for less than compute capability 8.0 multiplies float16 alone; that of the others is empty."""
    multiplies, architecture, symbol = {}, None, None
    for line in cuobjdump(arguments.cuobjdump, "-sass", arguments.library):
        architecture = architecture_of(line) or architecture
        if found := re.search(r"Function : (\S+)", line):
            symbol = (architecture, found[1])
            multiplies[symbol] = False
        elif re.search(r"\bH(G)?MMA\.", line):
            multiplies[symbol] = True
    names = short_names({symbol for _, symbol in multiplies})
    problems, count = [], 0
    for (architecture, symbol), found in multiplies.items():
        name = names[symbol]
        if "_tensor_" not in name or (int(re.sub(r"\D", "", architecture)) < 80 and "<Half," not in name):
            continue
        count += 1
        if not found:
            problems.append(f"{name} on {architecture}: no HMMA")
    if count == 0:
        problems.append("no kernel for tensor cores was found")
    print(f"{count} kernels for tensor cores")
    finish(problems)


def coverage(arguments):
    _, table = read_table(arguments.table)
    with open(arguments.launches) as file:
        rows = [line.split("\t") for line in file.read().splitlines()]
    names = short_names(symbol for symbol, _ in rows)
    launches = {names[symbol]: int(count) for symbol, count in rows}
    for name in sorted(table):
        print(f"{launches.get(name, 0):8} {name}")
    problems = [f"{name}: never launched" for name in table if name not in launches]
    problems += [f"{name}: launched, not in the table" for name in launches if name not in table]
    print(f"{sum(name in launches for name in table)} of {len(table)} kernels launched, "
          f"{sum(launches.values())} launches")
    finish(problems)


def finish(problems, advice=None):
    for problem in problems:
        print(problem)
    if problems and advice:
        print(advice)
    sys.exit(1 if problems else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function, names in ((update, ("table", "library")), (resources, ("table", "library")),
                            (vectors, ("library",)),
                            (tensor_cores, ("library",)), (coverage, ("table", "launches"))):
        command = commands.add_parser(function.__name__)
        for name in names:
            command.add_argument(name)
        if "library" in names:
            command.add_argument("--cuobjdump", default="cuobjdump")
        command.set_defaults(function=function)
    arguments = parser.parse_args()
    arguments.function(arguments)


main()
