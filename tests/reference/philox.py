"""nnc's random numbers once more, from their description alone: Philox 2x32-10 of Salmon et al. 2011, keyed by the seed,
the count of calls and the place in the program; by the name for what params start from. The seed is 0."""
import numpy as np

M = 0xFFFFFFFF


def philox(first, second, key):
    for _ in range(10):
        product = first * 0xD256D193
        first, second = (product >> 32) ^ key ^ second, product & M
        key = (key + 0x9E3779B9) & M
    return first, second


def fold(stream, key):
    return philox(key, 0x6E6E6373, stream)[0]


def name_hash(text):
    h = 0xCBF29CE484222325  # FNV-1a
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return (h ^ h >> 32) & M


def uniforms(key, count):
    return np.array([(philox(i, 0, key)[0] >> 8) * 2.0**-24 for i in range(count)])


class Draws:
    """What uniform(shape) gives, again and again, in the entry: in its first call, if it is a step."""

    def __init__(self, entry, training=False):
        self.entry, self.keys, self.count = entry, (0, 0, 0) if training else (0, 0), 0

    def uniform(self, shape):
        self.count += 1
        key = name_hash("%s/#%d" % (self.entry, self.count))
        for word in self.keys:
            key = fold(key, word)
        return uniforms(key, int(np.prod(shape))).reshape(shape)


def initial_key(name):
    return fold(fold(name_hash(name), 0), 0)


def initial_uniforms(name, shape, low, high):
    low, span = np.float32(low), np.float32(high) - np.float32(low)
    return low + span * uniforms(initial_key(name), int(np.prod(shape))).astype(np.float32)


def initial_normals(name, shape):
    words = np.array([philox(i, 0, initial_key(name)) for i in range(int(np.prod(shape)))], dtype=float)
    u, v = (words[:, 0] + 1) * 2.0**-32, words[:, 1] * 2.0**-32
    return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).reshape(shape)


def initial_orthogonal(name, shape):
    """Rows, or columns where there are more rows: each freed of those before, twice, then made of length 1; all in f32 but
    for sums."""
    w = initial_normals(name, shape).astype(np.float32)
    vectors = w.T if shape[0] > shape[1] else w
    for v in range(len(vectors)):
        for _ in range(2):
            for other in range(v):
                before = vectors[other].astype(float)
                vectors[v] = (vectors[v] - (before * vectors[v]).sum() * before).astype(np.float32)
        x = vectors[v].astype(float)
        vectors[v] = (x / np.sqrt((x * x).sum())).astype(np.float32)
    return w
