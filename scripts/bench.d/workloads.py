"""The rows of the comparison: the nets of the tables of marks, products of sizes that real nets have, vector math."""

PICTURES = {"mlp128": [784], "mlp512": [784], "cnn": [1, 28, 28], "lenet": [1, 28, 28], "convbn": [3, 32, 32],
            "resnet18": [3, 224, 224], "lstm": [100, 128], "tfm": [128, 256]}
CLASSES = {"resnet18": 1000, "lstm": 2}
QUICK = ("mlp128", "cnn", "lstm")

# net, rows, entry, what updates the weights
NETS = (
    ("mlp128", 1, "infer", None),
    ("mlp128", 64, "infer", None),
    ("mlp512", 128, "infer", None),
    ("cnn", 1, "infer", None),
    ("cnn", 64, "infer", None),
    ("lenet", 1, "classify", None),
    ("lenet", 64, "classify", None),
    ("resnet18", 1, "infer", None),
    ("resnet18", 16, "infer", None),
    ("lstm", 32, "infer", None),
    ("tfm", 8, "infer", None),
    ("mlp128", 64, "train", {"optimizer": "sgd", "lr": 0.05}),
    ("mlp128", 64, "train_adam", {"optimizer": "adam", "lr": 1e-3}),
    ("mlp512", 128, "train", {"optimizer": "sgd", "lr": 0.05}),
    ("mlp512", 128, "train_adam", {"optimizer": "adam", "lr": 1e-3}),
    ("cnn", 64, "train", {"optimizer": "sgd", "lr": 0.05}),
    ("lenet", 64, "train", {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9}),
    ("convbn", 32, "train", {"optimizer": "sgd", "lr": 0.05}),
    ("resnet18", 8, "train", {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "decay": 1e-4}),
    ("lstm", 32, "train", {"optimizer": "adam", "lr": 1e-3}),
    ("tfm", 8, "train", {"optimizer": "adam", "lr": 1e-3}),
)

# As models/bench/products.nn has them: n and t tell which of a and b is transposed; rows, columns, depth.
PRODUCTS = ("nn_1x128x784", "nn_32x128x784", "nn_64x512x784", "nn_128x512x512", "nn_512x512x512", "tn_512x512x128",
            "nt_128x512x512", "nn_32x1024x384", "nt_128x128x64", "nn_128x64x128", "nn_196x256x512", "tn_128x10x64")
FUNCTIONS = ("exp", "tanh", "erf", "log", "sin", "cos")
ELEMENTS = 65536


def net_rows():
    for net, rows, entry, update in NETS:
        kind = "train" if update else "infer"
        what = f"{update['optimizer']}{' with momentum' if update.get('momentum') else ''} step" if update else "inference"
        yield {"key": f"{net} {what} N={rows}", "group": net, "net": net, "N": rows, "entry": entry, "kind": kind,
               "model": f"models/{'' if net in ('lenet', 'resnet18') else 'bench/'}{net}.nn",
               "inputs": ["x", "y"] if update else ["x"], "softmax": net in ("lenet", "resnet18"),
               "result": [] if update else [rows, CLASSES.get(net, 10)], "momentum": 0, "decay": 0,
               "fast_conv": net == "resnet18" and not update, **(update or {})}


def product_rows():
    for entry in PRODUCTS:
        m, n, k = (int(size) for size in entry.split("_")[1].split("x"))
        yield {"key": f"product {entry}", "group": "products", "net": "products", "N": 0, "entry": entry, "kind": "product", "fast_conv": False,
               "model": "models/bench/products.nn", "inputs": ["a", "b"], "result": [m, n],
               "a": [k, m] if entry[0] == "t" else [m, k], "b": [n, k] if entry[1] == "t" else [k, n]}


def math_rows():
    for entry in FUNCTIONS:
        yield {"key": f"{entry} of {ELEMENTS} floats", "group": "math", "net": "math", "N": 0, "entry": entry, "kind": "math", "fast_conv": False,
               "model": "models/bench/math.nn", "inputs": ["x"], "result": [ELEMENTS]}


def rows():
    return [*net_rows(), *product_rows(), *math_rows()]


def arrays(row, random):
    """What goes in: the same for all contestants."""
    if row["kind"] == "product":
        return {name: random.standard_normal(row[name], "float32") for name in "ab"}
    if row["kind"] == "math":
        x = random.uniform(-8, 8, ELEMENTS).astype("float32")
        return {"x": abs(x) if row["entry"] == "log" else x}
    sizes = [row["N"], *PICTURES[row["net"]]]
    made = random.standard_normal(sizes, "float32") if len(sizes) == 3 else random.random(sizes, "float32")
    return {"x": made, "y": random.integers(0, CLASSES.get(row["net"], 10), row["N"]).astype("int32")}
