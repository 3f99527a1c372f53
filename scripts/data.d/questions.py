"""Stories and questions: questions.py TO.safetensors

In a story of ten sentences four people go from room to room; the question is where one of them is, who was told of. story
i32 [n, 10, 5] and question i32 [n, 5] hold words by number, -1 behind the end, answer i32 [n] is the room: 0 to 5. The numbers
are drawn from a fixed seed; 4,000 stories are to learn from and 1,000 for tests. The form is that of the first task of
Weston et al., "Towards AI-complete question answering" (2015), whose own texts no package ships."""
import random
import sys

import tensors

ROOMS = ["kitchen", "garden", "office", "bathroom", "hallway", "bedroom"]
PEOPLE = ["mary", "john", "sandra", "daniel"]
WAYS = ["went", "moved", "travelled", "journeyed"]
WORDS = ROOMS + PEOPLE + WAYS + ["to", "the", "where", "is", "now"]
SENTENCES, LENGTH = 10, 5


def numbers(sentence):
    found = [WORDS.index(word) for word in sentence.split()]
    return found + [-1] * (LENGTH - len(found))


def tell(generator):
    where, story = {}, []
    for _ in range(SENTENCES):
        person, room = generator.choice(PEOPLE), generator.choice(ROOMS)
        where[person] = room
        story += numbers(f"{person} {generator.choice(WAYS)} to the {room}")
    person = generator.choice(sorted(where))
    return story, numbers(f"where is {person} now"), ROOMS.index(where[person])


def main(target):
    generator, arrays = random.Random(1), {}
    for part, count in (("train", 4000), ("test", 1000)):
        told = [tell(generator) for _ in range(count)]
        arrays["story_" + part] = ((count, SENTENCES, LENGTH), [n for story, _, _ in told for n in story])
        arrays["question_" + part] = ((count, LENGTH), [n for _, question, _ in told for n in question])
        arrays["answer_" + part] = ((count,), [answer for _, _, answer in told])
    tensors.write(target, arrays)


main(*sys.argv[1:])
