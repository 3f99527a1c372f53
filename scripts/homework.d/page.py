"""What is trained for docs/homework.md, and its text. Every figure in it comes from a run."""
import textwrap

MODELS = {"linear": "linear regression", "softmax": "softmax regression", "mlp": "MLP", "cnn": "CNN"}
OPTIMIZERS = [("momentum", v) for v in (0.01, 0.03)] + [("adagrad", v) for v in (0.01, 0.03)] + \
             [("rmsprop", v) for v in (3e-4, 1e-3)] + [("adam", v) for v in (3e-4, 1e-3, 3e-3, 1e-2)]


def train_all(homework, Run):
    """The runs of each search by its name, and the settings that were chosen by model."""
    runs, chosen = {}, {}

    def search(name, base, changes):
        runs[name], best = homework.sweep(base, changes)
        return best

    chosen["linear"] = search("linear", Run("linear"), [dict(lr=v) for v in (0.003, 0.01, 0.03, 0.1)])
    chosen["softmax"] = search("softmax", Run("softmax"), [dict(lr=v) for v in (0.001, 0.01, 0.1, 1.0)])

    # The MLP: one setting after another, each from the best so far.
    mlp = search("lr", Run("mlp", dict(hidden=[128])), [dict(lr=v) for v in (0.01, 0.03, 0.1, 0.3, 1.0)])
    mlp = search("batch", mlp, [dict(batch=v) for v in (16, 64, 256, 1024)])
    mlp = search("optimizer", mlp, [{}] + [dict(optimizer=name, lr=v) for name, v in OPTIMIZERS])
    cosine = f"cosine({mlp.scalars['lr']})"
    mlp = search("schedule", mlp, [{}, dict(lr=cosine), dict(epochs=16), dict(epochs=16, lr=cosine)])
    mlp = search("hidden", mlp, [dict(hidden=v) for v in ([8], [32], [128], [256], [512], [256, 128])])
    mlp = search("dropout", mlp, [{}, dict(dropped=0.2), dict(dropped=0.4)])
    chosen["mlp"] = search("decay", mlp, [{}, dict(decay=1e-4), dict(decay=1e-3)])

    # Under- and overfitting, of the MLP with adam at a fixed rate.
    whole = Run("mlp", dict(hidden=[256], optimizer="adam"), epochs=16, lr=1e-3)
    few = whole.but(rows=1000, epochs=100)
    search("under", whole, [dict(hidden=[2]), dict(hidden=[8]), {}])
    search("rows", few, [{}, dict(rows=3000), dict(rows=9000)])
    search("cure", few, [{}, dict(dropped=0.5), dict(decay=0.01)])

    cnn = search("cnn lr", Run("cnn", epochs=5), [dict(lr=f"cosine({v})") for v in ("2e-3", "4e-3", "8e-3")])
    cnn = search("cnn dropout", cnn, [{}, dict(dropped=0.25)])
    cnn = search("cnn channels", cnn, [dict(channels=[8, 16]), {}])
    chosen["cnn"] = search("cnn epochs", cnn, [{}, dict(epochs=10)])
    return runs, chosen


# ---- pictures ----

def by(name):
    """A label of the setting in which the runs of a search differ: of a constant or an argument."""
    return lambda run: f"{name} {run.constants.get(name, run.scalars.get(name, getattr(run, name, 0)))}"


def by_sizes(run):
    return str(run.constants["hidden"])


def by_dropout(run):
    return f"dropout {run.constants.get('dropped', 0)}"


def by_cure(run):
    return "dropout 0.5" if "dropped" in run.constants else "decay 0.01" if "decay" in run.scalars else "neither"


def by_schedule(run):
    return f"{run.epochs} epochs, " + ("cosine" if "cosine" in str(run.scalars["lr"]) else "fixed rate")


def best_of_each(runs):
    """One run for each optimizer."""
    best = {}
    for run in runs:
        name = run.constants.get("optimizer", "sgd")
        if name not in best or run.accuracy() > best[name].accuracy():
            best[name] = run
    return list(best.values())


def draw(homework, runs, chosen, folder):
    def plot(name, labelled, columns, *flags):
        homework.plot(folder, name, [(label(run), run) for label, these in labelled for run in these], columns, *flags)

    plot("linear", [(lambda run: "least squares", [chosen["linear"]]), (by("lr"), runs["softmax"])], "acc")
    for name, label, columns in (("batch", by("batch"), "loss"), ("hidden", by_sizes, "loss"),
                                 ("schedule", by_schedule, "loss"), ("dropout", by_dropout, "loss"),
                                 ("under", by_sizes, "loss,acc"), ("cnn dropout", by_dropout, "loss")):
        plot(name.replace(" ", "-"), [(label, runs[name])], columns)
    plot("lr", [(by("lr"), runs["lr"][:4])], "loss")  # what guesses only would press the others together
    plot("rows", [(by("rows"), runs["rows"])], "loss,acc", "--linear")  # how the loss rises is the point
    plot("cure", [(by_cure, runs["cure"])], "loss,acc", "--linear")
    plot("optimizer", [(lambda run: run.constants.get("optimizer", "sgd"), best_of_each(runs["optimizer"]))], "loss")
    plot("models", [(lambda run: MODELS[run.model], list(chosen.values()))], "acc")


# ---- the text ----

def percent(value):
    return f"{100 * value:.1f}%"


def settings_of(run):
    told = [f"`{name} = {value}`" for name, value in run.constants.items()]
    told += [f"`{name}={value}`" for name, value in run.scalars.items()]
    return ", ".join(told + [f"batch {run.batch}", f"{run.epochs} epochs"])


def summary(homework, chosen, tests):
    lines = ["| model | parameters | chosen setting | validation | **test** |", "| --- | ---: | --- | ---: | ---: |"]
    for name, run in chosen.items():
        lines.append(f"| {MODELS[name]} | {homework.parameters(run):,} | {settings_of(run)} | {percent(run.accuracy())} | "
                     f"**{percent(tests[name]['acc'])}** |")
    return "\n".join(lines)


SEARCHES = {"linear": "rate", "softmax": "rate", "lr": "rate", "batch": "batch", "optimizer": "optimizer",
            "schedule": "schedule", "hidden": "hidden sizes", "dropout": "dropout", "decay": "weight decay",
            "under": "underfitting", "rows": "overfitting", "cure": "overfitting", "cnn lr": "rate",
            "cnn dropout": "dropout", "cnn channels": "channels", "cnn epochs": "epochs"}


def table(runs):
    """All of them. Which one a search went on with is bold; those that show under- and overfitting chose nothing."""
    lines = ["| model | search | setting | rows | training loss | training acc | validation loss | validation acc |",
             "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, these in runs.items():
        best = None if name in ("under", "rows", "cure") else max(these, key=lambda run: run.accuracy())
        for run in these:
            rows = f"| {run.model} | {SEARCHES[name]} | {settings_of(run)} | {run.rows or 54000:,} |"
            if not run.log:
                lines.append(f"{rows} diverged | | | |")
                continue
            figures = [f"{run.last('loss'):.3f}", percent(run.last("acc")), f"{run.last('valid loss'):.3f}",
                       percent(run.accuracy())]
            figures[3] = f"**{figures[3]}**" if run is best else figures[3]
            lines.append(f"{rows} " + " | ".join(figures) + " |")
    return "\n".join(lines)


def lowest(run, name="valid loss"):
    """The least value and the epoch that had it."""
    values = [float(row[name]) for row in run.log or []]
    return (min(values), values.index(min(values)) + 1) if values else (float("nan"), 0)


def figures(runs, chosen, tests):
    """What the text says, by the name that stands for it in text.md."""
    accuracy = {name: run.accuracy() for name, run in chosen.items()}
    gaps = [100 * (accuracy[name] - tests[name]["acc"]) for name in tests]
    told = {"errors": percent((0.9 * 0.1 / 6000) ** 0.5), "errors_test": percent((0.9 * 0.1 / 10000) ** 0.5),
            "gap_least": f"{min(gaps):.1f}", "gap_most": f"{max(gaps):.1f}",
            "count": len({run.key for these in runs.values() for run in these})}
    for better, worse in (("softmax", "linear"), ("mlp", "softmax"), ("cnn", "mlp")):
        told["gain_" + better] = f"{100 * (accuracy[better] - accuracy[worse]):.1f}"
    told["gain_search"] = f"{100 * (accuracy['mlp'] - max(run.accuracy() for run in runs['lr'])):.1f}"
    for name, these in runs.items():
        key = name.replace(" ", "_")
        for k, run in enumerate(these):
            if not run.log:
                continue
            told |= {f"{key}{k}": percent(run.accuracy()), f"{key}{k}_train": percent(run.last("acc")),
                     f"{key}{k}_loss": f"{run.last('valid loss'):.2f}", f"{key}{k}_train_loss": f"{run.last('loss'):.2g}",
                     f"{key}{k}_least": f"{lowest(run)[0]:.2f}", f"{key}{k}_turn": lowest(run)[1]}
    for name in tests:
        told |= {f"{name}_test": percent(tests[name]["acc"]), f"{name}_valid": percent(chosen[name].accuracy())}
    for run in best_of_each(runs["optimizer"]):
        told["with_" + run.constants.get("optimizer", "sgd")] = percent(run.accuracy())
    return told


def filled(text, width=120):
    """Paragraphs in lines of that width; headings, tables, pictures and commands as they are."""
    parts = text.split("\n\n")
    return "\n\n".join(part if part[0] in "#|! " else textwrap.fill(part, width, break_long_words=False,
                                                                   break_on_hyphens=False) for part in parts)


def make(homework, Run, pictures):
    runs, chosen = train_all(homework, Run)
    tests = {name: homework.score(run) for name, run in chosen.items()}
    draw(homework, runs, chosen, pictures)
    with open(__file__.replace("page.py", "text.md")) as file:
        text = file.read()
    if homework.quick:  # too few runs for the figures of the text
        return summary(homework, chosen, tests) + "\n\n" + table(runs) + "\n"
    text = text.format(summary=summary(homework, chosen, tests), table=table(runs), **figures(runs, chosen, tests))
    return filled(text.strip()) + "\n"
