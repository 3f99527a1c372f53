"""Memory plans: the arena beside what lives at once, and beside all buffers."""
import common


def run(bench):
    worst, where, count = 0, "", 0
    for name in common.PROGRAMS:
        shown = bench.show(f"{bench.tree}/tests/programs/{name}.nn")
        for entry in shown["entries"]:
            count += 1
            ratio = entry["arena_bytes"] / entry["live_bytes"] if entry["live_bytes"] else 1
            if ratio > worst:
                worst, where = ratio, f"{name}'s {entry['name']}"
            if (name, entry["name"]) == ("resnet18", "train"):
                share = entry["arena_bytes"] / entry["buffer_bytes"]
    yield common.Row(f"arena over the largest sum of live bytes, {count} entries of the six programs", "<= 1.15",
                     f"{worst:.4f} at most ({where})", worst <= 1.15)
    yield common.Row("arena of resnet18's step over the sum of its buffers", "<= 0.5", f"{share:.3f}", share <= 0.5)
