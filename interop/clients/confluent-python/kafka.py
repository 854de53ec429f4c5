"""What the scenarios share: producers, an assigned consumer, the admin client, and checks that say what was expected."""
import os
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

LIMIT_S = 30


class Kafka:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        # How many there are. Topics get as many replicas.
        self.brokers = int(os.environ["INTEROP_BROKERS"])
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 500})
        self.remembered = {}

    def create(self, topic, partitions=1, **config):
        """Creates a topic; config keys with `_` for `.`. Returns when every partition has a leader that answers.

        Kafka answers the creation before its brokers act on it. A producer that is not idempotent would repeat what comes
        too early, out of order.
        """
        config = {key.replace("_", "."): str(value) for key, value in config.items()}
        self.admin.create_topics([NewTopic(topic, partitions, self.brokers, config=config)])[topic].result(LIMIT_S)

        def led():
            # Each time with a new client: one that once saw a partition without leader holds on to that for long.
            consumer = self.consumer()
            try:
                for partition in range(partitions):
                    consumer.get_watermark_offsets(TopicPartition(topic, partition), LIMIT_S, cached=False)
                return True
            except KafkaException:
                return False
            finally:
                consumer.close()

        eventually(f"every partition of {topic} has a leader", led)

    def producer(self, **config):
        config = {key.replace("_", "."): value for key, value in config.items()}
        return Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 2, **config})

    def produce(self, topic, records, **config):
        """Produces dictionaries of `Producer.produce`'s arguments, to partition 0 unless they say otherwise.

        Returns the (partition, offset) of each as the broker answered it, in the order given.
        """
        producer = self.producer(**config)
        places, errors = [None] * len(records), []

        def delivered(index):
            def on_delivery(error, message):
                if error:
                    errors.append(error)
                else:
                    places[index] = (message.partition(), message.offset())
            return on_delivery

        for index, record in enumerate(records):
            arguments = {"partition": 0, **record, "on_delivery": delivered(index)}
            while True:
                try:
                    producer.produce(topic, **arguments)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        left = producer.flush(LIMIT_S)
        if errors:
            raise KafkaException(errors[0])
        equal(left, 0, "records without answer")
        return places

    def consumer(self, **config):
        config = {key.replace("_", "."): value for key, value in config.items()}
        return Consumer({
            "bootstrap.servers": self.bootstrap,
            # Required by the constructor; partitions are assigned and nothing is committed, so no group comes to be.
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
            **config,
        })

    def read(self, topic, partitions=(0,), start=0, **config):
        """All messages of the partitions from offset `start` to the end, in the order in which they arrive."""
        consumer = self.consumer(**config)
        try:
            consumer.assign([TopicPartition(topic, partition, start) for partition in partitions])
            messages, ended = [], set()
            deadline = time.monotonic() + LIMIT_S
            while len(ended) < len(partitions):
                if time.monotonic() > deadline:
                    raise AssertionError(f"{len(messages)} messages and no end of {topic} after {LIMIT_S} s")
                for message in consumer.consume(10_000, 0.2):
                    error = message.error()
                    if error is None:
                        messages.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
                    else:
                        raise KafkaException(error)
            return messages
        finally:
            consumer.close()

    def latest(self, topic, partition=0):
        return self.bounds(topic, partition)[1]

    def bounds(self, topic, partition=0):
        """The log start offset and the high watermark, asked of the broker."""
        consumer = self.consumer()

        def ask():
            try:
                return consumer.get_watermark_offsets(TopicPartition(topic, partition), LIMIT_S, cached=False)
            except KafkaException as error:
                # For a moment after a start or a creation; this call is one that librdkafka does not repeat by itself.
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                    raise
                return None

        try:
            return eventually(f"{topic}-{partition} has a leader", ask)
        finally:
            consumer.close()


def equal(seen, expected, what):
    if seen != expected:
        raise AssertionError(f"{what}: expected {short(expected)}, saw {short(seen)}")


def short(value):
    text = repr(value)
    return text if len(text) < 400 else f"{text[:400]}... ({len(text)} characters)"


def refused(what, code, act):
    """Expects `act` to fail with the Kafka error `code`."""
    try:
        seen = act()
    except KafkaException as error:
        got = error.args[0]
        if got.code() != code:
            raise AssertionError(f"{what}: expected error {code}, saw {got.code()} ({got.name()}: {got.str()})")
        return got.str()
    raise AssertionError(f"{what}: expected error {code}, but it succeeded with {short(seen)}")


def eventually(what, holds):
    """Waits until `holds` gives something true, and returns it."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not after {LIMIT_S} s")
        time.sleep(0.02)
