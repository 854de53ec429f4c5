"""Records written and read by librdkafka, run by rolling.py in an environment of its own: rdkafka_data.py BOOTSTRAP TOPIC PARTITIONS
PER_SECOND.

One thread produces numbers, idempotently, another one reads them in a group, both with librdkafka's defaults. Stops when standard input
ends, waits for what is under way, and prints one line of JSON, as DataLoad.java does.
"""
import json
import sys
import threading
import time

from confluent_kafka import Consumer, Producer

END_S = 60


class Seen:
    """What became of one kind of requests."""

    def __init__(self):
        self.answered, self.longest_s, self.last, self.errors = 0, 0, None, {}

    def answer(self):
        self.answered += 1
        self.end()

    def end(self):
        # What it takes until the first answer is the client's start.
        now = time.monotonic()
        self.longest_s, self.last = max(self.longest_s, now - (self.last or now)), now

    def fail(self, name, why):
        print(f"rdkafka_data: {why}", file=sys.stderr, flush=True)
        self.errors[name] = self.errors.get(name, 0) + 1

    def figures(self):
        return {"answered": self.answered, "longest_ms": round(self.longest_s * 1e3), "errors": self.errors}


class Writer(threading.Thread):
    def __init__(self, bootstrap, topic, partitions, per_second, stopped):
        super().__init__()
        self.topic, self.partitions, self.per_second, self.stopped = topic, partitions, per_second, stopped
        self.acked, self.seen = set(), Seen()
        self.client = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "logger": None})

    def run(self):
        began, number = time.monotonic(), 0
        while not self.stopped.is_set():
            self.client.produce(self.topic, str(number), partition=number % self.partitions, on_delivery=self.delivered(number))
            number += 1
            while (left := began + number / self.per_second - time.monotonic()) > 0:
                self.client.poll(left)
            self.client.poll(0)
        if self.client.flush(END_S):
            self.seen.fail("unacknowledged", "records are not acknowledged within a minute")
        self.seen.end()

    def delivered(self, number):
        def on_delivery(error, _message):
            if error is not None:
                self.seen.fail(error.name(), error)
            else:
                self.acked.add(number)
                self.seen.answer()
        return on_delivery


class Reader(threading.Thread):
    """A member of a group, alone in it. It may be given again what it had not committed, which is the same as before."""

    def __init__(self, bootstrap, topic, partitions, acked, flushed):
        super().__init__()
        self.acked, self.flushed, self.seen = acked, flushed, Seen()
        self.found, self.numbers = [[] for _ in range(partitions)], set()
        self.doubled = self.reordered = 0
        self.client = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest", "logger": None})
        self.client.subscribe([topic])

    def run(self):
        until = None
        while not self.flushed.is_set() or self.missing() and (until is None or time.monotonic() < until):
            if self.flushed.is_set():
                until = until or time.monotonic() + END_S
            message = self.client.poll(0.1)
            if message is not None and message.error() is None:
                self.see(message)
                self.seen.answer()
            elif message is not None:
                self.seen.fail(message.error().name(), message.error())
        self.client.close()

    def see(self, message):
        before, offset, number = self.found[message.partition()], message.offset(), int(message.value())
        if offset < len(before):
            if before[offset] != number:
                self.seen.fail("changed", "another record than before")
            return
        if offset > len(before):
            self.seen.fail("skipped", f"offset {offset} came in the place of {len(before)}")
            before.extend([-1] * (offset - len(before)))
        self.doubled += number in self.numbers
        self.reordered += bool(before) and before[-1] > number
        self.numbers.add(number)
        before.append(number)

    def missing(self):
        return len(self.acked - self.numbers)

    def figures(self):
        return self.seen.figures() | {"missing": self.missing(), "doubled": self.doubled, "reordered": self.reordered}


def main():
    bootstrap, topic, partitions, per_second = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    stopped, flushed = threading.Event(), threading.Event()
    writer = Writer(bootstrap, topic, partitions, per_second, stopped)
    reader = Reader(bootstrap, topic, partitions, writer.acked, flushed)
    writer.start(), reader.start()
    print("ready", flush=True)
    sys.stdin.read()
    stopped.set()
    writer.join()
    flushed.set()
    reader.join()
    print(json.dumps({"produce": writer.seen.figures(), "consume": reader.figures()}), flush=True)


main()
