# The Python module against NumPy. Numbers are small and whole, means are over powers of two: float32 holds every step of
# the computation exactly, so results must be equal, not near.
import os
import subprocess
import sys
import unittest

import numpy as np

sys.path.insert(0, os.environ.get("MODULE", os.path.join(os.environ["SOURCE"], "python")))
import nnc  # noqa: E402

SOURCE = """
model m
dim N <= 64
dim 2 <= T <= 9
dim M <= 32 by 4
layer f = dense(2)
state calls: i32[] = 0
state turned: bool[2] = true
fn predict(x: [N, 4]) -> y { y = f(x) }
step fit(x: [N, 4], t: [N, 2], lr = 0.25) -> (loss, y) {
  y = f(x)
  loss = mse(y, t)
  minimize loss by sgd(lr)
  calls := calls + 1
}
step touch(k: i32[] = 3) { calls := calls + k }
fn mixed(a: i32[N, T], keep: bool[N], s: f32[]) -> (sums, kept, scaled) {
  sums = sum(a, axis=1)
  kept = not keep
  scaled = f32(a) * s
}
dim P <= 4096
fn large(x: [P, 64]) -> y {
  assert P >= 64
  y = x @ x[:64]
}
fn even(a: [M]) -> b { b = a + 1 }
fn noise(low: f32[]) -> z { z = uniform([N, 2]) + low }
fn doubled(x: [2 * T]) -> y { y = 2 * x }
fn window(x: [N, 4]) -> y {
  assert N >= 3, "too few"
  y = x[2:]
}
"""


class Module(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open("m.nn", "w") as file:
            file.write(SOURCE)
        subprocess.run([os.environ["NNC"], "m.nn", "-o", "m.so"], check=True)
        cls.random = np.random.default_rng(1)

    def setUp(self):
        self.m = nnc.Model("m.so")
        self.w = self.whole(4, 2)
        self.b = self.whole(2)
        self.m.state["f.w"], self.m.state["f.b"] = self.w, self.b

    def whole(self, *shape):
        return self.random.integers(-4, 5, shape).astype(np.float32)

    def same(self, found, wanted, dtype=np.float32):
        self.assertEqual(found.dtype, dtype)
        np.testing.assert_array_equal(found, wanted)

    def test_inference(self):
        for rows in (1, 7, 64):
            x = self.whole(rows, 4)
            self.same(self.m.predict(x), x @ self.w + self.b)
            self.same(self.m.predict(x=x.astype(np.float64)), x @ self.w + self.b)
        x = self.whole(8, 8)
        self.same(self.m.predict(x[::2, ::2]), x[::2, ::2] @ self.w + self.b)
        self.same(self.m.predict([[1, 2, 3, 4]]), np.array([[1, 2, 3, 4]]) @ self.w + self.b)

    def train(self, model):
        x, t = self.whole(8, 4), self.whole(8, 2)
        given = model.fit(x, t, lr=0.5)
        y = x @ self.w + self.b
        self.same(given.y, y)
        self.same(given.loss, np.mean((y - t) ** 2))
        g = 2 * (y - t) / y.size
        self.same(model.state["f.w"], self.w - 0.5 * (x.T @ g))
        self.same(model.state["f.b"], self.b - 0.5 * g.sum(axis=0))
        self.same(model.state["calls"], 1, np.int32)

    def test_training(self):
        self.train(self.m)

    def test_a_source_is_compiled(self):
        model = nnc.Model("m.nn", flags=["--no-fuse"])
        model.state["f.w"], model.state["f.b"] = self.w, self.b
        self.train(model)

    def test_threads(self):
        for count in (2, 3, 8):
            threads = nnc.Model("m.so", threads=count)
            threads.state["f.w"], threads.state["f.b"] = self.w, self.b
            self.train(threads)
            x = self.whole(4096, 64)
            self.same(threads.large(x), x @ x[:64])

    def test_two_models_share_nothing(self):
        other = nnc.Model("m.so")
        before = other.state["f.w"]
        self.m.fit(self.whole(2, 4), self.whole(2, 2))
        self.same(other.state["f.w"], before)

    def test_defaults(self):
        self.assertIsNone(self.m.touch())
        self.assertIsNone(self.m.touch(4))
        self.same(self.m.state["calls"], 7, np.int32)

    def test_dtypes(self):
        a, keep = self.random.integers(-9, 9, (5, 3)), np.array([True, False, True, True, False])
        sums, kept, scaled = self.m.mixed(a, keep, 0.5)
        self.same(sums, a.sum(axis=1), np.int32)
        self.same(kept, ~keep, np.bool_)
        self.same(scaled, a * 0.5)

    def test_draws(self):
        z = self.m.noise(3, N=50, seed=7)
        self.assertEqual(z.shape, (50, 2))
        self.assertTrue(((z >= 3) & (z <= 4)).all() and z.std() > 0.1)
        self.same(self.m.noise(3, seed=7, N=50), z)
        self.assertTrue((self.m.noise(3, seed=8, N=50) != z).any())

    def test_sizes_of_an_expression(self):
        self.same(self.m.doubled(np.arange(6), T=3), 2 * np.arange(6))
        with self.assertRaisesRegex(ValueError, r"must be \[8\]"):
            self.m.doubled(np.arange(6), T=4)

    def test_seed(self):
        self.assertTrue((nnc.Model("m.so", seed=1).state["f.w"] != nnc.Model("m.so", seed=2).state["f.w"]).any())

    def test_state(self):
        m = self.m
        self.assertEqual(m.state.trainable(), ["f.w", "f.b"])
        m.state["turned"] = [False, True]
        self.same(m.state["turned"], [False, True], np.bool_)
        view = m.state.view("calls")
        view[...] = 41
        m.touch(1)
        self.same(view, 42, np.int32)
        for fault, values in ((ValueError, np.zeros((2, 4))), (TypeError, np.zeros((4, 2), complex))):
            with self.assertRaises(fault):
                m.state["f.w"] = values
        with self.assertRaises(KeyError):
            m.state["f.x"]
        m.init(0)
        self.same(m.state["turned"], [True, True], np.bool_)

    def test_files(self):
        self.m.touch(5)
        self.m.save("m.safetensors")
        other = nnc.Model("m.so", seed=9)
        other.load("m.safetensors")
        for name in other.state:
            self.same(other.state[name], self.m.state[name], other.state[name].dtype)
        with open("m.safetensors", "rb") as file:
            data = file.read()
        for broken in (data[:-1], data[:20], b"", data.replace(b'"f.w"', b'"f.v"'), data.replace(b"[4,2]", b"[2,4]"),
                       data.replace(b"F32", b"F16"), data[:8] + b"[" + data[9:]):
            with open("broken.safetensors", "wb") as file:
                file.write(broken)
            with self.assertRaises(nnc.Error):
                self.m.load("broken.safetensors")
        self.same(self.m.state["f.w"], self.w)
        self.m.load("broken.safetensors".replace("broken", "m"), partial=True)
        self.assertEqual([name for name in os.listdir() if name.endswith(".part")], [])

    def test_mistakes(self):
        m, x = self.m, self.whole(3, 4)
        for fault, text, call in (
            (TypeError, "wants t", lambda: m.fit(x)),
            (TypeError, "twice", lambda: m.predict(x, x=x)),
            (TypeError, "takes 1", lambda: m.predict(x, x)),
            (TypeError, "no argument z", lambda: m.predict(x, z=1)),
            (TypeError, "give N=", lambda: m.noise(1)),
            (TypeError, "must be int32", lambda: m.touch(1.5)),
            (TypeError, "must be bool", lambda: m.mixed(np.ones((3, 4), int), np.ones(3), 1)),
            (OverflowError, "int32", lambda: m.touch(2**40)),
            (ValueError, "N is 3, but 2 in t", lambda: m.fit(x, self.whole(2, 2))),
            (ValueError, "from 1 to 64", lambda: m.predict(self.whole(65, 4))),
            (ValueError, "by 4", lambda: m.even(self.whole(6))),
            (ValueError, r"must be \[N, 4\]", lambda: m.predict(x[0])),
            (ValueError, r"must be \[3, 4\]", lambda: m.predict(self.whole(3, 5))),
            (AttributeError, "entries are predict", lambda: m.nothing),
            (nnc.Error, "window", lambda: m.window(self.whole(2, 4))),
            (nnc.Error, "absent", lambda: nnc.Model("absent.so")),
            (nnc.Error, "absent", lambda: nnc.Model("absent.nn")),
        ):
            with self.assertRaisesRegex(fault, text):
                call()


unittest.main(verbosity=0)
