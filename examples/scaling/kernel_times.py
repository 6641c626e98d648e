"""Writes what scaling --kernel-times reads, of a trace: the mean time of each kernel.

  nsys profile -o steps build/cuda/tests/benchmarks/training_steps --device cuda
  nsys export --type sqlite steps.nsys-rep
  python3 kernel_times.py steps.sqlite > kernels.txt
  scaling --kernel-times kernels.txt

The trace is Nsight Systems' as SQLite, or a Chrome trace whose events of category 'kernel' are what ran on a
GPU, as PyTorch's profiler and scaling --trace write it. Each kernel has a line under its name with template
arguments and one without, in which all of its instantiations count; scaling prefers the first.
"""
import json
import re
import sqlite3
import sys
from collections import defaultdict


def nsight_kernels(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as trace:
        for name, nanoseconds in trace.execute(
            "SELECT value, \"end\" - start FROM CUPTI_ACTIVITY_KIND_KERNEL JOIN StringIds ON id = demangledName"
        ):
            yield name, nanoseconds / 1000


def chrome_kernels(path):
    with open(path, encoding="utf-8") as file:
        trace = json.load(file)
    if trace.get("otherData", {}).get("producer") == "miniparallel":
        sys.exit(f"{path}: this library's profiler records launches, not what runs on the GPU; take nsys")
    for event in trace["traceEvents"]:
        if event.get("ph") == "X" and event.get("cat") == "kernel":
            yield event["name"], event["dur"]


def short(name):
    """'void ns::<unnamed>::f<float, (int)4>(float *)' becomes 'ns::f<float, 4>', as scaling names it."""
    name = re.sub(r"<unnamed>::|\(anonymous namespace\)::", "", name)
    name = re.sub(r"\(bool\)([01])", lambda flag: "true" if flag[1] == "1" else "false", name)
    name = re.sub(r"\((?:unsigned )?(?:char|short|int|long|long long)\)(?=-?\d)", "", name)
    depth, begin = 0, 0
    for i, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if depth == 0 and letter == " ":
            begin = i + 1
        if depth == 0 and letter == "(":
            return name[begin:i]
    return name[begin:]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = sys.argv[1]
    with open(path, "rb") as file:
        is_sqlite = file.read(15) == b"SQLite format 3"
    times = defaultdict(list)
    for name, microseconds in nsight_kernels(path) if is_sqlite else chrome_kernels(path):
        full = short(name)
        for key in {full, full.split("<")[0].split("::")[-1]}:
            times[key].append(microseconds)
    if not times:
        sys.exit(f"{path}: no kernel was recorded")
    for name, all_times in sorted(times.items(), key=lambda item: (-sum(item[1]), len(item[0]))):
        print(f"{sum(all_times) / len(all_times):.3f} {name}")


main()
