"""What ptxas said of each kernel, as a table. Fails on a spill, or when a kernel is missing for an architecture."""

import re
import sys

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
KERNEL = re.compile(r'extern "C" __global__ void __launch_bounds__\(THREADS[, 0-9]*\) (\w+)\(')


def read(lines):
    """(kernel, architecture) -> registers, shared bytes, stack bytes, spilled bytes."""
    table, entry, stack, spilled = {}, None, 0, 0
    for line in lines:
        if found := ENTRY.search(line):
            entry, stack, spilled = (found[1], int(found[2])), 0, 0
        elif found := SPILLS.search(line):
            stack, spilled = int(found[1]), int(found[2]) + int(found[3])
        elif (found := USED.search(line)) and entry:
            shared = SHARED.search(line)
            table[entry] = (int(found[1]), int(shared[1]) if shared else 0, stack, spilled)
            entry = None
    return table


def main():
    log, out, architectures, *sources = sys.argv[1:]
    with open(log, encoding="utf-8") as file:
        table = read(file)
    kernels = [name for source in sources for name in KERNEL.findall(open(source, encoding="utf-8").read())]
    if len(table) != len(kernels) * int(architectures) or {name for name, _ in table} != set(kernels):
        sys.exit(f"resources: {len(table)} entries of {len(kernels)} kernels on {architectures} architectures")
    rows = [
        "| kernel | architecture | registers of a thread | shared memory of a block, bytes | stack, bytes | spills, bytes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kernel in kernels:
        for (name, architecture), values in sorted(table.items()):
            if name == kernel:
                rows.append(f"| {kernel} | sm_{architecture} | " + " | ".join(map(str, values)) + " |")
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(rows) + "\n")
    spilling = [f"{name} on sm_{architecture}" for (name, architecture), values in table.items() if values[3]]
    if spilling:
        sys.exit("resources: registers are spilled by " + ", ".join(spilling))
    print(f"resources: {len(kernels)} kernels on {architectures} architectures, no spills; see {out}")


main()
