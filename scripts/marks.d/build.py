"""nnc from nothing: configured and built on two cores."""
import os
import shutil
import common


def run(bench):
    folder = os.path.join(bench.folder, "anew")
    shutil.rmtree(folder, ignore_errors=True)

    def build():
        bench.run("cmake", "-S", bench.tree, "-B", folder, "-DCMAKE_BUILD_TYPE=Release")
        bench.run("cmake", "--build", folder, "--target", "nnc", "-j2")
    _, seconds, spent = common.timed(build)
    shutil.rmtree(folder)
    yield common.Row("build of nnc itself, 2 jobs", "< 60 s", f"{seconds:.0f} s, {spent:.0f} s of processors", seconds < 60)
