"""Mail as the numbers of its words: spam.py FROM TO.safetensors

FROM holds a folder for each group of the public corpus of Spam Assassin. Of each mail the subject and the text are read,
tags and headers left out, and the first 100 words are kept: x i32 [mails, 100], -1 behind the end; y is 1 for spam. Words count
by how many mails of the training part have them: the 5,000 most frequent are 0 to 4,999, all others are left out. Every
fifth mail is for tests."""
import collections
import json
import os
import re
import sys

import tensors

WORDS, LENGTH = 5000, 100
GROUPS = {"easy-ham-1": 0, "easy-ham-2": 0, "hard-ham-1": 0, "spam-1": 1, "spam-2": 1}


def words(text):
    head, _, body = text.partition("\n\n")
    subject = re.search(r"^Subject:(.*)", head, re.M)
    body = re.sub(r"<[^>]*>", " ", body)
    return re.findall(r"[a-z]+|[$!]", ((subject[1] if subject else "") + " " + body).lower())


def main(source, target):
    mails = []
    for group, label in GROUPS.items():
        folder = os.path.join(source, group)
        for name in sorted(os.listdir(folder)):
            if name.endswith(".json"):
                with open(os.path.join(folder, name)) as file:
                    mails.append((words(json.load(file)["text"]), label))
    parts = {"train": [m for k, m in enumerate(mails) if k % 5], "test": mails[::5]}
    count = collections.Counter(word for text, _ in parts["train"] for word in set(text))
    ranked = sorted(count, key=lambda word: (-count[word], word))[:WORDS]
    index = {word: k for k, word in enumerate(ranked)}
    arrays = {}
    for part, rows in parts.items():
        x = []
        for text, _ in rows:
            known = [index[word] for word in text if word in index][:LENGTH]
            x += known + [-1] * (LENGTH - len(known))
        arrays["x_" + part] = ((len(rows), LENGTH), x)
        arrays["y_" + part] = ((len(rows),), [label for _, label in rows])
    tensors.write(target, arrays)


main(*sys.argv[1:])
