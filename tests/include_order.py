"""Checks who includes whom: python3 include_order.py ROOT.

The table in engine/README.md names the floors of engine/, the lowest first, and the public headers of each. A file
includes what belongs to its own floor or to a lower one. Nothing includes in a circle. FORBIDDEN has the other rules.
"""

import fnmatch
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)
SOURCES = {".h", ".cpp", ".cu", ".cuh"}
CUDA_HEADERS = re.compile(r"cuda|cublas|curand|cudnn|nccl|nv|thrust/|cub/")

# Files of a folder include nothing that its pattern matches.
FORBIDDEN = [
    ("include/", re.compile(r"(kernels|engine|parallel|tests|examples)/")),
    ("kernels/", re.compile(r"(engine|parallel|tests|examples)/")),
    ("kernels/cpu/", re.compile(r"kernels/cuda/")),
    ("kernels/cuda/", re.compile(r"kernels/cpu/")),
    ("engine/", re.compile(r"(parallel|tests|examples)/|miniparallel/parallel")),
    ("parallel/", re.compile(r"(tests|examples|(kernels|engine)/cuda)/")),
]


def floors_of(readme):
    """The rows of the table, lowest first: names in engine/, patterns of public headers."""
    floors = []
    for line in readme.read_text().splitlines():
        if line.startswith("| `"):
            cells = [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")]
            floors.append(([name.rstrip("/") for name in cells[0]], cells[-1]))
    return floors


class Tree:
    def __init__(self, root):
        self.root = root
        self.floors = floors_of(root / "engine/README.md")
        self.problems = []
        self.includes = {}
        for folder in ("include", "kernels", "engine", "parallel"):
            for path in sorted((root / folder).rglob("*")):
                if path.suffix in SOURCES:
                    found = [quoted or angled for quoted, angled in INCLUDE.findall(path.read_text())]
                    self.includes[path.relative_to(root).as_posix()] = found

    def complain(self, file, text):
        self.problems.append(f"{file}: {text}")

    def floor(self, file):
        """The number of the floor that a file of engine/ or a public header belongs to; None for others."""
        if file.startswith("engine/"):
            name, column = file.split("/")[1], 0
        elif file.startswith("include/miniparallel/"):
            name, column = file.removeprefix("include/miniparallel/"), 1
        else:
            return None
        for number, floor in enumerate(self.floors):
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in floor[column]):
                return number
        return None

    def included(self, file):
        """The files of this tree that a file includes."""
        for name in self.includes[file]:
            path = "include/" + name if name.startswith("miniparallel/") else name
            if path in self.includes:
                yield path

    def check_order(self):
        for file in self.includes:
            here = 0 if file.startswith("kernels/") else self.floor(file)
            if here is None:
                if file.startswith("engine/"):
                    self.complain(file, "belongs to no floor of the table in engine/README.md")
                continue
            for other in self.included(file):
                there = self.floor(other)
                if there is not None and there > here:
                    floors = [self.floors[number][0][0] for number in (here, there)]
                    self.complain(file, f"includes {other}, of {floors[1]}, which is above {floors[0]}")

    def check_table(self):
        for names, headers in self.floors:
            for name in names + headers:
                folder = self.root / ("engine" if name in names else "include/miniparallel")
                if not any(folder.glob(name)):
                    self.complain("engine/README.md", f"the table names {name}, which does not exist")

    def check_circles(self):
        """A file and the header of its name count as one."""
        edges = {}
        for file in self.includes:
            edges.setdefault(unit(file), set()).update(map(unit, self.included(file)))
        done, path = set(), []

        def visit(node):
            if node in path:
                circle = " -> ".join(path[path.index(node):] + [node])
                self.complain(node, f"includes in a circle: {circle}")
            elif node not in done:
                path.append(node)
                for other in sorted(edges.get(node, ())):
                    if other != node:
                        visit(other)
                path.pop()
                done.add(node)

        for node in sorted(edges):
            visit(node)

    def check_forbidden(self):
        for file, names in self.includes.items():
            for name in names:
                for folder, pattern in FORBIDDEN:
                    if file.startswith(folder) and pattern.match(name):
                        self.complain(file, f"includes {name}, which {folder} must not know")
                if CUDA_HEADERS.match(name) and not file.startswith(("kernels/cuda/", "engine/cuda/")):
                    self.complain(file, f"includes {name}; CUDA's headers stay in kernels/cuda and engine/cuda")


def unit(file):
    return file.rsplit(".", 1)[0]


def main():
    tree = Tree(pathlib.Path(sys.argv[1]))
    tree.check_table()
    tree.check_order()
    tree.check_circles()
    tree.check_forbidden()
    for problem in tree.problems:
        print(problem)
    print(f"{len(tree.includes)} files, {len(tree.floors)} floors, {len(tree.problems)} problems")
    return 1 if tree.problems else 0


if __name__ == "__main__":
    sys.exit(main())
