"""The same steps in PyTorch, on the same GPU: torch_steps.py TIMES, where a line is a label and our microseconds.

Eager, and torch.compile with CUDA graphs (mode "max-autotune-no-cudagraphs" is not what is compared). One step is forward,
backward and the optimizer's update, on data that lies on the GPU; a row tells the fastest of several batches of steps.
"""
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def conv_block(into, out):
    return nn.Sequential(nn.Conv2d(into, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))


class Basic(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.first, self.one = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.second, self.two = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.short = None
        if into != out or stride != 1:
            self.short = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.two(self.second(F.relu(self.one(self.first(x)))))
        return F.relu(y + (x if self.short is None else self.short(x)))


def resnet18():
    blocks, into = [], 64
    for out, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        blocks.append(Basic(into, out, stride))
        into = out
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.qkv, self.out = nn.LayerNorm(256), nn.Linear(256, 768), nn.Linear(256, 256)
        self.after = nn.Sequential(nn.LayerNorm(256), nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256))

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, t, 3, 4, 64).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, 256)
        x = x + self.out(y)
        return x + self.after(x)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.head = nn.Sequential(*[Layer() for _ in range(4)]), nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.layers(x).mean(1))


def dense(*sizes):
    layers = []
    for into, out in zip(sizes, sizes[1:]):
        layers += [nn.Linear(into, out), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def cnn():
    return nn.Sequential(conv_block(1, 16), conv_block(16, 32), dense(1568, 128, 10))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), dense(400, 120, 84, 10))


# label: net, input's shape, classes, momentum, the optimizer's class
NETS = {
    "mlp128": (lambda: dense(784, 128, 10), (64, 784), 10, 0.0),
    "mlp512": (lambda: dense(784, 512, 512, 10), (128, 784), 10, 0.0),
    "cnn": (cnn, (64, 1, 28, 28), 10, 0.0),
    "lenet": (lenet, (64, 1, 28, 28), 10, 0.9),
    "tfm": (Encoder, (8, 128, 256), 10, None),
    "resnet18": (resnet18, (64, 3, 224, 224), 1000, 0.9),
}


def fastest(call):
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    repeat = max(1, min(2000, int(0.1 / (time.perf_counter() - start))))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - start) / repeat)
    return 1e6 * best


def step_of(label, precision, compiled):
    make, shape, classes, momentum = NETS[label]
    net = make().cuda()
    x, y = torch.rand(shape, device="cuda"), torch.randint(0, classes, shape[:1], device="cuda")
    if momentum is None:
        optimizer = torch.optim.Adam(net.parameters(), 1e-3, capturable=True)
    else:
        optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=momentum)

    def forward():
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            return F.cross_entropy(net(x), y)

    loss_of = torch.compile(forward, mode="reduce-overhead") if compiled else forward

    def step():
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()

    return step


def product(precision):
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.rand(4096, 4096, device="cuda", dtype=dtype) for _ in range(2))
    return lambda: a @ b


def main():
    for line in open(sys.argv[1]):
        label, ours = line.split()
        name, _, precision = label.partition(".")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        theirs = []
        for compiled in (False, True):
            try:
                theirs.append(fastest(product(precision) if name == "product" else step_of(name, precision, compiled)))
            except Exception as error:  # one contestant's fault is told, and the others go on
                print(f"{label}: {type(error).__name__}: {error}"[:200], file=sys.stderr)
        best = min(theirs) if theirs else float("nan")
        told = ", ".join(f"{t:.1f}" for t in theirs)
        print(f"| bench | {label} | {float(ours):.1f} us | PyTorch eager, compiled: {told} us; {best / float(ours):.2f}x |")


main()
