"""Launches of a training step."""
import json
import common


def launches(bench, model, entry, *flags):
    shown = json.loads(bench.compiler("show", model, "--json", *flags))
    kernels = next(item["kernels"] for item in shown["entries"] if item["name"] == entry)
    return max(kernel["launch"] for kernel in kernels) + 1


def run(bench):
    for what, model, most in (("mlp 784-128-10", f"{bench.own}/mlp.nn", 8), ("models/mlp.nn", bench.model("mlp"), 8),
                              ("lenet", bench.model("lenet"), 20)):
        count, plain = launches(bench, model, "train"), launches(bench, model, "train", "--no-fuse")
        yield common.Row(f"{what}: launches of a training step", f"<= {most}, more with --no-fuse",
                         f"{count}, {plain} with --no-fuse", count <= most and plain > count)
