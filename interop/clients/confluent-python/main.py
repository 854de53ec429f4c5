"""The scenarios for confluent-kafka (librdkafka), by its Python interface: `main.py BOOTSTRAP`.

Reads a scenario's name from a line of standard input, runs it, answers with a line: `passed`, `not offered`, or
`failed: REASON`; see interop/src/driver.rs. Tracebacks go to standard error.
"""
import sys
import traceback

import administering
import lasting
import offsets
import reading_and_writing
import restarting
from kafka import Kafka


def main():
    kafka = Kafka(sys.argv[1])
    scenarios = {}
    for module in (reading_and_writing, offsets, administering, lasting, restarting):
        scenarios.update(module.SCENARIOS)
    for line in sys.stdin:
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
