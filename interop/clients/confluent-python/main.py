"""The scenarios for confluent-kafka (librdkafka), by its Python interface: `main.py BOOTSTRAP`.

Reads a scenario's name from a line of standard input, runs it, answers with a line: `passed`, `not offered`, or
`failed: REASON`; or carries out an operation; see interop/src/driver.rs. Tracebacks go to standard error.
`main.py member DESCRIPTION` is a member of a group.
"""
import pathlib
import sys
import traceback

sys.path.insert(1, str(pathlib.Path(__file__).parent.parent / "python"))

import administering
import hands
import lasting
import member
import offsets
import operations
import reading_and_writing
import restarting
from kafka import Kafka


def main():
    if sys.argv[1] == "member":
        member.run(sys.argv[2])
        return
    kafka = Kafka(sys.argv[1])
    own = hands.Hands(kafka)
    scenarios = {}
    for module in (reading_and_writing, offsets, administering, lasting, restarting):
        scenarios.update(module.SCENARIOS)
    for line in sys.stdin:
        if line.startswith("{"):
            print(operations.answer(own, line, hands.code_of), flush=True)
            continue
        scenario = scenarios.get(line.strip())
        if scenario is None:
            answer = "not offered"
        else:
            try:
                scenario(kafka)
                answer = "passed"
            except Exception as error:
                traceback.print_exc()
                answer = f"failed: {type(error).__name__}: {' '.join(str(error).split())}"
        print(answer, flush=True)


main()
