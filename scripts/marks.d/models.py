"""Models on real data: the perceptron's worked numbers, linear regression against least squares, softmax and mlp."""
import csv
import gzip
import os
import common

EXAMPLES = [([-1, 1, -2, 0], -1), ([-1, 0, 1.5, -0.5], -1), ([-1, -1, 1, 0.5], 1)]
WORKED = [[0.7, 0.8, -0.6, 0], [0.7, 0.8, -0.6, 0], [0.5, 0.6, -0.4, 0.1]]


def perceptron(bench):
    """Presents the examples in turn, each a process of its own with the state in a file; gives passes and weights."""
    state = os.path.join(bench.work, "perceptron.safetensors")
    bench.compiler("run", bench.model("perceptron"), "--save", state)
    history = []
    for passes in range(1, 11):
        wrong = 0
        for x, d in EXAMPLES:
            output = bench.compiler("run", bench.model("perceptron"), "learn", f"x={x}", f"d={d}", "--state", state, "--save",
                                    state)
            wrong += float(output.split("=")[1]) != d
            history.append(common.read_safetensors(state)["w"])
        if not wrong:
            return passes, history
    return 0, history


def near(a, b, most=1e-6):
    return all(abs(x - y) <= most for x, y in zip(a, b))


def solve(rows, right):
    """Gauss with pivots: small and dense."""
    n = len(rows)
    table = [list(row) + [value] for row, value in zip(rows, right)]
    for k in range(n):
        pivot = max(range(k, n), key=lambda r: abs(table[r][k]))
        table[k], table[pivot] = table[pivot], table[k]
        for r in range(n):
            if r != k:
                factor = table[r][k] / table[k][k]
                table[r] = [a - factor * b for a, b in zip(table[r], table[k])]
    return [table[k][n] / table[k][k] for k in range(n)]


def least_squares(path):
    """Weights and then the bias, on columns of mean 0 and deviation 1."""
    with gzip.open(path, "rt") as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    columns = list(zip(*rows))
    inputs = []
    for column in columns[:-1]:
        middle = common.mean(column)
        deviation = common.mean([(x - middle) ** 2 for x in column]) ** 0.5
        inputs.append([(x - middle) / deviation for x in column])
    inputs.append([1.0] * len(rows))
    normal = [[sum(a * b for a, b in zip(one, other)) for other in inputs] for one in inputs]
    return solve(normal, [sum(a * b for a, b in zip(one, columns[-1])) for one in inputs])


def run(bench):
    passes, history = perceptron(bench)
    good = (passes == 5 and all(near(w, worked) for w, worked in zip(history, WORKED)) and
            near(history[-1], [0.3, -0.2, 0.3, 0.5]))
    weights = ", ".join(f"{value:.4g}" for value in history[-1])
    yield common.Row("perceptron: the worked example", "pass 5, w = (0.3, -0.2, 0.3, 0.5)", f"pass {passes}, w = ({weights})",
                     good)
    saved = os.path.join(bench.work, "linreg.safetensors")
    recipe = bench.recipe("linreg")
    bench.compiler("train", *recipe, "--save", saved)
    tensors = common.read_safetensors(saved)
    wanted = least_squares(recipe[1])
    off = max(abs(a - b) for a, b in zip(tensors["f.w"] + tensors["f.b"], wanted))
    yield common.Row("linreg: weights beside the least-squares solution", "within 1e-3", f"{off:.1e}", off <= 1e-3)
    bench.data("mnist")
    for name, least in (("softmax", 0.915), ("mlp", 0.975)):
        output, passed, _ = common.timed(lambda: bench.compiler("train", *bench.recipe(name)))
        accuracy = common.tested(output)["acc"]
        yield common.Row(f"{name}: test accuracy on MNIST", f">= {100 * least:g}%", f"{100 * accuracy:.2f}%, {passed:.0f} s",
                         accuracy >= least)
