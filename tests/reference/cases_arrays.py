"""Cases of make.py: elementwise functions, folds, arrays."""
import numpy as np
import torch
import torch.nn.functional as F
from make import group, numbers, random

KINKS = [-100, -3, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 3, 6, 100]


def elementwise(g, name, reference, text=None, low=-4.0, high=4.0, edges=KINKS, order=2, edge_order=None):
    text = text or name + "(x)"
    g.case(name + "_usual", text, reference, order, x=random(name).grid(12, low=low, high=high))
    g.case(name + "_edges", text, reference, order if edge_order is None else edge_order, x=np.array(edges, dtype=float))
    g.case(name + "_edges_one", text, reference, order, x=random(name + "1").grid(1, 1, low=low, high=high))


@group
def activations(g):
    simple = {
        "relu": F.relu, "relu6": F.relu6, "lrelu": F.leaky_relu, "sigmoid": torch.sigmoid,
        "logsigmoid": F.logsigmoid, "hardtanh": F.hardtanh, "tanh": torch.tanh,
        "tanhshrink": F.tanhshrink, "softshrink": F.softshrink, "hardshrink": F.hardshrink, "softsign": F.softsign,
        "silu": F.silu, "mish": F.mish,
        # beyond its threshold PyTorch's softplus is x itself: away from it the two agree
        "softplus": lambda x: F.softplus(x, threshold=60),
        "gelu": F.gelu,
        "rrelu": lambda x: F.rrelu(x, training=False),
    }
    for name, reference in simple.items():
        elementwise(g, name, reference)
    elementwise(g, "sgn", torch.sgn, order=0)
    # at 0 their second gradient jumps
    for name, reference in (("elu", F.elu), ("celu", F.celu), ("selu", F.selu)):
        elementwise(g, name, reference, edge_order=1)
        g.case(name + "_edges_twice", name + "(x)", reference, x=np.array([-100.0, -1, 1, 100]))
    # PyTorch's own gradients of these know 1/6 in f32 alone, and can't be differentiated again
    line = lambda x: torch.where((x > -3) & (x < 3), x / 6 + 0.5, (x >= 3).double())  # noqa: E731
    swish = lambda x: torch.where((x > -3) & (x < 3), x * (x / 6 + 0.5), (x >= 3) * x)  # noqa: E731
    for name, own, formula in (("hardsigmoid", F.hardsigmoid, line), ("hardswish", F.hardswish, swish)):
        x = torch.tensor(KINKS, dtype=torch.float64, requires_grad=True)
        pairs = [torch.autograd.grad(f(x).sum(), x)[0] for f in (own, formula)]
        assert torch.allclose(own(x), formula(x), 1e-6) and torch.allclose(*pairs, 1e-6), (name, pairs)
        elementwise(g, name, formula)
    with_settings = [
        ("lrelu", "lrelu(x, 0.2)", lambda x: F.leaky_relu(x, 0.2)),
        ("elu", "elu(x, alpha=0.5)", lambda x: F.elu(x, 0.5)),
        ("celu", "celu(x, alpha=0.5)", lambda x: F.celu(x, 0.5)),
        ("hardtanh", "hardtanh(x, -0.5, 3)", lambda x: F.hardtanh(x, -0.5, 3.0)),
        ("softshrink", "softshrink(x, lambd=1)", lambda x: F.softshrink(x, 1.0)),
        ("hardshrink", "hardshrink(x, lambd=1)", lambda x: F.hardshrink(x, 1.0)),
        ("gelu", 'gelu(x, approximate="tanh")', lambda x: F.gelu(x, approximate="tanh")),
        ("rrelu", "rrelu(x, 0.25, 0.5)", lambda x: F.rrelu(x, 0.25, 0.5)),
    ]
    for name, text, reference in with_settings:
        g.case(name + "_usual_set", text, reference, x=random(text).grid(8))
        g.case(name + "_edges_set", text, reference, 1 if "elu(x, alpha" in text else 2, x=np.array(KINKS, dtype=float))
    elementwise(g, "threshold", lambda x: F.threshold(x, 0.25, -1), "threshold(x, 0.25, -1)")
    prelu = lambda x, a: F.prelu(x, a.reshape(1))  # noqa: E731
    for kind, x in (("usual", random("prelu").grid(2, 5)), ("edges", np.array(KINKS, dtype=float)),
                    ("edges_one", np.full((1, 1), -2.0))):
        g.case("prelu_" + kind, "layer(x)", prelu, 1 if kind == "edges" else 2, layer="prelu", params={"a": 0.25}, x=x)
    g.case("glu_usual", "glu(x)", F.glu, x=random("glu").grid(3, 8))
    g.case("glu_usual_axis", "glu(x, axis=1)", lambda x: F.glu(x, 1), x=random("glu1").grid(2, 4, 3))
    g.case("glu_edges", "glu(x)", F.glu, x=np.array([[0.0, 100, -100, 0], [-1, 0, 0, -100], [1, 1, 100, 100]]))
    maxout = lambda x: x.reshape(*x.shape[:-1], -1, 3).max(-1).values  # noqa: E731
    g.case("maxout_usual", "maxout(x, 3)", maxout, x=random("maxout").grid(4, 6))
    g.case("maxout_edges", "maxout(x, 3)", maxout, x=np.array([[0.0, 1, -1, 100, 99, -100]]))
    g.case("maxout_edges_one", "maxout(x, 1)", lambda x: x, x=random("maxout1").grid(1, 1))
    for name, reference in (("softmax", torch.softmax), ("softmin", lambda x, a: torch.softmax(-x, a)),
                            ("log_softmax", torch.log_softmax)):
        g.case(name + "_usual", name + "(x)", lambda x: reference(x, -1), batch=("x",), x=random(name).grid(3, 5))
        g.case(name + "_usual_axis", name + "(x, axis=1)", lambda x: reference(x, 1), x=random(name).grid(2, 3, 2))
        g.case(name + "_edges", name + "(x)", lambda x: reference(x, -1),
               x=np.array([[0.0, 0, 0], [100, 0, -100], [-100, -100, -100], [100, 100, 99]]))
        g.case(name + "_edges_one", name + "(x)", lambda x: reference(x, -1), x=np.array([[5.0]]))


@group
def functions(g):
    positive = [0.25, 1, 2, 100]
    elementwise(g, "exp", torch.exp, edges=[-100, -1, 0, 1, 80])
    elementwise(g, "expm1", torch.expm1, edges=[-100, -1, -0.5, -2.0**-20, 0, 2.0**-20, 0.5, 1, 80])
    elementwise(g, "log", torch.log, low=0.25, edges=positive)
    elementwise(g, "log1p", torch.log1p, low=-0.75, edges=[-0.5, -2.0**-30, 0, 2.0**-30, 2.0**-20, 1, 100])
    elementwise(g, "sqrt", torch.sqrt, low=0.25, edges=positive)
    elementwise(g, "rsqrt", torch.rsqrt, low=0.25, edges=positive)
    elementwise(g, "sin", torch.sin, edges=[-100, 0, 100])
    elementwise(g, "cos", torch.cos, edges=[-100, 0, 100])
    elementwise(g, "erf", torch.erf, edges=[-100, -1, 0, 1, 100])
    elementwise(g, "abs", torch.abs)
    elementwise(g, "sign", torch.sign, order=0)
    elementwise(g, "floor", torch.floor, order=0)
    elementwise(g, "ceil", torch.ceil, order=0)
    elementwise(g, "round", torch.round, order=0, edges=[-2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 100])
    g.case("abs_edges_i32", "abs(x)", torch.abs, x=np.array([-7, 0, 7]))
    g.case("sign_edges_i32", "sign(x)", torch.sign, x=np.array([-7, 0, 7]))
    finite = np.array([0.0, 100, np.inf, -np.inf, np.nan])
    g.case("isfinite_usual", "isfinite(x)", torch.isfinite, 0, x=random("isfinite").grid(4))
    g.case("isfinite_edges", "isfinite(x)", torch.isfinite, 0, x=finite)
    # at its bounds the gradient is 1, as in PyTorch up to 2.13 and as the language says; newer ones give 0
    clip = lambda x: torch.where(x < -1, -1, torch.where(x > 1, 1, x))  # noqa: E731
    elementwise(g, "clip", clip, "clip(x, -1, 1)")
    # PyTorch halves the gradient of maximum where both are equal; here it goes to the second
    larger = lambda a, b: torch.where(a > b, a, b)  # noqa: E731
    smaller = lambda a, b: torch.where(a < b, a, b)  # noqa: E731
    for name, reference in (("max", larger), ("min", smaller)):
        r = random(name)
        g.case(name + "_usual_pair", name + "(a, b)", reference, a=r.grid(2, 5), b=r.grid(5))
        g.case(name + "_edges_pair", name + "(a, b)", reference, a=np.array([0.0, 1, 100, -100]),
               b=np.array([0.0, 1, -100, 100]))
    r = random("where")
    c = np.array([True, False, True, True])
    g.case("where_usual", "where(c, a, b)", torch.where, c=c, a=r.grid(3, 4), b=r.grid(4))
    g.case("where_edges", "where(c, a, 0)", lambda c, a: torch.where(c, a, torch.zeros_like(a)), c=c[:1],
           a=np.array([100.0]))
    x = np.array([-3000000000.0, -1.5, -0.5, 0, 0.5, 1.5, 2147483648.0, np.nan])
    g.case("i32_usual", "i32(x)", lambda x: x.detach().trunc().int(), 0, x=x[1:6])
    g.case("i32_edges", "i32(x)", lambda x: torch.tensor([-2147483648, -1, 0, 0, 0, 1, 2147483647, 0]), 0, x=x)
    g.case("f32_usual", "f32(x)", lambda x: x.double(), 0, x=np.array([-3, 0, 16777216]))
    g.case("f32_edges", "f32(x)", lambda x: x.double(), 0, x=np.array([True, False]))
    g.case("bool_usual", "bool(x)", lambda x: x.detach() != 0, 0, x=np.array([0.0, 1, -2, 0.5]))
    g.case("bool_edges", "bool(x)", lambda x: x != 0, 0, x=np.array([0, 1, -7]))


def fold_cases(g, name, reference, x, edges, order=2):
    """reference(x, axes, keep), axes a tuple."""
    every = tuple(range(3))
    for kind, text, axes, keep in (("usual", "", every, False), ("usual_axis", ", axis=1", (1,), False),
                                   ("usual_axes", ", axis=[0, -1]", (0, 2), False),
                                   ("usual_keep", ", axis=-1, keep=true", (2,), True)):
        g.case("%s_%s" % (name, kind), "%s(x%s)" % (name, text), lambda x: reference(x, axes, keep), order, x=x)
    g.case(name + "_edges", name + "(x, axis=1)", lambda x: reference(x, (1,), False), order, x=edges)
    g.case(name + "_edges_one", name + "(x, axis=1)", lambda x: reference(x, (1,), False), order, x=x[:1, :1, 0])


def largest(x, axes, keep, sign=1):
    """By one element, the first: where PyTorch's amax shares the gradient among ties."""
    kept = [k for k in range(x.dim()) if k not in axes]
    flat = x.permute(*kept, *axes).reshape([x.shape[k] for k in kept] + [-1])
    at = torch.tensor(np.argmax(sign * numbers(flat), -1))
    y = torch.gather(flat, -1, at[..., None])[..., 0]
    return y.reshape([1 if k in axes else x.shape[k] for k in range(x.dim())]) if keep else y


def product(x, axes, keep):
    for k in sorted(axes, reverse=True):
        x = torch.prod(x, k, keepdim=keep)
    return x


@group
def folds(g):
    x = random("folds").grid(2, 3, 4)
    rows = np.array([[0.0, 0, 0], [100, -100, 100], [1, 1, 0], [-100, -100, -100]])
    fold_cases(g, "sum", lambda x, a, k: x.sum(a, k), x, rows)
    fold_cases(g, "mean", lambda x, a, k: x.mean(a, k), x, rows)
    fold_cases(g, "var", lambda x, a, k: torch.var(x, a, correction=0, keepdim=k), x, rows)
    fold_cases(g, "logsumexp", lambda x, a, k: torch.logsumexp(x, a, k), x, rows)
    fold_cases(g, "norm", lambda x, a, k: torch.linalg.vector_norm(x, 2, a, k), x, rows[1:])
    g.case("norm_edges_zero", "norm(x, axis=1)", lambda x: torch.linalg.vector_norm(x, 2, 1), 1, x=rows[:2])
    fold_cases(g, "prod", product, x, rows)
    fold_cases(g, "max", largest, x, rows)
    fold_cases(g, "min", lambda x, a, k: largest(x, a, k, -1), x, rows)
    g.case("prod_usual_i32", "prod(x, axis=0)", lambda x: x.prod(0), x=np.array([[1, 2, -3], [4, 5, 6]]))
    g.case("sum_usual_i32", "sum(x, axis=0)", lambda x: x.sum(0), x=np.array([[1, 2, -3], [4, 5, 6]]))
    g.case("mean_usual_i32", "mean(x)", lambda x: x.double().mean(), x=np.array([[1, 2, -3], [4, 5, 6]]))
    g.case("max_usual_i32", "max(x, axis=0)", lambda x: x.amax(0), x=np.array([[1, 2, -3], [4, 5, -6]]))
    c = np.array([[True, False, True], [False, False, False], [True, True, True]])
    for name in ("any", "all"):
        f = getattr(torch, name)
        g.case(name + "_usual", name + "(x, axis=1)", lambda x: f(x, 1), x=c)
        g.case(name + "_usual_whole", name + "(x)", f, x=c)
        g.case(name + "_edges", name + "(x, axis=0, keep=true)", lambda x: f(x, 0, keepdim=True), x=c[:1, :1])
    for name, f in (("argmax", np.argmax), ("argmin", np.argmin)):
        g.case(name + "_usual", name + "(x)", lambda x: torch.tensor(f(numbers(x), -1)), 0, x=x)
        g.case(name + "_usual_axis", name + "(x, axis=0)", lambda x: torch.tensor(f(numbers(x), 0)), 0, x=x)
        g.case(name + "_edges", name + "(x)", lambda x: torch.tensor(f(numbers(x), -1)), 0, x=rows)
        g.case(name + "_edges_one", name + "(x)", lambda x: torch.tensor(f(numbers(x), -1)), 0, x=rows[1:2, :1])
    g.case("cumsum_usual", "cumsum(x, axis=1)", lambda x: x.cumsum(1), x=x)
    g.case("cumsum_usual_flat", "cumsum(x)", lambda x: x.reshape(-1).cumsum(0), x=x[:, 0])
    g.case("cumsum_edges", "cumsum(x, axis=-1)", lambda x: x.cumsum(-1), x=rows)
    g.case("cumsum_edges_one", "cumsum(x, axis=0)", lambda x: x.cumsum(0), x=rows[1:2])


@group
def arrays(g):
    x = random("arrays").grid(2, 3, 4)
    one = np.full((1, 1), 100.0)
    g.case("zeros_usual", "zeros([2, 3]) * x", lambda x: 0 * x, x=x[:, :, 0])
    g.case("zeros_edges", "zeros([])", lambda: torch.tensor(0.0))
    g.case("ones_usual", "ones([2, 3]) * x", lambda x: x, x=x[:, :, 0])
    g.case("ones_edges", "ones([1])", lambda: torch.ones(1))
    g.case("full_usual", "full([2, 3, 4], x)", lambda x: x.expand(2, 3, 4), x=x[0])
    g.case("full_usual_i32", "full([2, 2], 7)", lambda: torch.full((2, 2), 7))
    g.case("full_edges", "full([1], -0.5)", lambda: torch.full((1,), -0.5))
    g.case("arange_usual", "arange(2, 11, 3)", lambda: torch.arange(2, 11, 3))
    g.case("arange_usual_dim", "arange(N) + 0 * x", lambda x: torch.arange(4), batch=("x",), x=np.array([1, 2, 3, 4]))
    g.case("arange_edges", "arange(1)", lambda: torch.arange(1))
    g.case("reshape_usual", "reshape(x, [4, -1])", lambda x: x.reshape(4, -1), x=x)
    g.case("reshape_edges", "reshape(x, [])", lambda x: x.reshape(()), x=one)
    g.case("transpose_usual", "transpose(x, [2, 0, 1])", lambda x: x.permute(2, 0, 1), x=x)
    g.case("transpose_usual_last", "transpose(x)", lambda x: x.transpose(1, 2), x=x)
    g.case("transpose_edges", "transpose(x)", lambda x: x.T, x=one)
    g.case("flatten_usual", "flatten(x)", lambda x: x.flatten(1), batch=("x",), x=x)
    g.case("flatten_edges", "flatten(x)", lambda x: x.flatten(1), batch=("x",), x=one)
    r = random("concat")
    g.case("concat_usual", "concat(a, b)", lambda a, b: torch.cat((a, b), -1), a=r.grid(2, 3), b=r.grid(2, 1))
    g.case("concat_usual_axis", "concat(a, b, a, axis=0)", lambda a, b: torch.cat((a, b, a)), a=r.grid(1, 3), b=r.grid(2, 3))
    g.case("concat_edges", "concat(a)", lambda a: a, a=one)
    g.case("stack_usual", "stack(a, b, axis=1)", lambda a, b: torch.stack((a, b), 1), a=r.grid(2, 3), b=r.grid(2, 3))
    g.case("stack_usual_first", "stack(a, b)", lambda a, b: torch.stack((a, b)), a=r.grid(3), b=r.grid(3))
    g.case("stack_edges", "stack(a)", lambda a: a[None], a=one)
    parts = ("y", "z")
    g.case("split_usual", "split(x, 2)", lambda x: torch.split(x, 2, -1), results=parts, x=x)
    g.case("split_usual_sizes", "split(x, [1, 2], axis=1)", lambda x: torch.split(x, [1, 2], 1), results=parts, x=x)
    g.case("split_edges", "split(x, 1)[0]", lambda x: x, x=one)
    g.case("pad_usual", "pad(x, [0, [1, 2], 1], 0.5)", lambda x: F.pad(x, (1, 1, 1, 2), value=0.5), x=x)
    g.case("pad_edges", "pad(x, 1)", lambda x: F.pad(x, (1, 1, 1, 1)), x=one)
    g.case("flip_usual", "flip(x, axis=1)", lambda x: x.flip(1), x=x)
    g.case("flip_usual_axes", "flip(x, axis=[0, -1])", lambda x: x.flip(0, -1), x=x)
    g.case("flip_usual_all", "flip(x)", lambda x: x.flip(0, 1, 2), x=x)
    g.case("flip_edges", "flip(x)", lambda x: x, x=one)
    i = np.array([[0, 2], [1, 1]])

    def take(x, i, axis):
        """NumPy's take, 0 for what is outside."""
        inside = (i >= 0) & (i < x.shape[axis])
        y = torch.index_select(x, axis, torch.where(inside, i, 0).flatten()) * inside.flatten().reshape(
            [-1 if k == axis else 1 for k in range(x.dim())])
        return y.reshape(x.shape[:axis] + i.shape + x.shape[axis + 1:])

    g.case("gather_usual", "gather(x, i, axis=1)", lambda x, i: take(x, i, 1), x=x, i=i)
    g.case("gather_usual_first", "gather(x, i)", lambda x, i: take(x, i, 0), x=x[0], i=np.array([2, 0, 2, 2]))
    g.case("gather_usual_rows", "gather(x, i, axis=-1, batch=1)", lambda x, i: torch.gather(x, 1, i), x=x[0],
           i=np.array([[3, 0], [1, 1], [2, 3]]))
    g.case("gather_edges", "gather(x, i)", lambda x, i: take(x, i, 0), x=x[0], i=np.array([-1, 3, 2147483647, 0, -2147483648]))
    g.case("gather_edges_one", "gather(x, i)", lambda x, i: take(x, i, 0), x=one, i=np.array([0]))

    def scatter(base, i, v):
        inside = (i >= 0) & (i < base.shape[0])
        return base.index_add(0, i[inside], v[inside])

    base, v = r.grid(3, 2), r.grid(4, 2)
    g.case("scatter_add_usual", "scatter_add(base, i, v)", scatter, base=base, i=np.array([2, 0, 2, 2]), v=v)
    g.case("scatter_add_usual_rows", "scatter_add(base, i, v, axis=1, batch=1)", lambda base, i, v: base.scatter_add(1, i, v),
           base=base, i=np.array([[0], [1], [0]]), v=r.grid(3, 1))
    g.case("scatter_add_edges", "scatter_add(base, i, v)", scatter, base=base, i=np.array([-1, 3, 0, 2147483647]), v=v)
    g.case("scatter_add_edges_one", "scatter_add(base, i, v)", scatter, base=one, i=np.array([0]), v=one)
    g.case("onehot_usual", "onehot(i, 3)", lambda i: F.one_hot(i, 3).double(), i=i)
    g.case("onehot_edges", "onehot(i, 2)", lambda i: torch.tensor([[0.0, 0], [1, 0], [0, 1], [0, 0]]),
           i=np.array([-1, 0, 1, 2]))
    ties = np.array([[1.0, 0, 1, -100, 0], [100, 100, 100, 100, 100]])
    order = lambda x, axis: torch.sort(x, dim=axis, stable=True)  # noqa: E731
    down = lambda x, k, axis: [v.narrow(axis, 0, k) for v in torch.sort(x, dim=axis, stable=True, descending=True)]  # noqa: E731
    pair = ("y", "i")
    g.case("argsort_usual", "argsort(x)", lambda x: order(x, -1).indices, 0, x=x)
    g.case("argsort_usual_axis", "argsort(x, axis=1)", lambda x: order(x, 1).indices, 0, x=x)
    g.case("argsort_edges", "argsort(x)", lambda x: order(x, -1).indices, 0, x=ties)
    g.case("argsort_edges_nan", "argsort(x)", lambda x: order(x, -1).indices, 0, x=np.array([np.nan, 1, -np.inf, np.inf, 0]))
    g.case("sort_usual", "sort(x)", lambda x: tuple(order(x, -1)), results=pair, x=x)
    g.case("sort_usual_axis", "sort(x, axis=0)", lambda x: tuple(order(x, 0)), results=pair, x=x)
    g.case("sort_edges", "sort(x)", lambda x: tuple(order(x, -1)), results=pair, x=ties)
    g.case("sort_edges_one", "sort(x)", lambda x: tuple(order(x, -1)), results=pair, x=one)
    g.case("topk_usual", "topk(x, 2)", lambda x: tuple(down(x, 2, -1)), results=pair, x=x)
    g.case("topk_usual_axis", "topk(x, 2, axis=1)", lambda x: tuple(down(x, 2, 1)), results=pair, x=x)
    g.case("topk_edges", "topk(x, 3)", lambda x: tuple(down(x, 3, -1)), results=pair, x=ties)
    g.case("topk_edges_one", "topk(x, 1)", lambda x: tuple(down(x, 1, -1)), results=pair, x=one)
