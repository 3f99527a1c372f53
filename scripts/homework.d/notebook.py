"""The cells of docs/homework.ipynb; scripts/homework runs them."""
# %% [markdown]
# # The homework, from Python
#
# The same as [homework.md](homework.md), with the loop over epochs and batches written here: each model of
# `models/homework` is compiled by nnc, and its `train` and `test` are called as functions on NumPy arrays
# ([python.md](python.md)). `scripts/homework` ran this notebook, in the repository's root.
#
# A search over settings reads 20,000 of the pictures for training, to be quick; the settings that win are then trained on
# all but 6,000 of them, which are the validation part. The part for tests is met in the last section, once.

# %%
import csv
import os
import struct
import subprocess
import tempfile
import zlib

import numpy as np
from IPython.display import SVG, Image, Markdown, display

import nnc

folder = os.environ.get("DATA", "models/data/fashion")
quick = "QUICK" in os.environ  # a few rows and one epoch: does everything still run?
classes = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]


def idx(name, head):
    with open(os.path.join(folder, name), "rb") as file:
        return np.frombuffer(file.read(), np.uint8, offset=head)


def part(name):
    x = idx(f"{name}-images-idx3-ubyte", 16).reshape(-1, 28, 28).astype(np.float32) / 255
    return x, idx(f"{name}-labels-idx1-ubyte", 8).astype(np.int32)


x, y = part("train")
order = np.random.default_rng(0).permutation(len(x))
valid, rest = order[: len(x) // 10], order[len(x) // 10 :]
some = rest[:500] if quick else rest[:20000]
print(len(rest), "pictures to train on,", len(some), "of them for the search;", len(valid), "for validation")


# %% [markdown]
# Ten pictures of each class, one class a row.

# %%
def png(rows, zoom=1):
    """Gray pictures, given as a table of equally large ones, values from 0 to 1."""
    sheet = np.kron(np.concatenate([np.concatenate(list(row), axis=1) for row in rows]), np.ones((zoom, zoom)))
    bytes_ = (255 * np.clip(sheet, 0, 1)).astype(np.uint8)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", bytes_.shape[1], bytes_.shape[0], 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in bytes_)
    return Image(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))


display(png([1 - x[rest[y[rest] == label][:10]] for label in range(10)]))


# %% [markdown]
# ## Training
#
# One function trains and measures, one draws. A rate that grows too large ends in numbers that are none: such a run stops.
# In the curves, what is solid was measured on the validation part after each epoch; dashed is the mean over the epoch's
# batches as they were trained on.

# %%
def fit(name, constants="", rows=some, epochs=4, batch=64, cosine=False, threads=1, **scalars):
    flags = ["--set", constants] if constants else []
    model = nnc.Model(f"models/homework/{name}.nn", seed=0, threads=threads, flags=flags)
    shape = (-1, 1, 28, 28) if name == "cnn" else (-1, 28, 28)
    generator, lr, history = np.random.default_rng(1), scalars.pop("lr"), []
    epochs = 1 if quick else epochs
    steps, step = epochs * -(-len(rows) // batch), 0
    for epoch in range(1, epochs + 1):
        order, sums = generator.permutation(rows), np.zeros(2)
        for k in range(0, len(order), batch):
            now = order[k : k + batch]
            rate = lr * 0.5 * (1 + np.cos(np.pi * step / steps)) if cosine else lr
            result = model.train(x[now].reshape(shape), y[now], lr=rate, **scalars)
            sums += len(now) * np.array(result)
            step += 1
        held = model.test(x[valid].reshape(shape), y[valid])
        history.append([epoch, *sums / len(rows), held.loss, held.acc])
        if not np.isfinite(history[-1]).all():
            break
    return model, history


def accuracy(run):
    """On the validation part, after the last epoch."""
    return run[1][-1][4] if np.isfinite(run[1][-1]).all() else 0.0


def curves(runs, columns="loss,acc"):
    with tempfile.TemporaryDirectory() as at:
        words = []
        for k, (label, (_, history)) in enumerate(runs.items()):
            if not np.isfinite(history).all():
                continue
            with open(os.path.join(at, f"{k}.csv"), "w", newline="") as file:
                csv.writer(file).writerows([["epoch", "loss", "acc", "valid loss", "valid acc"], *history])
            words.append(f"{label}={at}/{k}.csv")
        nnc_plot = [os.environ.get("NNC", "nnc"), "plot", *words, "--columns", columns, "-o", "-"]
        display(SVG(subprocess.run(nnc_plot, check=True, capture_output=True).stdout))


def search(runs):
    """Trains each of them, shows the table, and gives (what is best, all)."""
    runs = dict(list(runs.items())[:2]) if quick else runs
    done = {label: fit(*words, **named) for label, (words, named) in runs.items()}
    best = max(done, key=lambda label: accuracy(done[label]))
    lines = ["| | training | validation |", "| --- | --- | --- |"]
    for label, run in done.items():
        told = f"{run[1][-1][2]:.3f} | {accuracy(run):.3f}" if accuracy(run) else "diverged | "
        lines.append(f"| {'**' + label + '**' if label == best else label} | {told} |")
    display(Markdown("\n".join(lines)))
    return best, done


# %% [markdown]
# ## Linear and softmax
#
# Both are ten linear functions of the pixels; the first is drawn to 0 and 1 by least squares, the second by the cross
# entropy of its shares. Squares also punish an answer that is right by too much, which costs some points.

# %%
linear_rate, linear = search({f"lr {lr}": (["linear"], dict(lr=lr)) for lr in (0.01, 0.03, 0.3)})
softmax_rate, softmax = search({f"lr {lr}": (["softmax"], dict(lr=lr)) for lr in (0.01, 0.1, 0.3)})
curves({**{"linear": linear[linear_rate]}, **{f"softmax, {k}": v for k, v in softmax.items()}}, "acc")

# %% [markdown]
# What training added to the random weights of the softmax model, as a picture for each class: where it is dark, ink speaks
# for the class, where light against it: between a trouser's legs there must be none.

# %%
first = nnc.Model("models/homework/softmax.nn", seed=0).state["net.dense1.w"]
w = (softmax["lr 0.01"][0].state["net.dense1.w"] - first).T.reshape(10, 28, 28)
w = 0.5 - w / (2 * abs(w).max())
display(png([w[:5], w[5:]], zoom=3))


# %% [markdown]
# ## The MLP, one setting after another

# %%
def mlp(hidden="[128]", optimizer="sgd", dropped=0.0, **named):
    return ["mlp", f'hidden = {hidden}; optimizer = "{optimizer}"; dropped = {dropped}'], named


best, runs = search({f"lr {lr}": mlp(lr=lr) for lr in (0.01, 0.1, 0.5)})
curves(runs)
rate = float(best.split()[1])

# %%
best, runs = search({f"batch {batch}": mlp(lr=rate, batch=batch) for batch in (32, 128, 512)})
curves(runs, "loss")
batch = int(best.split()[1])

# %%
rates = {"sgd": rate, "momentum": rate / 5, "rmsprop": 1e-3, "adam": 1e-3}
best, runs = search({name: mlp(optimizer=name, lr=lr, batch=batch) for name, lr in rates.items()})
curves(runs, "loss")
settings = dict(optimizer=best, lr=rates[best], batch=batch)

# %%
hidden, runs = search({sizes: mlp(hidden=sizes, **settings) for sizes in ("[8]", "[32]", "[128]", "[256]", "[256, 128]")})
curves(runs)
settings["hidden"] = hidden

# %%
dropped, _ = search({f"dropped {p}": mlp(dropped=p, **settings, epochs=8) for p in (0.0, 0.2, 0.4)})
decay, _ = search({f"decay {d}": mlp(decay=d, **settings, epochs=8) for d in (0.0, 1e-5, 1e-4, 1e-3)})
settings["dropped"], settings["decay"] = float(dropped.split()[1]), float(decay.split()[1])
print(settings)

# %% [markdown]
# ## Too little and too much
#
# A hidden layer of two values cannot tell ten classes apart: both curves stay high, close together. A hidden layer of 256 on
# 1,000 pictures learns them by heart: its training loss goes to 0 while the validation loss turns and rises. Dropout holds
# it back somewhat; more pictures would help most.

# %%
adam = dict(optimizer="adam", lr=1e-3)
too = {
    "2 hidden, 20,000 rows": mlp(hidden="[2]", epochs=20, **adam),
    "256 hidden, 1,000 rows": mlp(hidden="[256]", rows=some[:1000], epochs=100, **adam),
    "the same, dropout": mlp(hidden="[256]", rows=some[:1000], epochs=100, dropped=0.5, **adam),
}
_, runs = search(too)
curves(runs)

# %% [markdown]
# ## The CNN
#
# It takes longest, so that the search in homework.md is not made again; this is the rate that won there, for 5 epochs.

# %%
everything = rest[:500] if quick else rest
cnn, history = fit("cnn", rows=everything, epochs=5, lr=4e-3, cosine=True, threads=os.cpu_count())
curves({"CNN": (cnn, history)})
print(f"validation accuracy {accuracy((cnn, history)):.3f}")

# %% [markdown]
# ## The part for tests
#
# What was chosen, trained on all pictures but the validation part; now the part for tests is read, and each model scored.

# %%
words, named = mlp(**settings, rows=everything, epochs=12, cosine=True)
chosen = {
    "linear": fit("linear", rows=everything, lr=float(linear_rate.split()[1]), epochs=8)[0],
    "softmax": fit("softmax", rows=everything, lr=float(softmax_rate.split()[1]), epochs=8)[0],
    "MLP": fit(*words, **named)[0],
    "CNN": cnn,
}
x_test, y_test = part("t10k")
lines = ["| | test accuracy |", "| --- | --- |"]
for name, model in chosen.items():
    pictures = x_test[:, None] if name == "CNN" else x_test
    answer = model.classify(pictures)
    label = answer if name == "linear" else answer.label
    lines.append(f"| {name} | {np.mean(label == y_test):.4f} |")
display(Markdown("\n".join(lines)))

# %% [markdown]
# What the CNN takes for what, of each class the share in percent (rows: what it is), and the mistakes that it is surest of.

# %%
table = np.zeros((10, 10))
np.add.at(table, (y_test, label), 1)
table = np.round(100 * table / table.sum(axis=1, keepdims=True)).astype(int)
lines = ["| | " + " | ".join(classes) + " |", "| --- " * 11 + "|"]
lines += [f"| {classes[k]} | " + " | ".join(str(v) if v else "" for v in table[k]) + " |" for k in range(10)]
display(Markdown("\n".join(lines)))

# %%
wrong = np.flatnonzero(label != y_test)
wrong = wrong[np.argsort(-answer.p[wrong].max(axis=1))][:10]
display(png([1 - x_test[wrong]], zoom=2))
print("; ".join(f"{classes[y_test[k]]} as {classes[label[k]]}" for k in wrong))
