"""Compiling training steps for one kind of GPU, by NVRTC (scripts/cuda fetches it); no GPU is needed."""
import os
import re
import common

MARKS = (("mlp 784-128-10", "mlp", 1), ("resnet18", "resnet18", 6))
KIND, RUNS = "sm_90a", 5


def step_alone(path):
    """The model without its entries but `train`."""
    kept, inside = [], False
    for line in open(path):
        begins = re.match(r"(fn|step) (?!train\b)", line)
        if begins:
            inside = line.count("{") > line.count("}")
        if not begins and not inside:
            kept.append(line)
        if line.startswith("}"):
            inside = False
    return "".join(kept)


def run(bench):
    models = [f"{bench.own}/mlp.nn", f"{bench.tree}/tests/programs/resnet18.nn"]
    for model, (what, name, most) in zip(models, MARKS):
        path, out = os.path.join(bench.work, f"{name}_step.nn"), os.path.join(bench.work, "step.o")
        with open(path, "w") as file:
            file.write(step_alone(model))
        passed, spent = [], []
        for _ in range(RUNS):
            _, seconds, worked = common.timed(lambda: bench.compiler(path, "--target", "cuda", "--gpu", KIND, "-o", out))
            passed.append(seconds)
            spent.append(worked)
        figure = common.median(passed)
        yield common.Row(f"{what}: the training step compiled for {KIND}, median of {RUNS}", f"< {most} s",
                         f"{figure:.2f} s ({min(passed):.2f} s), {common.median(spent):.2f} s of processors", figure < most)
