"""What was tried where a mark is missed: to bring the mlp's step to 1.5 times the interpreter's speed, and some nets of
models/bench to their shares of the peak. Other storage, other tiles, other tasks.

The plan is text: each try is an edit of it (or of the model), timed in turns with the plan as the compiler makes it."""
import json
import os
import re
import common

ROUNDS, NET_ROUNDS = 9, 5

GATES = r"(kernel infer_\d+_contract tasks) i:N/\d+ \{\n(    contract i:N i_:16 i__:64 \| i___:256 tile .*) \d+x\d+ \{"
TAPS = r"tasks i:3/3 i_:3/3 (i__:64)/\d+ (i___:64/64 \{\n    contract .*) \d+x\d+ piece \d+ \{"
# a net, its entry, N, and edits of the plan: what they are, the pattern, what takes its place
NETS = [
    ("models/bench/lstm.nn", "infer", 32, [
        ("gates in tasks of 16 rows", GATES, r"\1 i:N/16 {\n\2 6x4 {"),
        ("gates in tasks of all rows", GATES, r"\1 i:N/64 {\n\2 4x4 {"),
        ("gates in tasks of all rows and 64 columns", GATES, r"\1 i:N/64 i_:16/1 i__:64/64 {\n\2 6x4 {"),
        ("the same in tiles of 14x2", GATES, r"\1 i:N/64 i_:16/1 i__:64/64 {\n\2 14x2 {")]),
    ("models/bench/convbn.nn", "train", 32, [
        ("a kernel's gradient in tasks of single taps", TAPS, r"tasks i:3/1 i_:3/2 \1/64 \2 6x4 piece 512 {"),
        ("8 channels of all taps", TAPS, r"tasks i:3/3 i_:3/3 \1/8 \2 4x4 piece 512 {"),
        ("14 channels in tiles of 7x3", TAPS, r"tasks i:3/3 i_:3/3 \1/14 \2 7x3 piece 512 {"),
        ("in pieces of 128", TAPS, r"tasks i:3/3 i_:3/3 \1/12 \2 6x4 piece 128 {")]),
]


def edited(bench, plan, name, pattern, by):
    text, count = re.subn(pattern, by, plan)
    text = re.sub(r"(arena \d+ of live \d+ local) \d+", r"\1 1048576", text)  # larger tasks hold more
    if count == 0:
        raise SystemExit(f"tries: nothing to edit for {name}")
    path = os.path.join(bench.work, name + ".plan")
    with open(path, "w") as file:
        file.write(text)
    return path


def turn(bench, model, entry="train", N=64, repeat=5):
    return json.loads(bench.compiler("bench", model, entry, f"N={N}", "--threads", "1", "--repeat", str(repeat), "--json"))


def try_net(bench, model, entry, N, edits):
    own, name = os.path.join(bench.root, model), os.path.basename(model)[:-len(".nn")]
    plan = bench.compiler(own, "--emit", "plan", "-o", "-")
    flops = turn(bench, own, entry, N, 1)["entries"][0]["flops"]
    tries = {"as it is compiled": edited(bench, plan, f"{name}-plain", "^", "")}
    for k, (what, pattern, by) in enumerate(edits):
        tries[what] = edited(bench, plan, f"{name}-{k}", pattern, by)
    taken = {what: [] for what in tries}
    for _ in range(NET_ROUNDS):
        for what, path in tries.items():
            taken[what].append(turn(bench, path, entry, N, 2))
    for what, rounds in taken.items():
        shares = [flops / shown["entries"][0]["compiled"]["median_seconds"] / shown["peak_flops_per_second"] for shown in rounds]
        fastest = min(shown["entries"][0]["compiled"]["fastest_seconds"] for shown in rounds)
        yield common.Row(f"{name} {entry} N={N}, tried: {what}", "-",
                         f"{common.percent(common.median(shares))} of the peak, {1e3 * fastest:.1f} ms at best", True)


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
    for net in NETS:
        yield from try_net(bench, *net)
