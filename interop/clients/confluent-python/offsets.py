"""Reading from the right place: bounds, timestamps, positions in the middle."""
import time

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from kafka import LIMIT_S, equal


def list_offset(kafka, topic, spec, partition=0):
    """(offset, timestamp) by the admin client."""
    where = TopicPartition(topic, partition)
    answer = kafka.admin.list_offsets({where: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    result = answer[where].result(LIMIT_S)
    return result.offset, result.timestamp


def bounds(kafka):
    kafka.create("offset-bounds", 3)
    kafka.produce("offset-bounds", [{"value": b"v", "partition": i % 2} for i in range(30)])
    for partition, end in ((0, 15), (1, 15), (2, 0)):
        equal(kafka.bounds("offset-bounds", partition), (0, end), f"bounds of partition {partition}")
        equal(list_offset(kafka, "offset-bounds", OffsetSpec.earliest(), partition)[0], 0, "earliest")
        equal(list_offset(kafka, "offset-bounds", OffsetSpec.latest(), partition)[0], end, "latest")


def spread(kafka, topic):
    """Ten records, a second apart, in batches of one and of several, and the time of the first."""
    kafka.create(topic)
    start = int(time.time() * 1000) - 100_000
    records = [{"value": str(i).encode(), "timestamp": start + 1000 * i} for i in range(10)]
    kafka.produce(topic, records[:1])
    kafka.produce(topic, records[1:7], compression_type="zstd", linger_ms=50)
    kafka.produce(topic, records[7:])
    return start


def by_timestamp(kafka):
    start = spread(kafka, "offset-by-timestamp")
    consumer = kafka.consumer()
    try:
        for at, expected in ((0, 0), (1, 1), (1000, 1), (2500, 3), (9000, 9), (9001, OFFSET_END), (-50_000, 0)):
            asked = TopicPartition("offset-by-timestamp", 0, start + at)
            equal(consumer.offsets_for_times([asked], LIMIT_S)[0].offset, expected, f"offset for start + {at} ms")
    finally:
        consumer.close()
    found = list_offset(kafka, "offset-by-timestamp", OffsetSpec.for_timestamp(start + 2500))
    equal(found, (3, start + 3000), "offset and timestamp for start + 2500 ms")


def max_timestamp(kafka):
    kafka.create("offset-max-timestamp")
    equal(list_offset(kafka, "offset-max-timestamp", OffsetSpec.max_timestamp()), (-1, -1), "of an empty log")
    start = int(time.time() * 1000) - 100_000
    times = [start, start + 9000, start + 4000, start + 9000, start + 1000]
    for at in times:
        kafka.produce("offset-max-timestamp", [{"value": b"v", "timestamp": at}])
    found = list_offset(kafka, "offset-max-timestamp", OffsetSpec.max_timestamp())
    equal(found, (1, start + 9000), "offset and timestamp")


def from_the_middle(kafka):
    kafka.create("fetch-from-offset")
    # Offset 57 lies within a compressed batch: the batch is sent whole and the client skips what is before it.
    kafka.produce("fetch-from-offset", [{"value": str(i).encode()} for i in range(100)], compression_type="snappy",
                  linger_ms=50)
    read = [(m.offset(), m.value()) for m in kafka.read("fetch-from-offset", start=57)]
    equal(read, [(i, str(i).encode()) for i in range(57, 100)], "records from 57")
    equal([m.offset() for m in kafka.read("fetch-from-offset", start=OFFSET_BEGINNING)], list(range(100)), "all")
    equal(kafka.read("fetch-from-offset", start=OFFSET_END), [], "records from the end")


def out_of_range(kafka):
    kafka.create("offset-out-of-range")
    kafka.produce("offset-out-of-range", [{"value": b"v"}])
    try:
        kafka.read("offset-out-of-range", start=100)
        raise AssertionError("offset 100 of 1 can be read")
    except KafkaException as error:
        # librdkafka reports it under its own code when no reset policy says where to go on.
        equal(error.args[0].code(), KafkaError._AUTO_OFFSET_RESET, "the consumer's error")
        equal("out of range" in error.args[0].str().lower(), True, error.args[0].str())


SCENARIOS = {
    "offset-bounds": bounds,
    "offset-by-timestamp": by_timestamp,
    "offset-max-timestamp": max_timestamp,
    "fetch-from-offset": from_the_middle,
    "offset-out-of-range": out_of_range,
}
