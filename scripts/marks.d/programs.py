"""The six programs: compiled code agrees with the interpreter, counts of parameters."""
import re
import common

COUNTS = {"lenet": (61706, None), "resnet18": (11689512, 62)}


def run(bench):
    for name in common.PROGRAMS:
        model = f"{bench.tree}/tests/programs/{name}.nn"
        words = ["N=2"] if name == "resnet18" else []
        output = bench.compiler("diff", model, *words, codes=(0, 1))
        rows = re.findall(r"differs by (\S+)\s+bound (\S+) .*? (ok|BEYOND)", output)
        worst = max(float(off) / float(bound) if float(bound) else float(off) for off, bound, _ in rows)
        good = bool(rows) and all(state == "ok" for _, _, state in rows)
        yield common.Row(f"{name}: compiled against interpreted, every entry", "within the bounds of f64",
                         f"{len(rows)} tensors, {percent_of(worst)} of the bound at most", good)
    for name, (parameters, tensors) in COUNTS.items():
        shown = bench.show(f"{bench.tree}/tests/programs/{name}.nn")
        figure = f"{shown['parameters']:,} parameters"
        wanted = f"{parameters:,} parameters"
        if tensors:
            figure += f", {shown['trainable_tensors']} tensors"
            wanted += f", {tensors} tensors"
        yield common.Row(f"{name}: parameters", wanted, figure, figure == wanted)


def percent_of(share):
    return f"{100 * share:.0f}%" if share < 100 else "far more than 100%"
