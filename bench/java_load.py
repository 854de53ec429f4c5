"""Load by Kafka's own Java clients: ProducerPerformance, ConsumerPerformance, and AssignedConsumer.java of this folder."""
import subprocess

from brokers import JARS, ROOT, logging, settle

CLIENT = ["java", "-Xmx512m", "-XX:+UseParallelGC"]
# So that the producer fills every batch, and both brokers get the same batches whatever their speed.
FULL_BATCHES = ["linger.ms=100", "buffer.memory=67108864"]


def command(*arguments):
    return [*CLIENT, *logging(), "-cp", f"{JARS}/*", *arguments]


def run(*arguments):
    result = subprocess.run(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode:
        raise SystemExit(f"bench: {' '.join(arguments)} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def produce(broker, topic, batch_bytes, record_bytes, gb):
    """As fast as it goes, acks=all and idempotent (the producer's defaults). Broker's CPU and throughput."""
    before = broker.cpu_seconds()
    told = perf(broker, topic, int(gb * 1e9 / record_bytes), record_bytes, -1,
                f"batch.size={batch_bytes}", *FULL_BATCHES, "--print-metrics")
    cpu = broker.cpu_seconds() - before
    written_gb = broker.log_bytes(topic) / 1e9
    summary = [line for line in told.splitlines() if "records sent" in line][-1]
    per_second = float(summary.split(", ")[1].split()[0])
    mean = next(float(line.rsplit(":", 1)[1]) for line in told.splitlines()
                if line.startswith("producer-metrics:batch-size-avg:"))
    return {"CPU-s/GB": cpu / written_gb, "MB/s": per_second * record_bytes / 1e6, "mean batch, bytes": mean}


def perf(broker, topic, records, record_bytes, throughput, *properties):
    settings = [each for each in properties if not each.startswith("--")]
    flags = [each for each in properties if each.startswith("--")]
    return run("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", broker.bootstrap, "--topic", topic,
               "--num-records", str(records), "--record-size", str(record_bytes), "--throughput", str(throughput),
               "--reporting-interval", "3600000", *flags, "--command-property", "acks=all", *settings)


def produce_at(broker, topic, record_bytes, mb_per_s, seconds, warmup_s):
    """At a fixed rate with the producer's defaults. Times until the acknowledgement, those of the warm-up left out."""
    rate = int(mb_per_s * 1e6 / record_bytes)
    # Its flag takes a value, which the properties would otherwise swallow.
    told = run("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", broker.bootstrap, "--topic", topic,
               "--num-records", str(rate * (seconds + warmup_s)), "--record-size", str(record_bytes), "--throughput", str(rate),
               "--warmup-records", str(rate * warmup_s), "--reporting-interval", "3600000",
               "--command-property", "acks=all")
    # "..., 3 ms 50th, 9 ms 95th, 14 ms 99th, 31 ms 99.9th." The last line is the steady state's.
    summary = [line for line in told.splitlines() if " 99.9th" in line][-1]
    parts = [part.strip().split() for part in summary.split(",")]
    at = {part[2].rstrip("."): float(part[0]) for part in parts if len(part) >= 3 and part[2].rstrip(".").endswith("th")}
    return {"p50, ms": at["50th"], "p99, ms": at["99th"], "p99.9, ms": at["99.9th"]}


def consume_in_group(broker, topic, records):
    """ConsumerPerformance over the whole topic."""
    settle(broker)
    gb, before = broker.log_bytes(topic) / 1e9, broker.cpu_seconds()
    told = run("org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", broker.bootstrap, "--topic", topic,
               "--num-records", str(records), "--timeout", "60000", "--hide-header", "--reporting-interval", "3600000")
    cpu = broker.cpu_seconds() - before
    fields = [field.strip() for field in told.strip().splitlines()[-1].split(",")]
    # start, end, MiB, MiB/s, records, records/s, rebalance ms, fetch ms, MiB/s of fetching, records/s of fetching
    if int(fields[4]) < records:
        raise SystemExit(f"bench: {broker.name}: {fields[4]} records of {records} were read from {topic}")
    return {"CPU-s/GB": cpu / gb, "MB/s": float(fields[8]) * 1.048576}


class Reader:
    """AssignedConsumer.java: reads a topic from beginning to end, without a group, as often as it is told to."""

    def __init__(self, broker, topic):
        self.broker, self.gb = broker, broker.log_bytes(topic) / 1e9
        source = str(ROOT / "bench" / "AssignedConsumer.java")
        with open(broker.folder / "consumer.log", "ab") as log:
            self.process = subprocess.Popen(command(source, broker.bootstrap, topic), stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)

    def read(self):
        settle(self.broker)
        before = self.broker.cpu_seconds()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        cpu = self.broker.cpu_seconds() - before
        if len(answer) != 3:
            self.process.kill()
            raise SystemExit(f"bench: the consumer failed; see {self.broker.folder}/consumer.log")
        return {"CPU-s/GB": cpu / self.gb, "MB/s": int(answer[1]) / 1e6 / (int(answer[2]) / 1e3)}

    def close(self):
        self.process.stdin.close()
        self.process.wait()
