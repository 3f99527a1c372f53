"""LeNet on MNIST: accuracy of three seeds after 5 epochs, by the recipe in the head of models/lenet.nn."""
import common


def run(bench):
    bench.data("mnist")
    accuracy, seconds = [], []
    for seed in range(3):
        words = ["train", *bench.recipe("lenet"), "--seed", str(seed)]
        assert words[words.index("--epochs") + 1] == "5"
        output, passed, _ = common.timed(lambda: bench.compiler(*words))
        accuracy.append(common.tested(output)["acc"])
        seconds.append(passed)
    average = common.mean(accuracy)
    each = ", ".join(f"{100 * value:.2f}" for value in accuracy)
    yield common.Row("MNIST: lenet, 5 epochs, mean test accuracy of seeds 0 to 2", ">= 98.8%",
                     f"{100 * average:.2f}% ({each}), {max(seconds):.0f} s a run at most", average >= 0.988)
