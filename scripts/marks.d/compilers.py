"""gcc and clang: nnc and its tests build without a warning."""
import os
import common


def run(bench):
    for name, compiler in (("gcc", "gcc"), ("clang", "clang-19")):
        folder = os.path.join(bench.folder, name)
        found = bench.run("bash", "-c", f"command -v {compiler} || true").strip()
        if not found:
            yield common.Row(f"{name}: -Wall -Wextra -Werror", "clean", f"there is no {compiler} here", False)
            continue
        bench.run("cmake", "-G", "Ninja", "-S", bench.tree, "-B", folder, f"-DCMAKE_C_COMPILER={compiler}",
                  "-DCMAKE_BUILD_TYPE=Release", "-DNNC_WERROR=ON")
        output = bench.run("ninja", "-C", folder, "-j2", "-k", "0", "all", "unit_tests", codes=(0, 1))
        wrong = output.count("error:") + output.count("warning:")
        good = not wrong and "FAILED:" not in output
        yield common.Row(f"{name}: nnc and all tests, -Wall -Wextra -Werror", "clean", "clean" if good else f"{wrong} warnings",
                         good)
