"""The workloads of compare.py, each measured on one broker."""
import statistics
import time

import java_load
import rdkafka_load
from brokers import settle
from wire import JOIN_GROUP, Connection

PARTITIONS = 12
BATCHES = {"16k": 16_384, "128k": 131_072}
RECORDS = {"1k": 1024, "100b": 100}
# Of `tail`: what three readers and a producer in Python can do beside a broker, on two cores.
TAIL_MB_PER_S, TAIL_READERS = 25, 3
# Reads of what is there take about a second, in which a client's start weighs: so many times as many rounds of them.
BACKLOG_ROUNDS = 3
# So that a deleted topic does not fill the disk for a minute.
CONFIGS = {"file.delete.delay.ms": "1000"}
# Where nothing was measured that tells.
DEFAULT_RATE_MB_PER_S = 25
JAVA_PRODUCE = [f"produce-{batch}-{record}" for batch in BATCHES for record in RECORDS]
WORKLOADS = [*JAVA_PRODUCE, "rdkafka-produce", *(f"backlog-{batch}" for batch in BATCHES), "rdkafka-backlog", "tail",
             "latency-java", "latency-open"]


class Run:
    """The workloads on one running broker."""

    def __init__(self, broker, chosen, half_saturation):
        self.broker, self.chosen, self.half = broker, chosen, half_saturation
        self.admin = Connection(broker.port)
        self.has_groups = self.admin.serves(JOIN_GROUP)
        self.topics = 0
        self.produced = {}

    def measure(self, workload):
        """The figures of each measured round."""
        kind, _, rest = workload.partition("-")
        if kind == "produce":
            batch, record = rest.split("-")
            rounds = self.rounds(lambda: self.produce(java_load.produce, BATCHES[batch], RECORDS[record]))
            self.produced[workload] = rounds
            return rounds
        return {"rdkafka-produce": lambda: self.rounds(lambda: self.produce(rdkafka_load.produce, BATCHES["16k"], RECORDS["1k"])),
                "backlog-16k": lambda: self.backlog(BATCHES["16k"]), "backlog-128k": lambda: self.backlog(BATCHES["128k"]),
                "rdkafka-backlog": self.rdkafka_backlog, "tail": lambda: self.rounds(self.tail),
                "latency-java": lambda: [self.latency_java()], "latency-open": lambda: [self.latency_open()]}[workload]()

    def rounds(self, work, times=1):
        done = [work() for _ in range((self.chosen.warmup + self.chosen.rounds) * times)]
        return done[self.chosen.warmup * times:]

    def reads(self, work):
        return self.rounds(work, 1 if self.chosen.quick else BACKLOG_ROUNDS)

    def saturation(self):
        """MB/s that the broker took in small batches of 1 KB records; None if that was not measured."""
        rounds = self.produced.get("produce-16k-1k")
        return statistics.median(each["MB/s"] for each in rounds) if rounds else None

    def rate(self):
        own = self.saturation()
        return self.half or (own / 2 if own else DEFAULT_RATE_MB_PER_S)

    def topic(self):
        self.topics += 1
        name = f"topic-{self.topics}"
        self.create(name)
        settle(self.broker)
        return name

    def create(self, topic):
        self.admin.create([topic], PARTITIONS, CONFIGS)

    def size_gb(self, record_bytes):
        # A client spends most of its time on records, not on bytes.
        return self.chosen.size if record_bytes >= 1000 else self.chosen.size / 2

    def produce(self, load, batch_bytes, record_bytes):
        topic = self.topic()
        figures = load(self.broker, topic, batch_bytes, record_bytes, self.size_gb(record_bytes))
        self.admin.delete(topic)
        return figures

    def filled(self, batch_bytes):
        """A topic with a round's records of 1 KB, and their number."""
        topic = self.topic()
        java_load.produce(self.broker, topic, batch_bytes, RECORDS["1k"], self.chosen.size)
        return topic, int(self.chosen.size * 1e9 / RECORDS["1k"])

    def backlog(self, batch_bytes):
        topic, records = self.filled(batch_bytes)
        if self.has_groups:
            figures = self.reads(lambda: java_load.consume_in_group(self.broker, topic, records))
        else:
            reader = java_load.Reader(self.broker, topic)
            figures = self.reads(reader.read)
            reader.close()
        self.admin.delete(topic)
        return figures

    def rdkafka_backlog(self):
        topic, records = self.filled(BATCHES["128k"])
        figures = self.reads(lambda: rdkafka_load.consume(self.broker, topic, records))
        self.admin.delete(topic)
        return figures

    def tail(self):
        """The broker's CPU with readers, above that without."""
        topic, rate, seconds = self.topic(), TAIL_MB_PER_S, self.chosen.seconds
        without, _ = self.loaded(topic, rate, seconds)
        readers = rdkafka_load.tails(self.broker, topic, TAIL_READERS)
        cpu, _ = self.loaded(topic, rate, seconds)
        # What was produced last is read a moment later.
        time.sleep(0.5)
        read = sum(rdkafka_load.result(self.broker, reader, "\n")["bytes"] for reader in readers)
        self.admin.delete(topic)
        return {"CPU-s/GB": max(cpu - without, 0) / (read / 1e9), "with producer, CPU-s": cpu,
                "read of produced": read / (TAIL_READERS * rate * 1e6 * seconds)}

    def loaded(self, topic, rate, seconds):
        settle(self.broker)
        before = self.broker.cpu_seconds()
        figures = rdkafka_load.at_rate(self.broker, topic, RECORDS["1k"], rate, seconds)
        return self.broker.cpu_seconds() - before, figures

    def latency_java(self):
        topic = self.topic()
        figures = java_load.produce_at(self.broker, topic, RECORDS["1k"], self.rate(), self.chosen.seconds, 5)
        self.admin.delete(topic)
        return {"MB/s asked for": self.rate(), **figures}

    def latency_open(self):
        topic, rate = self.topic(), min(self.rate(), TAIL_MB_PER_S)
        reader, = rdkafka_load.tails(self.broker, topic, 1)
        acked = rdkafka_load.at_rate(self.broker, topic, RECORDS["1k"], rate, self.chosen.seconds, 3)
        time.sleep(0.5)
        read = rdkafka_load.result(self.broker, reader, "\n")
        self.admin.delete(topic)
        return {"MB/s asked for": rate, "MB/s sent": acked["records/s"] * RECORDS["1k"] / 1e6,
                **{f"ack {key}": value for key, value in acked.items() if key.startswith("p")},
                **{f"e2e {key}": value for key, value in read.items() if key.startswith("p")}}
