"""The strided net on the UCI digits: accuracy of five seeds, by the recipe in the head of models/digits.nn."""
import common


def run(bench):
    accuracy, seconds = [], []
    for seed in range(5):
        output, passed, _ = common.timed(lambda: bench.compiler("train", *bench.recipe("digits"), "--seed", str(seed)))
        accuracy.append(common.tested(output)["acc"])
        seconds.append(passed)
    average = common.mean(accuracy)
    each = ", ".join(f"{100 * value:.2f}" for value in accuracy)
    yield common.Row("digits: mean test accuracy of seeds 0 to 4", ">= 98%", f"{100 * average:.2f}% ({each})", average >= 0.98)
    yield common.Row("digits: a run", "< 30 s", f"{max(seconds):.1f} s at most", max(seconds) < 30)
