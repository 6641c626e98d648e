#!/usr/bin/env python3
"""What other programs on every core cost a training step, by one thread and by several.

  busy_machine.py build/cpu/tests/benchmarks/training_steps [WORKLOAD]

A step by all threads should take at most 1.5 times as long as one by a single thread."""
import json
import os
import statistics
import subprocess
import sys

program, workload = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "W1"
cores = len(os.sched_getaffinity(0))


def steps(threads):
    """Milliseconds by batch size."""
    output = subprocess.run([program, "--seconds", "0.5", workload], env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                            check=True, capture_output=True, text=True).stdout
    return {row["batch"]: row["median_ms"] for row in map(json.loads, output.splitlines())}


def table(title):
    runs = [(steps(1), steps(cores)) for _ in range(5)]
    for batch in runs[0][0]:
        one, all_cores = (statistics.median(run[i][batch] for run in runs) for i in (0, 1))
        print(f"{title}, batch {batch}: {one:.2f} ms by 1 thread, {all_cores:.2f} by {cores}, ratio {all_cores / one:.2f}")


table("quiet")
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
try:
    table("busy")
finally:
    for other in others:
        other.kill()
