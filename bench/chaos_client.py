"""The clients of chaos.py, by librdkafka, each a process in an environment of its own:

    chaos_client.py produce BOOTSTRAP TOPIC PARTITIONS OUT NUMBER KIND PER_SECOND    KIND is idempotent or plain
    chaos_client.py consume BOOTSTRAP TOPIC PARTITIONS OUT COMMITS                   COMMITS is 1 or 0

A record's value says who wrote it, to which partition, and as which of its records there, and has bytes that follow from that
(crash.py's `payload`). Each goes on until a line comes on standard input, then comes to its end, writes what it knows to OUT and
prints one line of JSON. It never gives a record up.

    produce    by number: the offset that its acknowledgement named, UNKNOWN if that named none, UNACKED if there was none
    consume    by offset: the record as `coded`, from offset 0 to the high watermark at its end
"""
import array
import json
import random
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from chaos_records import END_S, FOREIGN, UNACKED, UNKNOWN, coded, save
from crash import payload

COMMITTED_EVERY_S, ASKED_EVERY_S, REQUEST_S = 0.5, 3, 5
# Soon again, as after a fault that is short.
SETTINGS = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20, "retry.backoff.max.ms": 200,
            "socket.timeout.ms": 3000, "topic.metadata.refresh.fast.interval.ms": 50, "log_level": 0}


def until_told():
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    return told


def produce(bootstrap, topic, partitions, out, producer, kind, per_second):
    errors, acked_at = [], [time.monotonic(), 0]
    client = Producer(SETTINGS | {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": kind == "idempotent",
                                  "linger.ms": 2, "batch.num.messages": 20, "queue.buffering.max.messages": 100_000,
                                  "message.timeout.ms": 0, "max.in.flight": 5,
                                  "error_cb": lambda error: error.fatal() and errors.append(str(error))})
    offsets = [array.array("q") for _ in range(partitions)]
    source, told = random.Random(producer), until_told()

    def delivered(partition, number):
        def on_delivery(error, message):
            if error:
                errors.append(str(error))
                return
            offset = message.offset()
            offsets[partition][number] = offset if offset is not None and offset >= 0 else UNKNOWN
            now = time.monotonic()
            acked_at[:] = [now, max(acked_at[1], now - acked_at[0])]
        return on_delivery

    due = time.monotonic()
    while not told.is_set() and not errors:
        partition = source.randrange(partitions)
        number = len(offsets[partition])
        try:
            client.produce(topic, payload(producer, partition, number), partition=partition,
                           on_delivery=delivered(partition, number))
            offsets[partition].append(UNACKED)
        except BufferError:
            pass
        except KafkaException as error:
            errors.append(str(error))
        due = max(due + 1 / per_second, time.monotonic() - 1)
        while (left := due - time.monotonic()) > 0:
            client.poll(left)
        client.poll(0)
    if not errors:
        client.flush(END_S)
    save(out, offsets)
    sent = sum(map(len, offsets))
    return {"sent": sent, "acked": sent - sum(each.count(UNACKED) for each in offsets), "longest_ms": round(acked_at[1] * 1e3),
            "problems": errors[:5]}


class Reader:
    def __init__(self, bootstrap, topic, partitions, commits):
        self.topic, self.commits = topic, commits
        self.seen = [array.array("q") for _ in range(partitions)]
        self.problems, self.errors = [], {}
        self.committed = {}
        self.client = Consumer(SETTINGS | {
            "bootstrap.servers": bootstrap, "group.id": "chaos", "enable.auto.commit": False, "auto.offset.reset": "error",
            "check.crcs": True, "fetch.wait.max.ms": 100, "on_commit": self.on_commit,
            "error_cb": lambda error: error.fatal() and self.problems.append(str(error))})
        self.client.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])

    def take(self):
        for message in self.client.consume(1000, 0.1):
            error, partition = message.error(), message.partition()
            if error is None:
                self.see(partition, message.offset(), message.value())
            elif error.code() in (KafkaError._LOG_TRUNCATION, KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE,
                                  KafkaError._BAD_MSG):
                self.problem(f"partition {partition}, after {len(self.seen[partition])} records: {error}")
            else:
                # Leaders that change, and the like: it goes on by itself.
                self.errors[error.name()] = self.errors.get(error.name(), 0) + 1

    def see(self, partition, offset, value):
        if offset != len(self.seen[partition]):
            self.problem(f"partition {partition}: offset {offset} came in the place of {len(self.seen[partition])}")
        if offset < len(self.seen[partition]):
            return
        self.seen[partition].extend([FOREIGN] * (offset - len(self.seen[partition])))
        self.seen[partition].append(coded(value, partition))

    def problem(self, what):
        if len(self.problems) < 20:
            self.problems.append(what)

    def on_commit(self, error, partitions):
        """Notes what was acknowledged."""
        for each in partitions:
            if error is None and each.error is None:
                self.committed[each.partition] = max(each.offset, self.committed.get(each.partition, 0))

    def commit(self):
        ready = [TopicPartition(self.topic, partition, len(seen)) for partition, seen in enumerate(self.seen) if seen]
        if ready:
            self.client.commit(offsets=ready, asynchronous=True)

    def ask(self):
        """A committed offset that was acknowledged is there."""
        acknowledged = dict(self.committed)
        try:
            told = self.client.committed([TopicPartition(self.topic, each) for each in acknowledged], REQUEST_S)
        # The coordinator is away.
        except KafkaException:
            return False
        for each in told:
            if each.error is None and each.offset < acknowledged[each.partition]:
                self.problem(f"partition {each.partition}: committed {acknowledged[each.partition]}, and {each.offset} is there")
        return all(each.error is None for each in told)

    def ends(self):
        """Whether it has read all that there is."""
        try:
            marks = [self.client.get_watermark_offsets(TopicPartition(self.topic, each), REQUEST_S) for each in range(len(self.seen))]
        except KafkaException:
            return False
        return all(len(seen) >= high for seen, (_, high) in zip(self.seen, marks))


def consume(bootstrap, topic, partitions, out, commits):
    reader, told = Reader(bootstrap, topic, partitions, commits), until_told()
    committed_at = asked_at = time.monotonic()
    while not told.is_set():
        reader.take()
        now = time.monotonic()
        if commits and now > committed_at + COMMITTED_EVERY_S:
            reader.commit()
            committed_at = now
        if commits and now > asked_at + ASKED_EVERY_S:
            reader.ask()
            asked_at = time.monotonic()
    until = time.monotonic() + END_S
    while not reader.ends():
        if time.monotonic() > until:
            reader.problem("it cannot read to the end")
            break
        reader.take()
    if commits and not reader.ask():
        reader.problem("committed offsets cannot be asked for")
    reader.client.close()
    save(out, reader.seen)
    return {"read": sum(map(len, reader.seen)), "errors": reader.errors, "problems": reader.problems}


def main():
    mode, bootstrap, topic, partitions, out, *rest = sys.argv[1:]
    print("ready", flush=True)
    if mode == "produce":
        told = produce(bootstrap, topic, int(partitions), out, int(rest[0]), rest[1], int(rest[2]))
    else:
        told = consume(bootstrap, topic, int(partitions), out, int(rest[0]))
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
