"""Inference of the mlp of 512 columns at every N from 8 to 256: what the worst loses against the best."""
import os
import common

ROUNDS = 3
SECONDS = "0.04"  # of calls, each time
ROW_FLOPS = 2 * (784 * 512 + 512 * 512 + 512 * 10)


def run(bench):
    program, model = bench.calls(), os.path.join(bench.work, "mlp512.nn")
    with open(f"{bench.tree}/models/bench/mlp512.nn") as source, open(model, "w") as file:
        file.write(common.with_bound(source.read(), 256))
    shared, sizes = bench.shared(model, "mlp512"), range(8, 257)
    medians, fastest = ({rows: [] for rows in sizes} for _ in range(2))
    for _ in range(ROUNDS):
        for rows in sizes:
            median, least, _ = bench.run(program, shared, "infer", str(rows), "1", SECONDS).split()
            medians[rows].append(float(median))
            fastest[rows].append(float(least))
    rate = {rows: ROW_FLOPS * rows / common.median(medians[rows]) for rows in sizes}
    peak = {rows: ROW_FLOPS * rows / min(fastest[rows]) for rows in sizes}
    for low, least in ((8, 0.75), (14, 0.85)):
        wanted = [rows for rows in sizes if rows >= low]
        worst, best = min(wanted, key=rate.get), max(wanted, key=rate.get)
        ratio = rate[worst] / rate[best]
        quick = min(peak[rows] for rows in wanted) / max(peak[rows] for rows in wanted)
        yield common.Row(f"mlp512's inference, every N from {low} to 256, one thread: worst GFLOP/s over best", f">= {least}",
                         f"{ratio:.2f} ({quick:.2f}); {1e-9 * rate[worst]:.0f} at N={worst}, {1e-9 * rate[best]:.0f} at "
                         f"N={best}", ratio >= least)
