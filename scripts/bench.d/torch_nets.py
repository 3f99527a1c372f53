"""The nets in PyTorch, each with the canonical names of its modules in order, and the way between the two forms of weights."""
import numpy
import torch
from torch import nn
from torch.nn import functional


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(128, 256, batch_first=True), nn.Linear(256, 2)
        self.lstm.bias_hh_l0.requires_grad_(False)  # nnc's has one bias

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Block(nn.Module):
    def __init__(self, width=256, heads=4):
        super().__init__()
        self.heads = heads
        self.before, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.between, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        rows, time, width = x.shape
        q, k, v = (part.view(rows, time, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(self.before(x)).chunk(3, dim=-1))
        seen = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(seen.transpose(1, 2).reshape(rows, time, width))
        return x + self.down(functional.gelu(self.up(self.between(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks, self.head = nn.Sequential(*(Block() for _ in range(4))), nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.blocks(x).mean(dim=1))


class Residual(nn.Module):
    def __init__(self, wide_in, wide, stride):
        super().__init__()
        self.first = nn.Conv2d(wide_in, wide, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(wide)
        self.second = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(wide)
        self.short = nn.Identity()
        if stride != 1 or wide_in != wide:
            self.short = nn.Sequential(nn.Conv2d(wide_in, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, x):
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.short(x))


def resnet18():
    widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
    return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                         *(Residual(*width) for width in widths), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(512, 1000))


def wide(channels_in, channels):
    return [nn.Conv2d(channels_in, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


NETS = {
    "mlp128": lambda: nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
    "mlp512": lambda: nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)),
    "cnn": lambda: nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                                 nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                                 nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10)),
    "lenet": lambda: nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
                                   nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84),
                                   nn.Tanh(), nn.Linear(84, 10)),
    "convbn": lambda: nn.Sequential(*wide(3, 64), *wide(64, 64), nn.MaxPool2d(2), *wide(64, 128), nn.AdaptiveAvgPool2d(1),
                                    nn.Flatten(), nn.Linear(128, 10)),
    "resnet18": resnet18,
    "lstm": Recurrent,
    "tfm": Transformer,
}

TENSORS = {
    nn.Linear: (("w", "weight", True), ("b", "bias", False)),
    nn.Conv2d: (("w", "weight", False), ("b", "bias", False)),
    nn.BatchNorm2d: (("scale", "weight", False), ("shift", "bias", False), ("mu", "running_mean", False),
                     ("var", "running_var", False)),
    nn.LayerNorm: (("scale", "weight", False), ("shift", "bias", False)),
}


def pairs(net, names):
    """(canonical name, tensor of the module, whether it is transposed), module by module. `names` are the canonical modules'
    in the order in which the model makes them, and so do these modules."""
    order = iter(names)
    for module in net.modules():
        if isinstance(module, nn.LSTM) or type(module) in TENSORS:
            name = next(order)
            if isinstance(module, nn.LSTM):
                yield name, module, None
            for end, attribute, turned in TENSORS.get(type(module), ()):
                if getattr(module, attribute) is not None:
                    yield f"{name}.{end}", getattr(module, attribute), turned


def set_weights(net, names, weights):
    with torch.no_grad():
        for name, tensor, turned in pairs(net, names):
            if turned is None:
                both = torch.from_numpy(weights[name + ".w"].T.copy())
                tensor.weight_ih_l0.copy_(both[:, :128])
                tensor.weight_hh_l0.copy_(both[:, 128:])
                tensor.bias_ih_l0.copy_(torch.from_numpy(weights[name + ".b"]))
                tensor.bias_hh_l0.zero_()
            else:
                tensor.copy_(torch.from_numpy(weights[name].T if turned else weights[name]))


def get_weights(net, names):
    found = {}
    for name, tensor, turned in pairs(net, names):
        if turned is None:
            both = torch.cat([tensor.weight_ih_l0, tensor.weight_hh_l0], 1)
            found[name + ".w"], found[name + ".b"] = both.detach().numpy().T.copy(), tensor.bias_ih_l0.detach().numpy().copy()
        else:
            values = tensor.detach().numpy()
            found[name] = numpy.ascontiguousarray(values.T if turned else values).copy()
    return found
