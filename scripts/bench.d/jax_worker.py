"""JAX: jitted, pictures with channels last, the state donated; an LSTM's products with its inputs in front of the loop."""
import jax
import numpy
from jax import lax
from jax import numpy as jnp
import worker

VERSION = f"JAX {jax.__version__}"


def dense(w, name, x):
    return x @ w[name + ".w"] + w[name + ".b"]


def conv(w, name, x, stride=1, pad=0):
    y = lax.conv_general_dilated(x, w[name + ".w"], (stride, stride), [(pad, pad)] * 2,
                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + w[name + ".b"] if name + ".b" in w else y


def blocks(x, size):
    n, h, w, c = x.shape
    return x.reshape(n, h // size, size, w // size, size, c)


def maxpool(x):
    return blocks(x, 2).max((2, 4))


def avgpool(x):
    return blocks(x, 2).mean((2, 4))


def batchnorm(w, name, x, moved):
    """`moved`, where training, takes the new running statistics."""
    mean, variance = w[name + ".mu"], w[name + ".var"]
    if moved is not None:
        mean = x.mean((0, 1, 2))
        variance = ((x - mean) ** 2).mean((0, 1, 2))
        count = x.size // x.shape[-1]
        moved[name + ".mu"] = 0.9 * w[name + ".mu"] + 0.1 * mean
        moved[name + ".var"] = 0.9 * w[name + ".var"] + 0.1 * variance * (count / (count - 1))
    return (x - mean) * (lax.rsqrt(variance + 1e-5) * w[name + ".scale"]) + w[name + ".shift"]


def layernorm(w, name, x):
    off = x - x.mean(-1, keepdims=True)
    return off * lax.rsqrt((off * off).mean(-1, keepdims=True) + 1e-5) * w[name + ".scale"] + w[name + ".shift"]


def mlp128(w, x, moved):
    return dense(w, "net.dense2", jax.nn.relu(dense(w, "net.dense1", x)))


def mlp512(w, x, moved):
    x = jax.nn.relu(dense(w, "net.dense1", x))
    return dense(w, "net.dense3", jax.nn.relu(dense(w, "net.dense2", x)))


def cnn(w, x, moved):
    x = maxpool(jax.nn.relu(conv(w, "net.conv1", x, pad=1)))
    x = maxpool(jax.nn.relu(conv(w, "net.conv2", x, pad=1)))
    return dense(w, "net.dense2", jax.nn.relu(dense(w, "net.dense1", x.reshape(len(x), -1))))


def lenet(w, x, moved):
    x = avgpool(jnp.tanh(conv(w, "net.conv1", x, pad=2)))
    x = avgpool(jnp.tanh(conv(w, "net.conv2", x))).reshape(len(x), -1)
    return dense(w, "net.dense3", jnp.tanh(dense(w, "net.dense2", jnp.tanh(dense(w, "net.dense1", x)))))


def convbn(w, x, moved):
    def cbr(x, k):
        return jax.nn.relu(batchnorm(w, f"net.CBR{k}.batchnorm1", conv(w, f"net.CBR{k}.conv1", x, pad=1), moved))
    return dense(w, "net.dense1", cbr(maxpool(cbr(cbr(x, 1), 2)), 3).mean((1, 2)))


def resnet18(w, x, moved):
    def both(name, k, x, stride, pad):
        return batchnorm(w, f"{name}batchnorm{k}", conv(w, f"{name}conv{k}", x, stride, pad), moved)
    x = jax.nn.relu(both("body.", 1, x, 2, 3))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)])
    for k, stride in enumerate((1, 1, 2, 1, 2, 1, 2, 1)):
        name = f"body.Basic{k + 1}."
        y = both(name, 2, jax.nn.relu(both(name, 1, x, stride, 1)), 1, 1)
        x = jax.nn.relu(y + (both(name, 3, x, stride, 0) if stride != 1 else x))
    return dense(w, "head", x.mean((1, 2)))


def lstm(w, x, moved):
    weights, bias = w["net.lstm1.w"], w["net.lstm1.b"]
    before = (x @ weights[:128] + bias).transpose(1, 0, 2)

    def turn(carry, ahead):
        s, c = carry
        i, f, g, o = jnp.split(ahead + s @ weights[128:], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None
    zeros = jnp.zeros((len(x), 256))
    (s, _), _ = lax.scan(turn, (zeros, zeros), before)
    return dense(w, "net.dense1", s)


def tfm(w, x, moved):
    rows, time, width = x.shape
    for k in range(1, 5):
        def at(name):
            return f"net.Layer{k}.{name}"
        q, k_, v = (part.reshape(rows, time, 4, 64).transpose(0, 2, 1, 3)
                    for part in jnp.split(dense(w, at("dense1"), layernorm(w, at("layernorm1"), x)), 3, axis=-1))
        seen = jax.nn.softmax(q @ k_.transpose(0, 1, 3, 2) * 0.125) @ v
        x = x + dense(w, at("dense2"), seen.transpose(0, 2, 1, 3).reshape(rows, time, width))
        up = jax.nn.gelu(dense(w, at("dense3"), layernorm(w, at("layernorm2"), x)), approximate=False)
        x = x + dense(w, at("dense4"), up)
    return dense(w, "net.dense1", x.mean(1))


NETS = {f.__name__: f for f in (mlp128, mlp512, cnn, lenet, convbn, resnet18, lstm, tfm)}
FLAT = {"cnn": (32, 7, 7), "lenet": (16, 5, 5)}  # what the first dense layer flattens: its rows follow the channels


def own_form(net, weights):
    own = {}
    for name, values in weights.items():
        if values.ndim == 4:
            values = values.transpose(2, 3, 1, 0)
        if name == "net.dense1.w" and net in FLAT:
            values = values.reshape(*FLAT[net], -1).transpose(1, 2, 0, 3).reshape(values.shape)
        own[name] = jnp.asarray(values)
    return own


def canonical(net, own):
    weights = {}
    for name, values in own.items():
        values = numpy.asarray(values)
        if values.ndim == 4:
            values = values.transpose(3, 2, 0, 1)
        if name == "net.dense1.w" and net in FLAT:
            c, h, w = FLAT[net]
            values = values.reshape(h, w, c, -1).transpose(2, 0, 1, 3).reshape(values.shape)
        weights[name] = values
    return weights


def variants(row):
    return ["jit"] if row["kind"] in ("infer", "train") else []


def adam(row, p, g, m, v, t):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p - row["lr"] * (m / (1 - 0.9 ** t)) / (jnp.sqrt(v / (1 - 0.999 ** t)) + 1e-8), m, v


def training(row, net, weights, x, y):
    still = {name: values for name, values in weights.items() if name.endswith((".mu", ".var"))}
    moving = {name: values for name, values in weights.items() if name not in still}
    zeros = {name: jnp.zeros_like(values) for name, values in moving.items()}
    states = {"sgd": {}, "momentum": {"v": zeros}, "adam": {"m": zeros, "v": dict(zeros), "t": jnp.zeros(())}}
    kind = "momentum" if row["optimizer"] == "sgd" and row["momentum"] else row["optimizer"]

    def loss_of(moving, still):
        moved = {}
        logits = net({**moving, **still}, x, moved)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean(), moved

    def step(moving, still, state):
        (loss, still), gradients = jax.value_and_grad(loss_of, has_aux=True)(moving, still)
        new, after = {}, {name: {} if name != "t" else state["t"] + 1 for name in state}
        for name, p in moving.items():
            g = gradients[name] + (row["decay"] * p if row["decay"] else 0)
            if kind == "adam":
                new[name], after["m"][name], after["v"][name] = adam(row, p, g, state["m"][name], state["v"][name], after["t"])
            elif kind == "momentum":
                after["v"][name] = row["momentum"] * state["v"][name] + g
                new[name] = p - row["lr"] * after["v"][name]
            else:
                new[name] = p - row["lr"] * g
        return loss, new, still, after
    whole = jax.jit(step, donate_argnums=(0, 1, 2))
    now = jax.tree.map(jnp.array, (moving, still, states[kind]))
    held = {"loss": None, "now": jax.tree.map(lambda values: values.copy(), now)}

    def call():
        held["loss"], *held["now"] = whole(*held["now"])
        jax.block_until_ready(held)
    return call, lambda: {"result": numpy.asarray(held["loss"]),
                          **canonical(row["net"], {**held["now"][0], **held["now"][1]})}


def build(row, variant, data):
    net, weights = NETS[row["net"]], own_form(row["net"], data.weights)
    x = data.arrays["x"]
    x = jnp.asarray(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
    if row["kind"] == "train":
        return training(row, net, weights, x, jnp.asarray(data.arrays["y"]))
    held = {}

    def infer(weights, x):
        z = net(weights, x, None)
        return jax.nn.softmax(z) if row["softmax"] else z
    compiled = jax.jit(infer)

    def call():
        held["z"] = compiled(weights, x).block_until_ready()
    return call, lambda: {"result": numpy.asarray(held["z"])}


if __name__ == "__main__":
    import jax_worker
    worker.serve(jax_worker)
