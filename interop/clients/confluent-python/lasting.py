"""What goes on for a while, or while something else happens."""
import threading
import time

from confluent_kafka import KafkaError, TopicPartition

from kafka import LIMIT_S, equal, eventually, refused


def concurrent_producers(kafka):
    producers, each = 6, 1500
    kafka.create("concurrent-producers")
    failures = []

    def write(number):
        try:
            kafka.produce("concurrent-producers", [{"key": str(number), "value": str(i)} for i in range(each)],
                          enable_idempotence=number % 2 == 0, acks="all", batch_num_messages=40)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(producers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], "failures")
    of = {}
    for offset, message in enumerate(kafka.read("concurrent-producers")):
        equal(message.offset(), offset, "offset")
        of.setdefault(message.key(), []).append(int(message.value()))
    equal(of, {str(number).encode(): list(range(each)) for number in range(producers)}, "each producer's values")


def timestamp_limits(kafka):
    kafka.create("timestamp-limits", message_timestamp_before_max_ms=60_000, message_timestamp_after_max_ms=60_000)

    def write(after_s, **config):
        record = {"value": b"v", "timestamp": int((time.time() + after_s) * 1000)}
        return kafka.produce("timestamp-limits", [record], **config)

    write(30)
    write(-30, compression_type="lz4")
    for after_s in (3600, -3600):
        for codec in ("none", "zstd"):
            refused(f"{after_s} s from now, {codec}", KafkaError.INVALID_TIMESTAMP,
                    lambda: write(after_s, compression_type=codec))
    equal(kafka.bounds("timestamp-limits"), (0, 2), "bounds")


def before_over_restart(kafka):
    """A producer and a consumer that go on while the broker is restarted."""
    kafka.create("over-restart")
    producer = kafka.producer(enable_idempotence=True, compression_type="snappy")
    stop, errors, sent = threading.Event(), [], []

    def write():
        while not stop.is_set():
            producer.produce("over-restart", str(len(sent)), partition=0,
                             on_delivery=lambda error, _: errors.append(error) if error else None)
            sent.append(None)
            producer.poll(0.002)
        if producer.flush(LIMIT_S):
            errors.append("records without answer")

    writing = threading.Thread(target=write)
    writing.start()
    consumer = kafka.consumer(enable_partition_eof=False)
    consumer.assign([TopicPartition("over-restart", 0, 0)])
    kafka.remembered = (stop, errors, sent, writing, consumer)
    eventually("100 records are written", lambda: kafka.latest("over-restart") >= 100)


def after_over_restart(kafka):
    stop, errors, sent, writing, consumer = kafka.remembered
    try:
        end = kafka.latest("over-restart")
        eventually("something is written after the restart", lambda: kafka.latest("over-restart") > end)
    finally:
        stop.set()
        writing.join()
    equal(errors, [], "the producer's errors")
    values, deadline = [], time.monotonic() + LIMIT_S
    while len(values) < len(sent) and time.monotonic() < deadline:
        values += [int(message.value()) for message in consumer.consume(1000, 0.2) if message.error() is None]
    consumer.close()
    equal(values, list(range(len(sent))), "what the consumer that was running has")
    equal(kafka.latest("over-restart"), len(sent), "records in the log")


SCENARIOS = {
    "concurrent-producers": concurrent_producers,
    "timestamp-limits": timestamp_limits,
    "over-restart:before": before_over_restart,
    "over-restart:after": after_over_restart,
}
