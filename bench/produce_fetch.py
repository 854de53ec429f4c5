#!/usr/bin/env python3
"""What a broker spends on produce and fetch: ottla beside Apache Kafka, in one run, from the same properties.

Each broker is started in turn as a single combined node on loopback, with its data under target/bench/, and gets the same
load from the same clients: Kafka's own ProducerPerformance, then AssignedConsumer.java (this folder), which reads assigned
partitions without a group. Per broker and workload there is one warm-up round and then --rounds measured ones; what is
printed is their median.

    produce-16k, produce-128k   12 partitions, records of 1,024 random bytes, no compression, batch.size 16,384 and 131,072,
                                acks=all (idempotent, as the producer's default has it), --size GB a round into a new topic
    consume-16k, consume-128k   the topic of the last produce round, read from beginning to end out of the page cache

CPU is utime + stime of the broker's process, from /proc/PID/stat. A GB is 10^9 bytes of the log: records as they are on the
wire and in the segment files, their batches' headers included. Start-up is from fork to the first answered ApiVersions
request, without Kafka's format step, which ottla does not have. RSS is VmRSS when idle after the start, and at the end.

The defaults (--size 1, --warmup 2, --rounds 3) write 10 GB per broker, at most 2 GB at a time on disk, and need 4 GB of free
memory to stay in the page cache. Kafka runs with -Xms1g -Xmx1g and the options of its own start script, the clients with -Xmx512m. Figures
are for comparison within one run on one machine; client, broker and page cache share the cores.

Needs a JDK and Maven (`cargo xtask jars kafka` is called), and builds ottla with --release unless --bin names one.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from brokers import BROKERS, JARS, ROOT, Broker, logging, prepare

BATCHES = {"16k": 16_384, "128k": 131_072}
WORKLOADS = [f"{verb}-{batch}" for batch in BATCHES for verb in ("produce", "consume")]
PARTITIONS = 12
RECORD_SIZE = 1024
CLIENT = ["java", "-Xmx512m", "-XX:+UseParallelGC"]


def client(*arguments, **options):
    command = [*CLIENT, *logging(), "-cp", f"{JARS}/*", *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if result.returncode:
        raise SystemExit(f"produce_fetch: {' '.join(arguments)} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def topics(broker, *arguments):
    client("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.bootstrap, *arguments)


def settle(broker):
    """Waits until the broker is at rest, so that one round's aftermath is not counted in the next."""
    while True:
        before = broker.cpu_seconds()
        time.sleep(0.5)
        if broker.cpu_seconds() - before <= 0.05:
            return


def produce(broker, topic, batch_size, size):
    """One round into a new topic."""
    topics(broker, "--create", "--topic", topic, "--partitions", str(PARTITIONS),
           # So that a deleted topic does not fill the disk for a minute.
           "--config", "file.delete.delay.ms=1000")
    settle(broker)
    records = int(size * 1e9 / RECORD_SIZE)
    before = broker.cpu_seconds()
    told = client("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", broker.bootstrap, "--topic", topic,
                  "--num-records", str(records), "--record-size", str(RECORD_SIZE), "--throughput", "-1",
                  "--reporting-interval", "3600000", "--print-metrics", "--command-property", f"batch.size={batch_size}",
                  # Long enough to fill every batch, so that both brokers get the same batches whatever their speed.
                  "linger.ms=100", "acks=all", "buffer.memory=67108864")
    cpu = broker.cpu_seconds() - before
    gb = broker.log_bytes(topic) / 1e9
    summary = next(line for line in told.splitlines() if "records sent" in line)
    per_second = float(summary.split(", ")[1].split()[0])
    return {"cpu_s_per_gb": cpu / gb, "mb_per_s": per_second * RECORD_SIZE / 1e6,
            "batch_bytes": metric(told, "batch-size-avg"), "gb": gb}


def metric(told, name):
    for line in told.splitlines():
        if line.startswith(f"producer-metrics:{name}:"):
            return float(line.rsplit(":", 1)[1])
    return None


def consume(broker, topic, rounds):
    """All rounds, by one client."""
    gb = broker.log_bytes(topic) / 1e9
    command = [*CLIENT, *logging(), "-cp", f"{JARS}/*", str(ROOT / "bench" / "AssignedConsumer.java"), broker.bootstrap,
               topic]
    figures = []
    with open(broker.folder / "consumer.log", "ab") as log:
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        for _ in range(rounds):
            settle(broker)
            before = broker.cpu_seconds()
            reader.stdin.write("\n")
            reader.stdin.flush()
            answer = reader.stdout.readline().split()
            cpu = broker.cpu_seconds() - before
            if len(answer) != 3:
                reader.kill()
                raise SystemExit(f"produce_fetch: the consumer failed; see {broker.folder}/consumer.log")
            figures.append({"cpu_s_per_gb": cpu / gb, "mb_per_s": int(answer[1]) / 1e6 / (int(answer[2]) / 1e3), "gb": gb})
        reader.stdin.close()
        reader.wait()
    return figures


def measure(name, options):
    """All figures of one broker: a list of rounds for each workload, the warm-up left out."""
    broker = Broker(name, options.bin)
    result = {"start_s": [], "workloads": {}}
    try:
        for _ in range(options.rounds):
            result["start_s"].append(broker.start())
            broker.stop()
        result["start_s"].append(broker.start())
        settle(broker)
        result["rss_idle_mb"] = broker.rss_mb()
        for label, batch_size in BATCHES.items():
            workloads = {verb: f"{verb}-{label}" for verb in ("produce", "consume")}
            result["workloads"].update(measure_batches(broker, workloads, batch_size, options))
        result["rss_end_mb"] = broker.rss_mb()
    finally:
        broker.stop()
    shutil.rmtree(broker.folder / "data", ignore_errors=True)
    return result


def measure_batches(broker, workloads, batch_size, options):
    """The wanted workloads of one batch size."""
    total = options.warmup + options.rounds
    figures = {}
    produced = []
    if workloads["produce"] in options.workloads:
        count = total
    else:
        # There must be something to read.
        count = 1 if workloads["consume"] in options.workloads else 0
    for i in range(count):
        topic = f"{workloads['produce']}-{i}"
        produced.append(produce(broker, topic, batch_size, options.size))
        progress(broker, workloads["produce"], i, options, produced[-1])
        if i + 1 < count or workloads["consume"] not in options.workloads:
            topics(broker, "--delete", "--topic", topic)
    if workloads["produce"] in options.workloads:
        figures[workloads["produce"]] = produced[options.warmup:]
    if workloads["consume"] in options.workloads:
        read = consume(broker, topic, total)
        for i, each in enumerate(read):
            progress(broker, workloads["consume"], i, options, each)
        figures[workloads["consume"]] = read[options.warmup:]
        topics(broker, "--delete", "--topic", topic)
    return figures


def progress(broker, workload, index, options, figures):
    kind = "warm-up" if index < options.warmup else f"round {index - options.warmup + 1}"
    print(f"{broker.name} {workload} {kind}: {figures['cpu_s_per_gb']:.2f} CPU-s/GB, {figures['mb_per_s']:.0f} MB/s",
          file=sys.stderr, flush=True)


def rows(results):
    """(what, figure by broker) for the table."""
    def over(figures, key, statistic):
        values = [each[key] for each in figures if each.get(key) is not None]
        return statistic(values) if values else None

    columns = (("cpu_s_per_gb", "CPU-s/GB", statistics.median), ("cpu_s_per_gb", "CPU-s/GB, best round", min),
               ("mb_per_s", "MB/s", statistics.median), ("batch_bytes", "mean batch, bytes", statistics.median))
    table = []
    for workload in WORKLOADS:
        of = {name: result["workloads"].get(workload, []) for name, result in results.items()}
        for key, unit, statistic in columns:
            figures = {name: over(rounds, key, statistic) for name, rounds in of.items()}
            if any(value is not None for value in figures.values()):
                table.append((f"{workload}: {unit}", figures))
    table.append(("start-up, s", {name: statistics.median(result["start_s"]) for name, result in results.items()}))
    for key, what in (("rss_idle_mb", "RSS idle, MB"), ("rss_end_mb", "RSS after the load, MB")):
        table.append((what, {name: result[key] for name, result in results.items()}))
    return table


def number(value):
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def show(results):
    names = list(results)
    both = len(names) == 2
    print(f"{'':36}" + "".join(f"{name:>10}" for name in names) + (f"{'ratio':>10}" if both else ""))
    for what, figures in rows(results):
        line = f"{what:36}" + "".join(f"{number(figures[name]):>10}" for name in names)
        if both and all(figures[name] for name in names):
            line += f"{figures[names[0]] / figures[names[1]]:>10.2f}"
        print(line)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--warmup", type=int, default=2, help="rounds before those (default 2)")
    parser.add_argument("--size", type=float, default=1.0, help="GB of records a round (default 1)")
    parser.add_argument("--only", action="append", default=[], choices=BROKERS + WORKLOADS,
                        help="only this broker or workload; may be given several times")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write every round's figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    chosen = parser.parse_args()
    chosen.brokers = [name for name in BROKERS if name in chosen.only] or BROKERS
    chosen.workloads = [name for name in WORKLOADS if name in chosen.only] or WORKLOADS
    return chosen


def main():
    chosen = options()
    chosen.bin = prepare(chosen.brokers, chosen.bin)
    results = {name: measure(name, chosen) for name in chosen.brokers}
    show(results)
    if chosen.json:
        chosen.json.write_text(json.dumps({"size_gb": chosen.size, "rounds": chosen.rounds, "brokers": results}, indent=2))


main()
