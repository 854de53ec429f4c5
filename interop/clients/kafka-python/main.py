"""kafka-python's hands: `main.py BOOTSTRAP` carries out operations, `main.py member DESCRIPTION` is a member of a group."""
import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).parent.parent / "python"))

from kafka.errors import KafkaError

import hands
import member
import operations


def code_of(error):
    """Most errors of kafka-python are classes with Kafka's code; its own have none."""
    return getattr(error, "errno", None) if isinstance(error, KafkaError) else None


def main():
    if sys.argv[1] == "member":
        member.run(sys.argv[2])
        return
    own = hands.Hands(sys.argv[1])
    for line in sys.stdin:
        print(operations.answer(own, line, code_of), flush=True)


main()
