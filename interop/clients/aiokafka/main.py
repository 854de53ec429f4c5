"""aiokafka's hands: `main.py BOOTSTRAP` carries out operations, `main.py member DESCRIPTION` is a member of a group."""
import asyncio
import pathlib
import sys

sys.path.insert(1, str(pathlib.Path(__file__).parent.parent / "python"))

from aiokafka.errors import KafkaError

import hands
import member
import operations


def code_of(error):
    """Most errors of aiokafka are classes with Kafka's code; its own have none."""
    return getattr(error, "errno", None) if isinstance(error, KafkaError) else None


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    if sys.argv[1] == "member":
        loop.run_until_complete(member.run(sys.argv[2]))
        return
    own = hands.Hands(sys.argv[1])
    for line in sys.stdin:
        print(operations.answer(own, line, code_of, loop), flush=True)


main()
