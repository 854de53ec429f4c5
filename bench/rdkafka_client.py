"""Load by librdkafka, run by rdkafka_load.py in an environment of its own: rdkafka_client.py MODE BOOTSTRAP TOPIC [NUMBERS].

Each mode prints one line of JSON. Times are CLOCK_MONOTONIC's, which all processes share.

    produce BATCH_BYTES RECORD_BYTES RECORDS   as fast as it goes
    consume RECORDS                            everything that is there, once
    tail                                       from the end on, until a line comes on standard input
    rate RECORD_BYTES PER_SECOND SECONDS WARMUP_SECONDS
                                               open loop: a record is due at its time, whatever became of those before it
    steady EVERY_MS TIMEOUT_MS                 a record each so often, with that timeout of requests, until a line comes on standard
                                               input; prints when each was acknowledged, in ns
"""
import json
import os
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

# Of the records of `rate`, one in so many carries its time: Python could not look at all of them.
SAMPLED = 20
OFFSET_BEGINNING, OFFSET_END = -2, -1


def fail(error, _message=None):
    if error is not None and error.code() != KafkaError._ALL_BROKERS_DOWN:
        print(f"rdkafka_client: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def producer(bootstrap, **settings):
    return Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "error_cb": fail,
                     "queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 65_536} | settings)


def consumer(bootstrap, topic, start):
    # librdkafka asks for nothing for a second, unless told otherwise, when a broker has given it more than its application has
    # taken. Who reads as fast as it can would be measured by how often that came about: quick brokers lose.
    each = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                     "enable.auto.offset.store": False, "fetch.wait.max.ms": 100, "fetch.queue.backoff.ms": 5, "error_cb": fail})
    partitions = each.list_topics(topic, 30).topics[topic].partitions
    each.assign([TopicPartition(topic, index, start) for index in partitions])
    return each


def records_of(each, wait_s=0.1):
    for message in each.consume(10_000, wait_s):
        if message.error():
            raise KafkaException(message.error())
        yield message


def produce(bootstrap, topic, batch_bytes, record_bytes, records):
    to = producer(bootstrap, **{"batch.size": batch_bytes, "linger.ms": 100})
    value = os.urandom(record_bytes)
    started = time.monotonic()
    for _ in range(records):
        while True:
            try:
                to.produce(topic, value, on_delivery=None)
                break
            except BufferError:
                to.poll(0.01)
    if to.flush(60):
        raise SystemExit("rdkafka_client: records were not acknowledged within a minute")
    return {"MB/s": records * record_bytes / 1e6 / (time.monotonic() - started)}


def consume(bootstrap, topic, records):
    each = consumer(bootstrap, topic, OFFSET_BEGINNING)
    seen = size = 0
    started = last = time.monotonic()
    while seen < records:
        for message in records_of(each):
            seen, size, last = seen + 1, size + len(message), time.monotonic()
        if time.monotonic() - last > 30:
            raise SystemExit(f"rdkafka_client: {seen} records of {records}, and no more for half a minute")
    return {"MB/s": size / 1e6 / (time.monotonic() - started)}


def tail(bootstrap, topic):
    """Bytes read, and for records that carry their time, milliseconds from when they were due until they were here."""
    each = consumer(bootstrap, topic, OFFSET_END)
    told = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()
    size, times = 0, []
    # The first fetch settles where the end is.
    for _ in range(10):
        list(records_of(each))
    print("ready", flush=True)
    while not told.is_set():
        # One by one: who asks for many waits until they have come together.
        message = each.poll(0.01)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        size += len(message)
        if message.key():
            times.append((time.monotonic_ns() - int(message.key())) / 1e6)
    return {"bytes": size, **percentiles(times)}


def rate(bootstrap, topic, record_bytes, per_second, seconds, warmup_s):
    to = producer(bootstrap, **{"linger.ms": 0, "sticky.partitioning.linger.ms": 10})
    value = os.urandom(record_bytes)
    times, warm_at = [], time.monotonic_ns() + int(warmup_s * 1e9)

    def sampled(due_ns):
        def delivered(error, _message):
            fail(error)
            if due_ns >= warm_at:
                times.append((time.monotonic_ns() - due_ns) / 1e6)
        return delivered

    started = time.monotonic_ns()
    sent, total = 0, per_second * (seconds + warmup_s)
    while sent < total:
        due = min((time.monotonic_ns() - started) * per_second // 1_000_000_000 + 1, total)
        for i in range(sent, due):
            if i % SAMPLED:
                to.produce(topic, value)
            else:
                due_ns = started + i * 1_000_000_000 // per_second
                key = str(due_ns).encode() if due_ns >= warm_at else None
                to.produce(topic, value, key=key, partition=i // SAMPLED % 12, on_delivery=sampled(due_ns))
        sent = max(sent, due)
        to.poll(0.001)
    took = (time.monotonic_ns() - started) / 1e9
    if to.flush(60):
        raise SystemExit("rdkafka_client: records were not acknowledged within a minute")
    return {"records/s": total / took, **percentiles(times)}


def steady(bootstrap, topic, every_ms, timeout_ms):
    # What a client can do for itself: it asks again soon, and connects again at once.
    to = producer(bootstrap, **{"linger.ms": 0, "socket.timeout.ms": timeout_ms, "request.timeout.ms": timeout_ms,
                                "socket.connection.setup.timeout.ms": 1000, "reconnect.backoff.ms": 10, "message.timeout.ms": 0,
                                "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 10, "retry.backoff.max.ms": 50,
                                "topic.metadata.refresh.fast.interval.ms": 20, "error_cb": fail_if_fatal})
    told, acked = threading.Event(), []
    threading.Thread(target=lambda: (sys.stdin.readline(), told.set()), daemon=True).start()

    def delivered(error, _message):
        fail(error)
        acked.append(time.monotonic_ns())

    due = time.monotonic()
    while not told.is_set():
        to.produce(topic, b"x" * 100, partition=0, on_delivery=delivered)
        due = max(due + every_ms / 1e3, time.monotonic())
        # A poll ends with the first acknowledgement.
        while (left := due - time.monotonic()) > 0:
            to.poll(left)
    to.flush(10)
    return acked


def fail_if_fatal(error):
    if error.fatal():
        fail(error)


def percentiles(times):
    if not times:
        return {}
    times.sort()
    return {f"p{part}, ms": times[min(int(len(times) * part / 100), len(times) - 1)] for part in (50, 99, 99.9)}


def main():
    mode, bootstrap, topic, *numbers = sys.argv[1:]
    work = {"produce": produce, "consume": consume, "tail": tail, "rate": rate, "steady": steady}[mode]
    print(json.dumps(work(bootstrap, topic, *[int(number) for number in numbers])), flush=True)


main()
