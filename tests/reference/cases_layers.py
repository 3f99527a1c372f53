"""Cases of make.py: what has weights, and what works on pictures."""
import numpy as np
import torch
import torch.nn.functional as F
from make import group, numbers, random
from philox import Draws

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def by_axis(setting, n):
    return list(setting) if isinstance(setting, (list, tuple)) else [setting] * n


def sides(pad, n):
    """Paddings as F.pad wants them: the last axis first, before and behind."""
    flat = []
    for width in reversed(by_axis(pad, n)):
        flat += by_axis(width, 2)
    return flat


def settings_text(settings):
    return "".join(", %s=%s" % (k, str(v).lower() if isinstance(v, bool) else v) for k, v in settings.items())


def conv_case(g, kind, sizes, channels, out, kernel, order=2, x=None, **settings):
    n = len(sizes) - 1
    r = random("conv" + kind)
    groups, taps = settings.get("groups", 1), by_axis(kernel, n)
    params = {"w": r.grid(out, channels // groups, *taps, low=-1, high=1)}
    if settings.get("bias", True):
        params["b"] = r.grid(out, low=-1, high=1)

    def reference(x, w, b=None):
        x = F.pad(x, sides(settings.get("pad", 0), n))
        return CONV[n](x, w, b, settings.get("stride", 1), 0, settings.get("dilation", 1), groups)

    g.case("conv_" + kind, "layer(x)", reference, order, layer="conv(%d, %s%s)" % (out, kernel, settings_text(settings)),
           params=params, batch=("x",), x=r.grid(sizes[0], channels, *sizes[1:]) if x is None else x)


def transposed_case(g, kind, sizes, channels, out, kernel, order=2, **settings):
    n = len(sizes) - 1
    r = random("conv_transpose" + kind)
    groups, taps = settings.get("groups", 1), by_axis(kernel, n)
    params = {"w": r.grid(channels, out // groups, *taps, low=-1, high=1)}
    if settings.get("bias", True):
        params["b"] = r.grid(out, low=-1, high=1)
    pad = [by_axis(width, 2) for width in by_axis(settings.get("pad", 0), n)]
    more = by_axis(settings.get("output_pad", 0), n)

    def reference(x, w, b=None):
        stride, dilation = by_axis(settings.get("stride", 1), n), by_axis(settings.get("dilation", 1), n)
        y = TRANSPOSED[n](x, w, None, stride, 0, [0] * n, groups, dilation)
        for k in range(n):  # padding takes away, output_pad shows what lies beyond the end
            y = F.pad(y, sides([[0, more[k]] if j == k else 0 for j in range(n)], n))
            y = y.narrow(k + 2, pad[k][0], y.shape[k + 2] - sum(pad[k]))
        if all(before == after for before, after in pad):
            same = TRANSPOSED[n](x, w, None, stride, [p[0] for p in pad], more, groups, dilation)
            assert torch.allclose(y, same)
        return y if b is None else y + b.reshape([-1] + [1] * n)

    g.case("conv_transpose_" + kind, "layer(x)", reference, order,
           layer="conv_transpose(%d, %s%s)" % (out, kernel, settings_text(settings)), params=params, batch=("x",),
           x=r.grid(sizes[0], channels, *sizes[1:]))


@group
def convolution(g):
    # the textbook's: x of 0..8, w of 0..3 give 19, 25, 37, 43; turned round, the true convolution
    x, w = np.arange(9.0).reshape(1, 1, 3, 3), np.arange(4.0).reshape(1, 1, 2, 2)
    known = torch.tensor([[[[19.0, 25], [37, 43]]]])

    def textbook(x, w):
        y = F.conv2d(x, w)
        assert torch.equal(y, known)
        return y

    def true_convolution(x, w):
        a, k = numbers(x)[0, 0], numbers(w)[0, 0]
        wanted = [[sum(k[i, j] * a[r + 1 - i, c + 1 - j] for i in range(2) for j in range(2)) for c in range(2)]
                  for r in range(2)]
        y = F.conv2d(x, w.flip(2, 3))
        assert np.array_equal(numbers(y)[0, 0], wanted)
        return y

    plain = "conv(1, 2, bias=false)"
    g.case("conv_usual_textbook", "layer(x)", textbook, layer=plain, params={"w": w}, x=x)
    g.case("conv_usual_true", "x | flip(axis=[2, 3]) | layer() | flip(axis=[2, 3])".replace("layer()", "conv_usual_true_layer"),
           true_convolution, layer=plain, params={"w": w}, x=x)
    g.case("conv_usual_turned", "layer(x)", lambda x, w: F.conv2d(x, w.flip(2, 3)).flip(0) * 0 + textbook(x, w),
           layer=plain, params={"w": w}, x=x)
    conv_case(g, "usual", (2, 5, 6), 3, 4, 3)
    conv_case(g, "usual_1", (2, 9), 3, 2, 4, stride=2, pad=1)
    conv_case(g, "usual_1_dilated", (2, 9), 2, 3, 3, dilation=2, pad=2)
    conv_case(g, "usual_1_uneven", (2, 6), 2, 2, 3, pad=[[2, 0]])
    conv_case(g, "usual_1_groups", (2, 7), 4, 6, 3, groups=2, stride=2)
    conv_case(g, "usual_stride", (2, 6, 7), 2, 3, 3, stride=[2, 3], pad=[1, 0])
    conv_case(g, "usual_dilated", (1, 7, 8), 2, 2, [2, 3], dilation=[3, 2], pad=[1, 2])
    conv_case(g, "usual_uneven", (2, 5, 5), 2, 3, [3, 2], pad=[[0, 2], [1, 0]], stride=2)
    conv_case(g, "usual_groups", (2, 5, 5), 4, 6, 3, groups=2, pad=1, stride=2, dilation=1)
    conv_case(g, "usual_depthwise", (2, 5, 5), 3, 3, 3, groups=3, pad=1, bias=False)
    conv_case(g, "usual_depthwise_two", (2, 5, 6), 2, 4, 3, groups=2, stride=2, dilation=2, pad=2)
    conv_case(g, "usual_pointwise", (2, 3, 4), 5, 2, 1)
    conv_case(g, "usual_pointwise_stride", (2, 5, 5), 3, 4, 1, stride=2, bias=False)
    conv_case(g, "usual_3", (1, 3, 4, 5), 2, 2, [2, 3, 2], stride=[1, 2, 1], pad=[0, 1, 1])
    conv_case(g, "usual_3_dilated", (1, 5, 4, 4), 2, 2, 2, dilation=[3, 1, 2], bias=False)
    conv_case(g, "usual_3_groups", (2, 3, 3, 3), 4, 4, 2, groups=2, pad=[0, [1, 0], 1])
    conv_case(g, "usual_3_depthwise", (1, 4, 3, 3), 2, 2, 3, groups=2, pad=1)
    conv_case(g, "edges_one", (1, 1, 1), 1, 1, 1)
    conv_case(g, "edges_whole", (1, 3, 3), 2, 2, 3)
    conv_case(g, "edges_padding", (1, 1, 1), 2, 2, 3, pad=1)
    conv_case(g, "edges_far_stride", (2, 4, 4), 1, 2, 2, stride=3)
    conv_case(g, "edges_hundreds", (1, 3, 3), 1, 1, 2,
              x=np.array([[[[100.0, -100, 0], [0, 0, 100], [-100, 100, 0]]]]))
    conv_case(g, "edges_1", (1, 1), 1, 1, 1)
    conv_case(g, "edges_3", (1, 1, 1, 1), 1, 1, 1, bias=False)
    transposed_case(g, "usual", (2, 3, 4), 3, 2, 3)
    transposed_case(g, "usual_stride", (2, 3, 4), 2, 3, 3, stride=2, pad=1, output_pad=1)
    transposed_case(g, "usual_lists", (1, 3, 3), 2, 2, [2, 4], stride=[1, 3], pad=[0, 1], output_pad=[0, 2])
    transposed_case(g, "usual_dilated", (1, 3, 3), 2, 2, 2, dilation=[2, 3], stride=2, pad=1, output_pad=[1, 2])
    transposed_case(g, "usual_uneven", (1, 4, 3), 2, 2, 3, stride=2, pad=[[1, 0], [0, 2]], bias=False)
    transposed_case(g, "usual_groups", (2, 3, 3), 4, 6, 3, groups=2, stride=2, pad=1)
    transposed_case(g, "usual_depthwise", (1, 3, 3), 3, 3, 2, groups=3, stride=2, bias=False)
    transposed_case(g, "usual_1", (2, 5), 3, 2, 4, stride=2, pad=1)
    transposed_case(g, "usual_1_groups", (2, 4), 2, 4, 3, groups=2, stride=3, output_pad=1)
    transposed_case(g, "usual_3", (1, 2, 3, 2), 2, 2, [2, 3, 2], stride=[1, 2, 2], pad=[0, 1, 0], output_pad=[0, 1, 1])
    transposed_case(g, "usual_3_groups", (1, 2, 2, 3), 2, 2, 2, groups=2, stride=2, bias=False)
    transposed_case(g, "edges_one", (1, 1, 1), 1, 1, 1)
    transposed_case(g, "edges_wide", (1, 1, 1), 2, 1, 3, stride=2, pad=1)
    transposed_case(g, "edges_gaps", (1, 2, 2), 1, 2, 2, stride=4)
    n = 4
    unfold = lambda x: F.pad(x, (0, 0, 1, 2)).unfold(2, 3, 2).unfold(3, 2, 2)  # noqa: E731
    g.case("windows_usual", "windows(x, [3, 2], stride=2, pad=[[1, 2], 0])", unfold, x=random("windows").grid(2, 2, 5, n))
    g.case("windows_usual_1", "windows(x, 3)", lambda x: x.unfold(2, 3, 1), x=random("windows1").grid(2, 2, 5))
    g.case("windows_usual_3", "windows(x, 2)", lambda x: x.unfold(2, 2, 1).unfold(3, 2, 1).unfold(4, 2, 1), 1,
           x=random("windows3").grid(1, 1, 3, 2, 2))
    g.case("windows_edges", "windows(x, 1)", lambda x: x[..., None, None], x=np.full((1, 1, 1, 1), 100.0))


@group
def pooling(g):
    largest = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
    average = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
    cases = [
        ("usual", (2, 2, 4, 6), 2, {}), ("usual_1", (2, 3, 9), 3, {"stride": 2, "pad": 1}),
        ("usual_stride", (2, 2, 6, 7), [3, 2], {"stride": [2, 1]}),
        ("usual_pad", (1, 2, 5, 5), 3, {"stride": 2, "pad": 1}),
        ("usual_uneven", (1, 2, 4, 5), 3, {"stride": 2, "pad": [[0, 1], [2, 1]]}),
        ("usual_3", (1, 2, 4, 3, 4), 2, {}),
        ("usual_3_pad", (1, 1, 3, 4, 5), [3, 2, 3], {"stride": [2, 2, 1], "pad": [1, 0, 1]}),
        ("edges_one", (1, 1, 1, 1), 1, {}), ("edges_whole", (1, 2, 3, 3), 3, {}), ("edges_1", (1, 1, 1), 1, {}),
        ("edges_left_over", (1, 1, 5, 3), 2, {}),
    ]
    for kind, shape, kernel, settings in cases:
        n = len(shape) - 2
        x = random("pool" + kind).grid(*shape)
        stride = settings.get("stride", kernel)

        def maxima(x):
            return largest[n](F.pad(x, sides(settings.get("pad", 0), n), value=-np.inf), kernel, stride)

        def means(x):
            return average[n](F.pad(x, sides(settings.get("pad", 0), n)), kernel, stride)

        text = "pool(x, %s%s)" % (kernel, settings_text(settings))
        g.case("maxpool_" + kind, "max" + text, maxima, batch=("x",), x=x)
        g.case("avgpool_" + kind, "avg" + text, means, batch=("x",), x=x)
    # ties go to the first; all negative, so that padding would win if it took part
    ties = np.array([[[[-1.0, -1, 0, 0], [-1, -1, 0, 0], [-100, -100, 100, 100], [-100, -100, 100, 100]]]])
    g.case("maxpool_edges_ties", "maxpool(x, 2)", lambda x: F.max_pool2d(x, 2), x=ties)
    g.case("maxpool_edges_negative", "maxpool(x, 3, stride=2, pad=1)", lambda x: F.max_pool2d(x, 3, 2, 1), x=ties - 200)
    for n, shape in ((1, (2, 3, 4)), (2, (2, 3, 2, 4)), (3, (1, 2, 2, 3, 2))):
        axes = tuple(range(2, n + 2))
        g.case("gap_usual_%d" % n, "gap(x)", lambda x: x.mean(axes), batch=("x",), x=random("gap%d" % n).grid(*shape))
        g.case("max_usual_global_%d" % n, "max(x, axis=%s)" % list(axes), lambda x: x.amax(axes), batch=("x",),
               x=random("gmp%d" % n).grid(*shape))
    g.case("gap_edges", "gap(x)", lambda x: x.mean((2, 3)), batch=("x",), x=np.full((1, 1, 1, 1), 100.0))


def box_overlap(a, b):
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clamp(min=0).prod(-1)
    area = lambda x: (x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1])  # noqa: E731
    return both / (area(a)[:, None] + area(b)[None] - both).clamp(min=1e-12)


def suppress(boxes, scores, most, k):
    """Plain non-maximum suppression, one box after the other."""
    left = sorted(range(len(scores)), key=lambda i: (-float(scores[i]), i))
    over, kept = box_overlap(boxes, boxes), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if float(over[best, i]) <= most]
    return torch.tensor((kept + [-1] * k)[:k])


def aligned_rois(x, boxes, picture, size, scale, samples, aligned):
    """roi_align by its definition: loops over boxes, places and samples; bilinear, 0 beyond a pixel outside."""
    h, w = x.shape[2:]

    def at(picture, row, column):
        if not 0 <= picture < x.shape[0]:
            return x[0, :, 0, 0] * 0
        if float(row) < -1 or float(row) > h or float(column) < -1 or float(column) > w:
            return x[picture, :, 0, 0] * 0
        row, column = row.clamp(0, h - 1), column.clamp(0, w - 1)
        r, c = int(row), int(column)
        dr, dc, r1, c1 = row - r, column - c, min(r + 1, h - 1), min(c + 1, w - 1)
        p = x[picture]
        return (p[:, r, c] * (1 - dr) * (1 - dc) + p[:, r, c1] * (1 - dr) * dc + p[:, r1, c] * dr * (1 - dc)
                + p[:, r1, c1] * dr * dc)

    out = []
    for box, one in zip(boxes, picture):
        x0, y0, x1, y1 = [v * scale - (0.5 if aligned else 0) for v in box]
        wide, high = (x1 - x0, y1 - y0) if aligned else ((x1 - x0).clamp(min=1), (y1 - y0).clamp(min=1))
        for i in range(size[0]):
            for j in range(size[1]):
                total = 0
                for a in range(samples):
                    for b in range(samples):
                        row = y0 + high * (i + (a + 0.5) / samples) / size[0]
                        column = x0 + wide * (j + (b + 0.5) / samples) / size[1]
                        total = total + at(int(one), row, column)
                out.append(total / samples**2)
    k, c = len(boxes), x.shape[1]
    return torch.stack(out).reshape(k, size[0], size[1], c).permute(0, 3, 1, 2)


@group
def pictures(g):
    x = random("resize").grid(2, 2, 3, 4)
    for mode in ("nearest", "bilinear"):
        settings = {"mode": mode} if mode == "nearest" else {"mode": mode, "align_corners": False}
        for kind, size, of in (("usual", [6, 8], x), ("usual_down", [2, 3], x), ("usual_odd", [5, 7], x), ("usual_number", 4, x),
                               ("edges_one", [1, 1], x[:1, :1]), ("edges_from_one", [2, 3], x[:1, :1, :1, :1]),
                               ("edges_same", [3, 4], x)):
            g.case("resize_%s_%s" % (kind, mode), 'resize(x, %s, mode="%s")' % (size, mode),
                   lambda x: F.interpolate(x, size=size, **settings), batch=("x",), x=of)
    boxes = np.array([[0.0, 0, 4, 4], [1, 1, 5, 5], [0, 0, 2, 2], [8, 8, 9, 10], [0.5, 0.25, 4, 4.5]])
    g.case("iou_usual", "iou(a, b)", box_overlap, a=boxes + 0.125, b=boxes[1:4])
    g.case("iou_edges", "iou(a, b)", box_overlap, 0, a=np.array([[0.0, 0, 1, 1], [1, 1, 1, 1]]),
           b=np.array([[0.0, 0, 1, 1], [1, 1, 1, 1], [1, 0, 2, 1], [-100, -100, 100, 100]]))
    scores = np.array([0.5, 0.75, 0.5, 0.25, 0.875])
    for kind, count, most, k in (("usual", 5, 0.3, 4), ("usual_loose", 5, 0.75, 3), ("usual_strict", 5, 0.0, 5),
                                 ("edges_one", 1, 0.5, 3)):
        g.case("nms_" + kind, "nms(boxes, scores, %s, %d)" % (most, k),
               lambda boxes, scores: suppress(boxes, scores, most, k), 0, batch=("boxes", "scores"), boxes=boxes[:count],
               scores=scores[:count])
    g.case("nms_edges_ties", "nms(boxes, scores, 0.5, 4)", lambda boxes, scores: suppress(boxes, scores, 0.5, 4), 0,
           boxes=np.tile(boxes[:1], (4, 1)) + np.array([[0.0], [0], [50], [50]]), scores=np.ones(4))
    picture = np.array([1, 0, 0])
    rois = np.array([[0.25, 0.5, 2.625, 2.25], [1.125, 0.375, 4.75, 2.875], [-2.5, -3.25, 6.5, 7.75]])
    for kind, size, scale, samples, aligned in (("usual", [2, 3], 1, 2, False), ("usual_aligned", [2, 2], 0.5, 2, True),
                                                ("usual_samples", [1, 2], 1, 3, True)):
        text = "roi_align(x, boxes, picture, %s, scale=%s, samples=%d, aligned=%s)" % (size, scale, samples, str(aligned).lower())
        g.case("roi_align_" + kind, text,
               lambda x, boxes, picture: aligned_rois(x, boxes, picture, size, scale, samples, aligned), batch=("x",), x=x,
               boxes=rois, picture=picture)
    g.case("roi_align_edges", "roi_align(x, boxes, picture, 1)",
           lambda x, boxes, picture: aligned_rois(x, boxes, picture, [1, 1], 1, 2, False), 1, by=("x",), x=x,
           boxes=np.array([[0.0, 0, 0, 0], [100, 100, 101, 101], [1, 1, 2, 2]]), picture=np.array([0, 1, -1]))


@group
def layers(g):
    r = random("layers")
    dense = lambda x, w, b=None: x @ w + (0 if b is None else b)  # noqa: E731
    g.case("dense_usual", "layer(x)", lambda x, w, b: F.linear(x, w.T, b), layer="dense(4)", batch=("x",),
           params={"w": r.grid(3, 4), "b": r.grid(4)}, x=r.grid(2, 3))
    g.case("dense_usual_bare", "layer(x)", dense, layer="dense(2, bias=false)", params={"w": r.grid(3, 2)}, x=r.grid(2, 2, 3))
    g.case("dense_edges", "layer(x)", dense, layer="dense(1)", batch=("x",), params={"w": [[100.0]], "b": [-100.0]}, x=[[1.0]])
    ids = np.array([[0, 2, 2], [4, 1, 0]])
    g.case("embed_usual", "layer(i)", lambda i, w: F.embedding(i, w), layer="embed(5, 3)", params={"w": r.grid(5, 3)}, i=ids)
    g.case("embed_edges", "layer(i)", lambda i, w: w[torch.tensor([0, 0, 0])] * torch.tensor([[0.0], [1], [0]]),
           layer="embed(1, 2)", params={"w": r.grid(1, 2)}, i=np.array([-1, 0, 1]))
    scale = {"scale": r.grid(3), "shift": r.grid(3)}
    one = {"scale": [2.0], "shift": [0.5]}
    same = np.full((2, 3, 2, 2), 100.0)
    shapes = (("usual", (2, 3, 2, 3)), ("usual_0", (4, 3)), ("usual_1", (3, 3, 2)), ("usual_3", (2, 3, 2, 1, 2)))
    for kind, shape in shapes:
        mu, var = r.grid(3), r.grid(3, low=0.5, high=2)
        x = r.grid(*shape)
        g.case("batchnorm_" + kind, "layer(x)",
               lambda x, scale, shift: F.batch_norm(x, torch.tensor(mu), torch.tensor(var), scale, shift), batch=("x",),
               layer="batchnorm", params=scale, states={"mu": mu, "var": var}, x=x)

        def training(x, scale, shift, momentum=0.1, eps=1e-5):
            mean, variance = torch.tensor(mu), torch.tensor(var)
            y = F.batch_norm(x, mean, variance, scale, shift, True, momentum, eps)
            return y, {"mu": mean, "var": variance}

        g.case("batchnorm_%s_training" % kind, "layer(x)", training, batch=("x",), layer="batchnorm", params=scale,
               states={"mu": mu, "var": var}, step=True, x=x)
    g.case("batchnorm_usual_set", "layer(x)", lambda *v: training(*v, momentum=0.25, eps=0.5), batch=("x",),
           layer="batchnorm(eps=0.5, momentum=0.25)", params=scale, states={"mu": mu, "var": var}, step=True, x=x)
    start = {"mu": np.zeros(3), "var": np.ones(3)}
    mu, var = start["mu"].copy(), start["var"].copy()
    g.case("batchnorm_edges_constant", "layer(x)", training, 1, layer="batchnorm", params=scale, states=start, step=True, x=same)
    # one value for each channel: PyTorch refuses it, the formula does not
    g.case("batchnorm_edges_one", "layer(x)", lambda x, scale, shift: (0 * x * scale + shift, {"mu": torch.tensor([10.0]),
           "var": torch.tensor([0.9])}), 0, layer="batchnorm", params=one, states={"mu": [0.0], "var": [1.0]}, step=True,
           x=[[100.0]])
    for kind, x, p in (("usual", r.grid(2, 2, 3), scale), ("edges", same[:, 0, :, :1], one), ("edges_one", [[100.0]], one),
                       ("edges_wide", np.array([[100.0, -100, 0]]), scale)):
        size = np.shape(x)[-1:]
        g.case("layernorm_" + kind, "layer(x)", lambda x, scale, shift: F.layer_norm(x, size, scale, shift), layer="layernorm",
               batch=("x",), params=p, x=x)
        g.case("rmsnorm_" + kind, "layer(x)",
               lambda x, scale: F.rms_norm(x, size, scale, torch.finfo(torch.float32).eps), layer="rmsnorm",
               batch=("x",), params={"scale": p["scale"]}, x=x)
    g.case("layernorm_usual_eps", "layer(x)", lambda x, scale, shift: F.layer_norm(x, (3,), scale, shift, 0.5),
           layer="layernorm(eps=0.5)", params=scale, x=r.grid(4, 3))
    g.case("rmsnorm_edges_zero", "layer(x)", lambda x, scale: F.rms_norm(x, (3,), scale, torch.finfo(torch.float32).eps), 1,
           layer="rmsnorm", params={"scale": scale["scale"]}, x=np.zeros((1, 3)))
    wide = {"scale": r.grid(4), "shift": r.grid(4)}
    for kind, x in (("usual", r.grid(2, 4, 2, 3)), ("usual_1", r.grid(2, 4, 3)), ("usual_0", r.grid(2, 4)),
                    ("usual_3", r.grid(1, 4, 2, 2, 1)), ("edges", np.full((1, 4, 2, 1), 100.0))):
        g.case("groupnorm_" + kind, "layer(x)", lambda x, scale, shift: F.group_norm(x, 2, scale, shift), batch=("x",),
               layer="groupnorm(2)", params=wide, x=x)
    g.case("groupnorm_edges_one", "layer(x)", lambda x, scale, shift: F.group_norm(x, 1, scale, shift), batch=("x",),
           layer="groupnorm(1)", params=one, x=r.grid(1, 1, 2, 2))
    for kind, x in (("usual", r.grid(2, 3, 2, 3)), ("usual_1", r.grid(2, 3, 4)), ("usual_3", r.grid(1, 3, 2, 1, 2)),
                    ("edges", same[:1])):
        g.case("instancenorm_" + kind, "layer(x)", lambda x, scale, shift: F.instance_norm(x, weight=scale, bias=shift),
               batch=("x",), layer="instancenorm", params=scale, x=x)
    g.case("lrn_usual", "lrn(x)", lambda x: F.local_response_norm(x, 5), batch=("x",), x=r.grid(2, 6, 2, 2))
    g.case("lrn_usual_set", "lrn(x, 3, alpha=0.5, beta=0.5, k=2)", lambda x: F.local_response_norm(x, 3, 0.5, 0.5, 2.0),
           x=r.grid(1, 4, 2, 3))
    g.case("lrn_usual_even", "lrn(x, 4, alpha=1)", lambda x: F.local_response_norm(x, 4, 1.0), x=r.grid(1, 5, 3))
    g.case("lrn_edges", "lrn(x)", lambda x: F.local_response_norm(x, 5), x=np.array([[[100.0]], [[0]], [[-100]]]))
    x = r.grid(4, 6)
    g.case("dropout_usual", "dropout(x, 0.25)", lambda x: x, x=x)

    def dropped(x, p, entry):
        kept = torch.tensor(Draws(entry, training=True).uniform(x.shape) >= p)
        return x * kept / (1 - p)

    g.case("dropout_usual_training", "dropout(x, 0.25)", lambda x: dropped(x, 0.25, "dropout_usual_training"), step=True, x=x)
    g.case("dropout_edges", "dropout(x, 0)", lambda x: x, step=True, x=x[:1, :1])
    g.case("dropout_edges_all", "dropout(x, 1)", lambda x: F.dropout(x, 1.0), step=True, x=np.array([[0, 100, -100.0]]))
    g.case("rrelu_usual_training", "rrelu(x, 0.25, 0.5)", lambda x: torch.where(x > 0, x, x * torch.tensor(
        0.25 + 0.25 * Draws("rrelu_usual_training", training=True).uniform((4, 6)))), step=True, x=x)


@group
def recurrence(g):
    def torch_layer(kind, xs, weights, biases, *state):
        """PyTorch's own layer with these weights, [in, gates]; with a state to begin with, the last one stands behind."""
        size = weights[1].shape[0]
        layer = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](xs.shape[2], size, batch_first=True)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        given = dict(zip(names, (weights[0].T, weights[1].T, *biases)))
        if not state:
            return torch.func.functional_call(layer, given, (xs,))[0]
        begun = tuple(s[None] for s in state)
        ys, last = torch.func.functional_call(layer, given, (xs, begun if kind == "lstm" else begun[0]))
        return torch.cat([ys, *(s[0][:, None] for s in (last if kind == "lstm" else (last,)))], dim=1)

    g.text.append("""def rnn_from(xs: [N, T, I], s: [N, h]) {
  ys, s = rnn(xs, h, s)
  concat(ys, s[:, None], axis=1)
}
def gru_from(xs: [N, T, I], s: [N, h]) {
  ys, s = gru(xs, h, s)
  concat(ys, s[:, None], axis=1)
}
def lstm_from(xs: [N, T, I], s: [N, h], c: [N, h]) {
  ys, s, c = lstm(xs, h, s, c)
  concat(ys, s[:, None], c[:, None], axis=1)
}""")
    sizes = (("usual", 2, 3, 4, 3), ("usual_long", 1, 9, 2, 2), ("edges_one", 1, 1, 1, 1))
    for kind, n, t, i, h in sizes:
        order = 1 if kind == "usual_long" else 2
        from_order = 2 if kind == "edges_one" else 1
        r = random("recurrence" + kind)
        x = r.grid(n, t, i)
        for name, gates in (("rnn", 1), ("gru", 3)):
            params = {"wx": r.grid(i, gates * h, low=-1, high=1), "wh": r.grid(h, gates * h, low=-1, high=1),
                      "bx": r.grid(gates * h, low=-1, high=1), "bh": r.grid(gates * h, low=-1, high=1)}
            g.case("%s_%s" % (name, kind), "layer(xs)", lambda xs, wx, wh, bx, bh: torch_layer(name, xs, (wx, wh), (bx, bh)),
                   order, layer="%s(%d)" % (name, h), params=params, batch=("xs",), xs=x)
            g.case("%s_%s_from" % (name, kind), "layer(xs, s)", lambda xs, s, wx, wh, bx, bh: torch_layer(
                name, xs, (wx, wh), (bx, bh), s), from_order, layer=name + "_from", part=name + "1.", params=params,
                batch=("xs", "s"), xs=x, s=random("state" + kind).grid(n, h))
        params = {"w": r.grid(i + h, 4 * h, low=-1, high=1), "b": r.grid(4 * h, low=-1, high=1)}
        g.case("lstm_%s_from" % kind, "layer(xs, s, c)", lambda xs, s, c, w, b: torch_layer(
            "lstm", xs, (w[:i], w[i:]), (b, 0 * b), s, c), from_order, layer="lstm_from", part="lstm1.", params=params,
            batch=("xs", "s", "c"), xs=x, s=random("state" + kind).grid(n, h), c=random("cell" + kind).grid(n, h))
        g.case("lstm_" + kind, "layer(xs)", lambda xs, w, b: torch_layer("lstm", xs, (w[:i], w[i:]), (b, 0 * b)), order,
               layer="lstm(%d)" % h, params=params, batch=("xs",), xs=x)
    for name, gates in (("rnn", 1), ("gru", 3)):
        params = {"wx": np.ones((1, gates)), "wh": np.ones((1, gates)), "bx": np.zeros(gates), "bh": np.zeros(gates)}
        g.case(name + "_edges", "layer(xs)", lambda xs, wx, wh, bx, bh: torch_layer(name, xs, (wx, wh), (bx, bh)),
               layer=name + "(1)", params=params, batch=("xs",), xs=np.array([[[0.0], [100]], [[-100], [0]]]))
    g.case("lstm_edges", "layer(xs)", lambda xs, w, b: torch_layer("lstm", xs, (w[:1], w[1:]), (b, 0 * b)), layer="lstm(1)",
           params={"w": np.ones((2, 4)), "b": np.zeros(4)}, batch=("xs",), xs=np.array([[[0.0], [100]], [[-100], [0]]]))
    r = random("attention")
    attend = F.scaled_dot_product_attention
    q, k, v = r.grid(2, 3, 4), r.grid(2, 3, 4), r.grid(2, 3, 2)
    g.case("attention_usual", "attention(q, k, v)", attend, batch=("q", "k", "v"), q=q, k=k, v=v)
    g.case("attention_usual_causal", "attention(q, k, v, causal=true)", lambda q, k, v: attend(q, k, v, is_causal=True), q=q, k=k, v=v)
    g.case("attention_usual_heads", "attention(q, k, v)", attend, q=r.grid(1, 2, 2, 3), k=r.grid(1, 2, 4, 3), v=r.grid(1, 2, 4, 2))
    mask = np.array([[True, False, True], [True, True, False], [False, True, True]])
    g.case("attention_usual_mask", "attention(q, k, v, mask=m)", lambda q, k, v, m: attend(q, k, v, attn_mask=m), q=q, k=k, v=v, m=mask)
    g.case("attention_edges", "attention(q, k, v)", attend, q=np.array([[100.0, 0]]), k=np.array([[100.0, 0], [-100, 0]]),
           v=np.array([[1.0], [-1]]))
    g.case("attention_edges_one", "attention(q, k, v, causal=true)", attend, q=[[1.5]], k=[[0.5]], v=[[-100.0]])

    def places(x):
        t, d = x.shape[1:]
        angle = np.arange(t)[:, None] / 10000.0 ** (np.arange(0, d, 2) / d)[None]
        table = np.zeros((t, d))
        table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
        return x + torch.tensor(table)

    g.case("positions_usual", "positions(x)", places, batch=("x",), x=r.grid(2, 5, 6))
    g.case("positions_edges", "positions(x)", places, batch=("x",), x=r.grid(1, 1, 2))
