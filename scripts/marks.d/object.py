"""What a compiled object asks for and gives: names, and memory at run time."""
import os
import re
import subprocess
import common


def shipped(bench, linked):
    """What comes into a program with the object, and what else a shared object needs."""
    shared = bench.shared(f"{bench.own}/mlp.nn", "mlp_shipped")
    size = sum(int(word) for word in bench.run("size", linked).splitlines()[1].split()[:3])
    needed = re.findall(r"NEEDED.*\[(.*)\]", bench.run("readelf", "-d", shared))
    return common.Row("mlp.o: what it adds to a program, weights aside", "<= 32 KB, libc alone",
                      f"{size:,} bytes; as a shared object a file of {os.path.getsize(shared):,}, which needs {', '.join(needed)}",
                      size <= 32 << 10 and needed == ["libc.so.6"])


def run(bench):
    for what, model in (("mlp.o", f"{bench.own}/mlp.nn"), ("models/mlp.nn's", bench.model("mlp"))):
        out = os.path.join(bench.work, "mlp.o")
        bench.compiler(model, "-o", out)
        lines = [line.split() for line in bench.run("nm", "-g", out).splitlines()]
        undefined = sorted(words[-1] for words in lines if words[-2] == "U")
        defined = sorted(words[-1] for words in lines if words[-2] != "U")
        strange = [name for name in defined if not name.startswith("mlp_")]
        good = set(undefined) <= {"memcpy", "memset", "memmove"} and not strange and bool(defined)
        yield common.Row(f"{what}: names", "exports mlp_* alone; undefined among memcpy, memset, memmove",
                         f"exports {', '.join(defined)}; undefined: {', '.join(undefined) or 'none'}", good)
    out = os.path.join(bench.work, "mlp.o")
    bench.compiler(f"{bench.own}/mlp.nn", "-o", out)
    yield shipped(bench, out)
    program = os.path.join(bench.work, "allocations")
    bench.run("cc", "-std=c11", "-O1", "-Wall", "-Werror", "-I", bench.work, f"{bench.own}/allocations.c", out, "-o", program)
    done = subprocess.run([program], capture_output=True, text=True)
    yield common.Row("mlp: allocations in compiled entries", "0", done.stdout.strip() or f"ended with {done.returncode}",
                     done.returncode == 0)
