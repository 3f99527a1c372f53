"""What was tried to bring the mlp's step to 1.5 times the interpreter's speed: other storage, other tiles, other tasks.

The plan is text: each try is an edit of it (or of the model), timed in turns with the plan as the compiler makes it."""
import json
import os
import re
import common

ROUNDS = 9


def edited(bench, plan, name, pattern, by):
    text, count = re.subn(pattern, by, plan)
    text = re.sub(r"(arena \d+ of live \d+ local) \d+", r"\1 65536", text)  # larger tasks hold more
    if count == 0:
        raise SystemExit(f"tries: nothing to edit for {name}")
    path = os.path.join(bench.work, name + ".plan")
    with open(path, "w") as file:
        file.write(text)
    return path


def turn(bench, model):
    return json.loads(bench.compiler("bench", model, "train", "N=64", "--threads", "1", "--repeat", "5", "--json"))


def run(bench):
    own = f"{bench.own}/mlp.nn"
    plan = bench.compiler(own, "--emit", "plan", "-o", "-")
    tile = r"(contract i:(?:N i_:128 \| i__:784|784 i_:128 \| i__:N) tile .*) \d+x\d+"
    tries = {"as it is compiled": own, "its weights in panels": f"{bench.own}/mlp_panels.nn"}
    for shape in ("14x2", "12x2", "8x3"):
        tries[f"tiles of {shape}"] = edited(bench, plan, "tile" + shape, tile, rf"\1 {shape}")
    tries["all 64 rows in one task"] = edited(bench, plan, "rows", r"(_contract tasks i:N)/\d+ \{", r"\1/64 {")
    for rows in (24, 98):
        tries[f"updates of {rows} rows a task"] = edited(bench, plan, f"update{rows}", r"(tasks i:784)/\d+", rf"\1/{rows}")
    taken = {name: [] for name in tries}
    for _ in range(ROUNDS):
        for name, model in tries.items():
            taken[name].append(turn(bench, model))
    peak = max(shown["peak_flops_per_second"] for rounds in taken.values() for shown in rounds)
    plain = [shown["entries"][0] for shown in taken["as it is compiled"]]
    interpreted = common.median([row["interpreted"]["median_seconds"] for row in plain])
    for name, rounds in taken.items():
        seconds = common.median([shown["entries"][0]["compiled"]["median_seconds"] for shown in rounds])
        yield common.Row(f"mlp 784-128-10, tried: {name}", "-",
                         f"{interpreted / seconds:.2f} times the interpreter, {1e6 * seconds:.0f} us, "
                         f"{common.percent(plain[0]['flops'] / seconds / peak)} of the peak", True)
