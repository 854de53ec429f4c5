"""Records go in and come out as they were."""
import random
import threading
import time

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError, TopicPartition

from kafka import LIMIT_S, equal, eventually, refused

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def round_trip(kafka):
    kafka.create("round-trip")
    pairs = [(key, value) for key in (b"key", b"", None) for value in (b"value", b"", None)]
    pairs.append((bytes(range(256)), bytes(reversed(range(256)))))
    places = kafka.produce("round-trip", [{"key": key, "value": value} for key, value in pairs])
    equal(places, [(0, offset) for offset in range(len(pairs))], "offsets answered")
    read = kafka.read("round-trip")
    equal([(m.key(), m.value()) for m in read], pairs, "keys and values")
    equal([m.offset() for m in read], list(range(len(pairs))), "offsets read")


def sample(count, seed):
    """Records of which some compress well and some do not."""
    chance = random.Random(seed)
    return [{"key": str(i).encode() if i % 3 else None,
             "value": chance.randbytes(chance.randrange(300)) if i % 2 else b"the same again " * (i % 40),
             "headers": [("n", str(i).encode())] if i % 5 == 0 else []} for i in range(count)]


def as_written(messages):
    return [{"key": m.key(), "value": m.value(), "headers": m.headers() or []} for m in messages]


def codec(name):
    def scenario(kafka):
        topic = f"codec-{name}"
        kafka.create(topic)
        records = sample(4000, name)
        kafka.produce(topic, records, compression_type=name, linger_ms=20)
        equal(as_written(kafka.read(topic)), records, "records")
    return scenario


def recompress(kafka):
    for stored in ("uncompressed", "gzip", "snappy", "lz4", "zstd"):
        topic = f"recompress-{stored}"
        kafka.create(topic, compression_type=stored)
        records = sample(300, stored)
        for name in CODECS:
            kafka.produce(topic, records, compression_type=name)
        equal(as_written(kafka.read(topic)), records * len(CODECS), f"records stored as {stored}")


def headers(kafka):
    kafka.create("headers")
    sets = [[("a", b"1"), ("b", b""), ("a", b"2"), ("null", None), ("a", b"1")], [("", b"no name")],
            [("ü", bytes(range(256)))], [], [(f"h{i}", str(i).encode()) for i in range(500)]]
    kafka.produce("headers", [{"value": b"v", "headers": each} for each in sets])
    equal([m.headers() or [] for m in kafka.read("headers")], sets, "headers")


def value_sizes(kafka):
    most = 11_000_000
    kafka.create("value-sizes", max_message_bytes=most)
    chance = random.Random(7)
    values = [chance.randbytes(size) for size in (1, 10, 1000, 16_384, 100_000, 1_048_588, 5_000_000, 10_000_000)]
    kafka.produce("value-sizes", [{"value": value} for value in values], message_max_bytes=most)
    read = [m.value() for m in kafka.read("value-sizes")]
    equal([len(value) for value in read], [len(value) for value in values], "sizes")
    equal([i for i, value in enumerate(values) if read[i] != value], [], "values that differ")
    # A fetch limit below the record still gets it: the first batch is always returned.
    read = [m.value() for m in kafka.read("value-sizes", fetch_message_max_bytes=1000, fetch_max_bytes=most)]
    equal([len(value) for value in read], [len(value) for value in values], "sizes with a small partition limit")


def timestamps(kafka):
    kafka.create("timestamps")
    now = int(time.time() * 1000)
    times = [now, now - 5000, now - 5000, now - 86_400_000, now + 60_000, 1]
    kafka.produce("timestamps", [{"value": b"v", "timestamp": each} for each in times])
    read = [m.timestamp() for m in kafka.read("timestamps")]
    equal(read, [(TIMESTAMP_CREATE_TIME, each) for each in times], "timestamps")


def log_append_time(kafka):
    kafka.create("log-append-time", message_timestamp_type="LogAppendTime")
    for name in CODECS:
        before = int(time.time() * 1000)
        kafka.produce("log-append-time", [{"value": b"v" * 100, "timestamp": 1000 + i} for i in range(10)],
                      compression_type=name)
        after = int(time.time() * 1000)
        for message in kafka.read("log-append-time")[-10:]:
            kind, at = message.timestamp()
            equal(kind, TIMESTAMP_LOG_APPEND_TIME, "timestamp type")
            equal(before <= at <= after, True, f"append time {at} in {before}..{after}")


def with_settings(topic, **config):
    def scenario(kafka):
        kafka.create(topic, 3)
        records = [{"value": str(i).encode(), "partition": i % 3} for i in range(3000)]
        places = kafka.produce(topic, records, **config)
        if config.get("acks") != 0:
            equal(places, [(i % 3, i // 3) for i in range(3000)], "places answered")
        for partition in range(3):
            eventually("all records arrived", lambda: kafka.latest(topic, partition) == 1000)
            read = [m.value() for m in kafka.read(topic, (partition,))]
            equal(read, [r["value"] for r in records[partition::3]], f"values of partition {partition}")
    return scenario


def bulk(kafka):
    count, partitions = 100_000, 12
    kafka.create("bulk", partitions)
    records = [{"key": str(i % 1013).encode(), "value": str(i).encode(), "partition": -1} for i in range(count)]
    places = kafka.produce("bulk", records, compression_type="lz4", enable_idempotence=True)
    read = kafka.read("bulk", range(partitions))
    equal(len(read), count, "records")
    next_offset = [0] * partitions
    last = [-1] * partitions
    for message in read:
        partition, number = message.partition(), int(message.value())
        equal(message.offset(), next_offset[partition], f"offset in partition {partition}")
        equal(number > last[partition], True, f"{number} after {last[partition]} in partition {partition}")
        equal((partition, message.offset()), places[number], f"place of {number}")
        next_offset[partition] += 1
        last[partition] = number
    equal(min(next_offset) > 0, True, f"every partition has records ({next_offset})")


def long_poll(kafka):
    kafka.create("long-poll")
    # A wait far beyond the time the record takes: only an answer at its arrival is in time.
    consumer = kafka.consumer(fetch_wait_max_ms=20_000, socket_timeout_ms=60_000)
    try:
        consumer.assign([TopicPartition("long-poll", 0, 0)])
        kafka.produce("long-poll", [{"value": b"first"}])
        equal(consumer.poll(LIMIT_S).value(), b"first", "the first record")
        got = []
        waiting = threading.Thread(target=lambda: got.append((consumer.poll(LIMIT_S), time.monotonic())))
        waiting.start()
        # The consumer's next fetch goes out on its own; the pause makes it likely that it waits at the broker by now.
        waiting.join(0.3)
        kafka.produce("long-poll", [{"value": b"second"}])
        produced = time.monotonic()
        waiting.join(LIMIT_S)
        message, arrived = got[0]
        if message is None:
            raise AssertionError("the record produced later does not arrive")
        equal(message.value(), b"second", "the record produced later")
        equal(arrived - produced < 5, True, f"it arrives at once, not {arrived - produced:.1f} s later")
    finally:
        consumer.close()


def record_too_large(kafka):
    kafka.create("record-too-large", max_message_bytes=2000)
    refused("3,000 bytes", KafkaError.MSG_SIZE_TOO_LARGE,
            lambda: kafka.produce("record-too-large", [{"value": b"x" * 3000}]))
    kafka.produce("record-too-large", [{"value": b"small"}])
    equal([m.value() for m in kafka.read("record-too-large")], [b"small"], "values")


def keyless_compacted(kafka):
    kafka.create("keyless-compacted", cleanup_policy="compact")
    refused("no key", KafkaError.INVALID_RECORD, lambda: kafka.produce("keyless-compacted", [{"value": b"v"}]))
    kafka.produce("keyless-compacted", [{"key": b"k", "value": b"v"}])
    equal([m.value() for m in kafka.read("keyless-compacted")], [b"v"], "values")


def auto_create(kafka):
    partition, offset = kafka.produce("auto-create", [{"value": b"v", "partition": -1}])[0]
    equal(offset, 0, "offset")
    topic = kafka.admin.list_topics("auto-create", LIMIT_S).topics["auto-create"]
    equal(sorted(topic.partitions), list(range(12)), "partitions")
    equal([m.value() for m in kafka.read("auto-create", (partition,))], [b"v"], "values")


def unknown_topic(kafka):
    consumer = kafka.consumer()
    try:
        found = consumer.list_topics("nowhere", LIMIT_S).topics["nowhere"]
        equal(found.error and found.error.code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "Metadata's error")
    finally:
        consumer.close()
    equal("nowhere" in kafka.admin.list_topics(timeout=LIMIT_S).topics, False, "the consumer created it")
    kafka.create("one-partition")
    refused("partition 7 of 1", KafkaError._UNKNOWN_PARTITION,
            lambda: kafka.produce("one-partition", [{"value": b"v", "partition": 7}], message_timeout_ms=5000))


SCENARIOS = {
    "round-trip": round_trip,
    **{f"codec-{name}": codec(name) for name in CODECS},
    "recompress": recompress,
    "headers": headers,
    "value-sizes": value_sizes,
    "timestamps": timestamps,
    "log-append-time": log_append_time,
    "idempotent": with_settings("idempotent", enable_idempotence=True, batch_num_messages=50),
    "acks-0": with_settings("acks-0", acks=0),
    "acks-1": with_settings("acks-1", acks=1),
    "acks-all": with_settings("acks-all", acks="all"),
    "bulk": bulk,
    "long-poll": long_poll,
    "record-too-large": record_too_large,
    "keyless-compacted": keyless_compacted,
    "auto-create": auto_create,
    "unknown-topic": unknown_topic,
}
