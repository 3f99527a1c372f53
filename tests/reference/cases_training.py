"""Cases of make.py: losses, optimizers, learning rates, random numbers."""
import numpy as np
import torch
import torch.nn.functional as F
from make import group, numbers, random
from philox import Draws, initial_normals, initial_orthogonal, initial_uniforms


@group
def losses(g):
    r = random("losses")
    pairs = (("usual", r.grid(3, 4), r.grid(3, 4)), ("edges", np.array([[0.0, 100, -100, 1, 0]]), np.array([[0.0, -100, -100, 0, 1]])),
             ("edges_one", [[0.5]], [[-1.25]]))
    plain = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}
    for name, reference in plain.items():
        for kind, x, t in pairs:
            g.case("%s_%s" % (name, kind), name + "(x, t)", reference, batch=("x", "t"), x=x, t=t)
        g.case(name + "_usual_number", name + "(x, 1)", lambda x: reference(x, torch.ones_like(x)), x=r.grid(2, 3))
    g.case("huber_usual_delta", "huber(x, t, delta=0.5)", lambda x, t: F.huber_loss(x, t, delta=0.5), x=r.grid(6), t=r.grid(6))
    sides = np.where(r.grid(3, 4) > 0, 1.0, -1.0)
    hinge = lambda z, y: torch.relu(1 - z * y).mean()  # noqa: E731
    g.case("hinge_usual", "hinge(z, y)", hinge, by=("z",), batch=("z", "y"), z=r.grid(3, 4), y=sides)
    g.case("hinge_edges", "hinge(z, y)", hinge, by=("z",), z=np.array([1.0, -1, 0, 100, -100]), y=np.array([1.0, -1, 1, -1, 1]))
    g.case("hinge_edges_one", "hinge(z, 1)", lambda z: hinge(z, 1), z=[[0.5]])
    bce = F.binary_cross_entropy_with_logits
    g.case("bce_usual", "bce(z, t)", bce, batch=("z", "t"), z=r.grid(3, 4), t=np.abs(r.grid(3, 4, low=-1, high=1)))
    g.case("bce_usual_number", "bce(z, 1)", lambda z: bce(z, torch.ones_like(z)), z=r.grid(2, 3))
    g.case("bce_edges", "bce(z, t)", bce, z=np.array([0.0, 100, -100, 100, -100]), t=np.array([0.5, 1, 0, 0, 1]))
    g.case("bce_edges_one", "bce(z, 0)", lambda z: bce(z, torch.zeros_like(z)), z=[[0.25]])
    y = np.array([2, 0, 1, 2])
    outside = np.array([2, -1, 4, 1])
    z = r.grid(4, 3)
    left = lambda y: torch.where((y < 0) | (y > 2), -100, y)  # noqa: E731
    extreme = np.array([[100.0, 0, -100], [0, 0, 0], [-100, -100, 100], [100, 100, 100]])
    for name, reference, kinds in (("nll", F.nll_loss, 1), ("cross_entropy", F.cross_entropy, 2)):
        g.case(name + "_usual", name + "(z, y)", reference, batch=("z", "y"), z=z, y=y)
        g.case(name + "_usual_outside", name + "(z, y)", lambda z, y: reference(z, left(y)), z=z, y=outside)
        g.case(name + "_usual_axis", name + "(z, y, axis=1)", reference, batch=("z", "y"), z=r.grid(2, 3, 2, 2),
               y=np.array([[[0, 1], [2, 0]], [[1, 1], [0, 2]]]))
        g.case(name + "_usual_rows", name + "(z, y)", lambda z, y: reference(z.reshape(-1, 3), y.reshape(-1)), z=r.grid(2, 2, 3),
               y=y.reshape(2, 2))
        g.case(name + "_edges", name + "(z, y)", reference, z=extreme, y=np.array([0, 1, 0, 2]))
        g.case(name + "_edges_one", name + "(z, y)", reference, z=[[100.0]], y=np.array([0]))
        g.case(name + "_edges_none", name + "(z, y)", lambda z, y: z.sum() * 0, z=z, y=y * 0 - 1)
    p = np.array([[0.25, 0.25, 0.5], [1, 0, 0], [0, 0.5, 0.5], [0.125, 0.125, 0.75]])
    g.case("cross_entropy_usual_soft", "cross_entropy(z, p)", F.cross_entropy, batch=("z", "p"), z=z, p=p)
    g.case("cross_entropy_usual_soft_axis", "cross_entropy(z, p, axis=1)", F.cross_entropy, z=r.grid(2, 3, 2),
           p=np.stack([p[:2].T, p[2:].T]))
    g.case("cross_entropy_edges_soft", "cross_entropy(z, p)", F.cross_entropy, z=extreme, p=p)
    g.case("kl_usual", "kl(l, q)", F.kl_div, batch=("l", "q"), l=z, q=np.abs(r.grid(4, 3)))
    g.case("kl_edges", "kl(l, q)", F.kl_div, by=("l",), l=np.array([[0.0, -100, -1]]), q=np.array([[1.0, 0, 0]]))
    g.case("kl_edges_one", "kl(l, q)", F.kl_div, l=[[-0.5]], q=[[0.25]])

    def share(z, y, axis=-1):
        inside = (y >= 0) & (y < z.shape[axis])
        right = (z.argmax(axis) == y) & inside
        return right.double().sum() / inside.double().sum().clamp(min=1)

    g.case("accuracy_usual", "accuracy(z, y)", share, 0, batch=("z", "y"), z=z, y=y)
    g.case("accuracy_usual_outside", "accuracy(z, y)", share, 0, z=z, y=outside)
    g.case("accuracy_usual_axis", "accuracy(z, y, axis=1)", lambda z, y: share(z, y, 1), 0, z=r.grid(2, 3, 4),
           y=np.array([[0, 1, 2, 2], [1, 1, 0, 2]]))
    g.case("accuracy_edges", "accuracy(z, y)", lambda z, y: torch.tensor(0.75), 0, z=extreme, y=np.array([0, 0, 2, 1]))
    g.case("accuracy_edges_none", "accuracy(z, y)", share, 0, z=z, y=y * 0 + 3)


@group
def optimizers(g):
    calls, size = 50, 3
    O = torch.optim
    for entry, text, make in (
            ("sgd_usual", "sgd", lambda p: O.SGD(p)),
            ("sgd_usual_rate", "sgd(0.125)", lambda p: O.SGD(p, 0.125)),
            ("sgd_usual_decay", "sgd(0.125, decay=0.25)", lambda p: O.SGD(p, 0.125, weight_decay=0.25)),
            ("sgd_usual_momentum", "sgd(0.0625, momentum=0.5)", lambda p: O.SGD(p, 0.0625, momentum=0.5)),
            ("sgd_usual_nesterov", "sgd(0.0625, momentum=0.75, nesterov=true, decay=0.125)",
             lambda p: O.SGD(p, 0.0625, momentum=0.75, nesterov=True, weight_decay=0.125)),
            ("adagrad_usual", "adagrad", lambda p: O.Adagrad(p)),
            ("adagrad_usual_set", "adagrad(0.25, eps=0.125, decay=0.25)",
             lambda p: O.Adagrad(p, 0.25, eps=0.125, weight_decay=0.25)),
            ("rmsprop_usual", "rmsprop", lambda p: O.RMSprop(p)),
            ("rmsprop_usual_set", "rmsprop(0.0625, alpha=0.75, eps=0.125, momentum=0.5, decay=0.25)",
             lambda p: O.RMSprop(p, 0.0625, alpha=0.75, eps=0.125, momentum=0.5, weight_decay=0.25)),
            ("adadelta_usual", "adadelta", lambda p: O.Adadelta(p)),
            ("adadelta_usual_set", "adadelta(0.5, rho=0.75, eps=0.125, decay=0.25)",
             lambda p: O.Adadelta(p, 0.5, rho=0.75, eps=0.125, weight_decay=0.25)),
            ("adam_usual", "adam", lambda p: O.Adam(p)),
            ("adam_usual_set", "adam(0.0625, beta1=0.5, beta2=0.75, eps=0.125, decay=0.25)",
             lambda p: O.Adam(p, 0.0625, betas=(0.5, 0.75), eps=0.125, weight_decay=0.25)),
            ("adamw_usual", "adamw", lambda p: O.AdamW(p)),
            ("adamw_usual_set", "adamw(0.0625, beta1=0.5, beta2=0.75, eps=0.125, decay=0.25)",
             lambda p: O.AdamW(p, 0.0625, betas=(0.5, 0.75), eps=0.125, weight_decay=0.25)),
            ("sgd_edges", "sgd(0.5, momentum=0.5)", lambda p: O.SGD(p, 0.5, momentum=0.5)),
            ("adagrad_edges", "adagrad", lambda p: O.Adagrad(p)), ("rmsprop_edges", "rmsprop", lambda p: O.RMSprop(p)),
            ("adadelta_edges", "adadelta", lambda p: O.Adadelta(p)), ("adam_edges", "adam", lambda p: O.Adam(p)),
            ("adamw_edges", "adamw", lambda p: O.AdamW(p))):
        r = random(entry)
        start, a, pull = r.grid(size), r.grid(size, low=0, high=1), r.grid(calls, size)
        if "edges" in entry:  # no gradient at all, one of a hundred, one that comes and goes
            start, a = np.array([1.0, 0, 0]), np.zeros(size)
            pull = np.array([[0.0, (-1) ** k * 100, k % 7 == 0] for k in range(calls)])
        p = torch.tensor(start, requires_grad=True)
        optimizer, path = make([p]), []
        for k in range(calls):
            optimizer.zero_grad()
            (0.5 * torch.tensor(a) * p * p + torch.tensor(pull[k]) * p).sum().backward()
            optimizer.step()
            path.append(numbers(p).copy())
        own = entry + "_p"
        g.text += ["param %s: [%d] = 0" % (own, size), "step %s(a: [%d], pull: [%d]) -> y {" % (entry, size, size),
                   "  loss = sum(0.5 * a * %s * %s + pull * %s)" % (own, own, own),
                   "  minimize loss over %s by %s" % (own, text), "  y = %s" % own, "}"]
        for key, value in (("set/" + own, start), ("a", np.tile(a, (calls, 1))), ("pull", pull)):
            g.add(entry, key, (np.asarray(value)).astype(np.float32))
        g.add(entry, "y", np.array(path))
        g.add(entry, "calls", np.array(calls, dtype=np.int32))

    t = np.arange(0, 25, dtype=float)

    def scheduled(make, lr):
        p = torch.zeros(1, requires_grad=True)
        optimizer = O.SGD([p], lr)
        schedule, rates = make(optimizer), []
        for _ in range(len(t)):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        return lambda t: torch.tensor(rates) + 0 * t

    S = O.lr_scheduler
    rate = lambda text: "constant_of(t)".replace("constant_of(t)", text)  # noqa: E731
    g.case("constant_usual", "constant(t, 0.5) + 0 * t", lambda t: 0.5 + 0 * t, 0, t=t)
    g.case("constant_edges", "constant(t, 0.5) + 0 * t", lambda t: 0.5 + 0 * t, 0, t=[1e6])
    g.case("staircase_usual", rate("staircase(t, 0.5, 4)"), scheduled(lambda o: S.StepLR(o, 4), 0.5), 0, t=t)
    g.case("staircase_usual_factor", "staircase(t, 2, 7, factor=0.5)", scheduled(lambda o: S.StepLR(o, 7, 0.5), 2.0), 0, t=t)
    g.case("staircase_edges", "staircase(t, 1, 1)", scheduled(lambda o: S.StepLR(o, 1), 1.0), 0, t=t)
    g.case("staircase_edges_i32", "staircase(t, 1, 2)", lambda t: 0.1 ** (t // 2).double(), 0, t=np.array([0, 1, 2, 3]))
    g.case("cosine_usual", "cosine(t, 0.5, 24)", scheduled(lambda o: S.CosineAnnealingLR(o, 24), 0.5), 0, t=t)

    def warmed(t, lr, steps, warmup):
        rising = lr * t / warmup
        falling = 0.5 * lr * (1 + torch.cos(np.pi * ((t - warmup) / (steps - warmup)).clamp(0, 1)))
        return torch.where(t < warmup, rising, falling)

    g.case("cosine_usual_warmup", "cosine(t, 0.5, 20, warmup=5)", lambda t: warmed(t, 0.5, 20, 5), 0, t=t)
    g.case("cosine_edges", "cosine(t, 1, 10)", lambda t: torch.tensor([1.0, 0.5, 0, 0]), 0, t=[0.0, 5, 10, 1000])
    g.case("cosine_edges_all_warmup", "cosine(t, 1, 4, warmup=4)", lambda t: torch.tensor([0, 0.5, 1, 0]), 0, t=[0.0, 2, 4, 5])


@group
def chances(g):
    def drawn(entry, text, draw, step=False, **inputs):
        g.case(entry, text, lambda *v: torch.tensor(draw(Draws(entry, training=step), *v)), 0, step=step, **inputs)

    def gauss(draws, shape, deviation=1.0):
        u, v = draws.uniform(shape), draws.uniform(shape)
        return deviation * np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v)

    x = random("chances").grid(3, 4)
    for step in (False, True):
        kind = "usual_training" if step else "usual"
        drawn("uniform_" + kind, "uniform([3, 5])", lambda d: d.uniform((3, 5)), step)
        drawn("normal_" + kind, "normal([4, 4], 0.5)", lambda d: gauss(d, (4, 4), 0.5), step)
    drawn("uniform_usual_range", "uniform([7], -1, 3)", lambda d: -1 + 4 * d.uniform((7,)))
    drawn("bernoulli_usual", "bernoulli([20], 0.25)", lambda d: (d.uniform((20,)) < 0.25) * 1.0)
    drawn("randint_usual", "randint([20], -2, 5)", lambda d: np.floor(d.uniform((20,)) * 7).astype(int) - 2)
    drawn("categorical_usual", "categorical(z)",
          lambda d, z: np.argmax(numbers(z) - np.log(-np.log(1 - d.uniform((3, 4)))), -1), z=x)
    drawn("uniform_edges", "uniform([1])", lambda d: d.uniform((1,)))
    drawn("normal_edges", "normal([], 0)", lambda d: 0 * gauss(d, ()))
    drawn("bernoulli_edges", "concat(bernoulli([4], 0), bernoulli([4], 1))", lambda d: np.repeat([0.0, 1.0], 4))
    drawn("randint_edges", "randint([4], 3, 4)", lambda d: np.full(4, 3))
    drawn("categorical_edges", "categorical(z)", lambda d, z: np.array([2, 0]), z=np.array([[-100.0, -100, 100], [100, -100, -100]]))

    def started(entry, shape, text, values):
        own = entry + "_w"
        g.text += ["param %s: %s = %s" % (own, list(shape), text), "fn %s() -> y = %s" % (entry, own)]
        g.add(entry, "y", numbers(np.asarray(values, dtype=np.float32).astype(float)).reshape(shape))

    def glorot(entry, shape, into, out):
        a = np.sqrt(6.0 / (into + out))
        started(entry, shape, "xavier", initial_uniforms(entry + "_w", shape, -a, a))

    glorot("xavier_usual", (3, 5), 3, 5)
    glorot("xavier_usual_conv", (4, 2, 3, 3), 18, 36)
    glorot("xavier_edges", (1,), 1, 1)
    for entry, shape, into in (("he_usual", (3, 5), 3), ("he_usual_conv", (4, 2, 3), 6), ("he_edges", (1,), 1)):
        started(entry, shape, "he", np.sqrt(2.0 / into) * initial_normals(entry + "_w", shape))
    started("normal_usual_start", (2, 3), "normal(0.5)", 0.5 * initial_normals("normal_usual_start_w", (2, 3)))
    for entry, shape in (("orthogonal_usual", (2, 4)), ("orthogonal_usual_tall", (4, 3)), ("orthogonal_edges", (1, 1))):
        started(entry, shape, "orthogonal", initial_orthogonal(entry + "_w", shape))
    started("orthogonal_usual_gain", (3, 3), "orthogonal(2)", 2 * initial_orthogonal("orthogonal_usual_gain_w", (3, 3)))
