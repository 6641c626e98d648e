#!/usr/bin/env python3
"""Everything that the benchmarks time beside PyTorch, as one table:

  compare.py build/cpu [--threads 1 2] [--rounds 3] [--seconds 0.1] [--only REGEX] [--peers plain tuned]

The two take turns, program by program; a row has the medians of the rounds and, as `ratio`, the median of
miniparallel's time over PyTorch's in each. REGEX picks rows by how they begin: `sum|softmax`, `W1`. Training
steps are compared with the best of --peers: PyTorch as it comes (plain), with an allocator that gives no memory back
(tuned), with that and torch.compile (compiled). Compare on a quiet machine only.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
FAMILIES = "breadth", "elementwise", "math", "vision"
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 36)}  # glibc's, read at the start
PEERS = {"plain": ({},), "tuned": (KEEP_MEMORY,), "compiled": (KEEP_MEMORY, "--compile")}


def run(*command, threads, more_environment=None, **options):
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | (more_environment or {})
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def ops(programs, family, arguments, threads):
    """(op, miniparallel's ms, PyTorch's ms) of one round."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        run(programs / f"{family}_benchmark", f"--benchmark_filter=^({arguments.only})", f"--benchmark_out={file.name}",
            f"--benchmark_min_time={arguments.seconds / 3}", "--benchmark_repetitions=3", threads=threads,
            stderr=subprocess.DEVNULL)
        if os.path.getsize(file.name) == 0:
            return []
        lines = run(sys.executable, HERE / "ops_torch.py", "--seconds", str(arguments.seconds), file.name,
                    threads=threads, stderr=subprocess.DEVNULL).splitlines()[1:]
    rows = map(str.split, lines)
    return [(op, float(ours) / 1e3, float(theirs) / 1e3) for op, ours, theirs, _ in rows]


def lines_of(output):
    return list(map(json.loads, output.splitlines()))


def steps(programs, arguments, threads):
    """The same of whole training steps."""
    rows = []
    for workload in ("W1", "W2", "W3", "W4", "W5"):
        if not re.match(arguments.only, workload):
            continue
        seconds = str(3 * arguments.seconds)
        ours = lines_of(run(programs / "training_steps", "--seconds", seconds, workload, threads=threads))
        theirs = [lines_of(run(sys.executable, HERE / "training_steps_torch.py", *more, "--seconds", seconds, workload,
                               threads=threads, more_environment=environment, stderr=subprocess.DEVNULL))
                  for environment, *more in map(PEERS.get, arguments.peers)]
        for line, *others in zip(ours, *theirs):
            rows.append((f"{line['workload']}, batch {line['batch']}", line["median_ms"],
                         min(other["median_ms"] for other in others)))
        rows.append((f"{workload}, peak memory in MB", *(lines[-1]["peak_mb"] for lines in (ours, theirs[0]))))
    return rows


def kernels(programs):
    """What computes on the CPU."""
    output = run(programs / "math_benchmark", "--benchmark_filter=^matmul_batch", "--benchmark_min_time=0.001",
                 "--benchmark_format=json", threads=1, stderr=subprocess.DEVNULL)
    return json.loads(output)["context"]["kernels"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2, help="how long each op is measured in a round")
    parser.add_argument("--only", default="", help="which rows")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["plain"], help="whose best training steps")
    arguments = parser.parse_args()
    programs = arguments.build / "tests/benchmarks"
    times = {}  # of (row, threads): of each round miniparallel's and PyTorch's
    for threads in arguments.threads:
        for _ in range(arguments.rounds):
            for family in FAMILIES:
                for op, *both in ops(programs, family, arguments, threads):
                    times.setdefault((op, threads), []).append(both)
            for workload, *both in steps(programs, arguments, threads):
                times.setdefault((workload, threads), []).append(both)
    import torch  # only now: its threads are not there while others are measured
    print(f"miniparallel: {kernels(programs)}")
    print(f"PyTorch {torch.__version__}: {torch.backends.cpu.get_cpu_capability()}")
    print(f"medians of {arguments.rounds} rounds\n\n| | threads | ms | PyTorch ms | ratio |\n|---|---|---|---|---|")
    for (row, threads), rounds in times.items():
        ours, theirs = (statistics.median(both[i] for both in rounds) for i in (0, 1))
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"| {row} | {threads} | {ours:.4g} | {theirs:.4g} | {ratio:.2f} |")


main()
