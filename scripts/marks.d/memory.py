"""Memory plans of all models: the arena beside what lives at once, that beside the program's order, and --mem."""
import glob
import os
import subprocess
import common

HALF_ROUNDS = 5


def entries_of(bench):
    paths = sorted(glob.glob(f"{bench.tree}/models/*.nn") + glob.glob(f"{bench.tree}/models/bench/*.nn") +
                   glob.glob(f"{bench.tree}/tests/programs/*.nn"))
    for path in paths:
        for entry in bench.show(path)["entries"]:
            yield os.path.relpath(path, bench.tree), entry


def ratio(entry, one, other):
    return entry[one] / entry[other] if entry[other] else 1


def half(bench):
    """ResNet-18's step in half of the scratch that it would take, 8 pictures, one thread, in turns."""
    model = os.path.join(bench.work, "resnet8.nn")
    with open(f"{bench.tree}/tests/programs/resnet18.nn") as source, open(model, "w") as file:
        file.write(common.with_bound(source.read(), 8))
    scratch = next(entry["scratch_bytes"] for entry in bench.show(model)["entries"] if entry["name"] == "train")
    models = {"free": bench.shared(model, "free"), "half": bench.shared(model, "half", "-q", "--mem", str(scratch // 2))}
    program, times = bench.calls(), {name: [] for name in models}
    for _ in range(HALF_ROUNDS):
        for name, shared in models.items():
            times[name].append(float(bench.run(program, shared, "train", "8", "1", "3").split()[0]))
    free, bounded = common.median(times["free"]), common.median(times["half"])
    return scratch, bounded / free, min(times["half"]) / min(times["free"])


def run(bench):
    rows = list(entries_of(bench))
    name, worst = max(rows, key=lambda row: ratio(row[1], "arena_bytes", "live_bytes"))
    figure = ratio(worst, "arena_bytes", "live_bytes")
    yield common.Row(f"arena over the largest sum of live bytes, {len(rows)} entries of all models", "<= 1.02",
                     f"{figure:.4f} at most ({name}: {worst['name']})", figure <= 1.02)
    name, worst = max(rows, key=lambda row: ratio(row[1]["worst"], "arena_bytes", "live_bytes"))
    sizes = " ".join(f"{dim}={size:.0f}" for dim, size in worst["worst"]["dims"].items())
    yield common.Row("the same where dims are half of their bounds, a quarter and so on, together or one alone", "-",
                     f"{ratio(worst['worst'], 'arena_bytes', 'live_bytes'):.4f} at most ({name}: {worst['name']}, {sizes})", True)
    above = [row for row in rows if row[1]["live_bytes"] > row[1]["one_by_one_bytes"]]
    name, worst = max(rows, key=lambda row: ratio(row[1], "live_bytes", "one_by_one_bytes"))
    yield common.Row("the largest sum of live bytes beside that of the program's order", "never above",
                     f"above in {len(above)} of {len(rows)}, {ratio(worst, 'live_bytes', 'one_by_one_bytes'):.4f} at most "
                     f"({name}: {worst['name']})", not above)
    train = next(entry for name, entry in rows if name == "tests/programs/resnet18.nn" and entry["name"] == "train")
    share = train["arena_bytes"] / train["buffer_bytes"]
    yield common.Row("arena of resnet18's step over the sum of its buffers", "<= 0.5", f"{share:.3f}", share <= 0.5)
    name, wanted = "resnet18's step, 8 pictures, --mem at half the free scratch, one thread", "fits, <= 15% more time"
    try:
        scratch, slower, fastest = half(bench)
    except subprocess.CalledProcessError as refused:
        yield common.Row(name, wanted, refused.stderr.strip().split("error: ")[-1], False)
        return
    yield common.Row(name, wanted, f"fits in {scratch // 2:,} bytes, {100 * (slower - 1):+.1f}% ({100 * (fastest - 1):+.1f}%)",
                     slower <= 1.15)
