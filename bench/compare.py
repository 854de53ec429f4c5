#!/usr/bin/env python3
"""ottla beside Apache Kafka, in one run, under the same load, from the same properties.

Each broker is started in turn as a single combined node on loopback, with its data under target/bench/. Kafka comes first, for
its saturation sets the rate of the latency workloads. Every topic has 12 partitions, values are random bytes without
compression, acks=all, and producers are idempotent. The workloads:

    produce-BATCH-RECORD   Kafka's ProducerPerformance as fast as it goes, into a new topic each round: batch.size 16,384 and
                           131,072, records of 1,024 and 100 bytes
    rdkafka-produce        the same by librdkafka, 16 KiB and 1 KB
    backlog-BATCH          a topic of 1 KB records from beginning to end, out of the page cache, by one Java consumer:
                           ConsumerPerformance, in a group, if both brokers have groups; AssignedConsumer.java without one
    rdkafka-backlog        the same by librdkafka, whose pause when it has more than is taken from it is 5 ms and not its usual second
    tail                   three librdkafka readers at the end of a topic that is produced to at a fixed rate, in small batches.
                           What they cost is the broker's CPU above that of the same load without readers
    latency-java           ProducerPerformance with its defaults at half of what Kafka took in produce-16k-1k: times until the
                           acknowledgement. It sends late when it is late: not an open loop
    latency-open           librdkafka with linger.ms=0 at the rate of `tail` or half of Kafka's saturation, whichever is less, with
                           one reader: times from when a record was due until it was acknowledged (ack) and read (e2e)

What is printed is the median of --rounds rounds after --warmup rounds, which fill Kafka's JIT and both page caches; of the
backlog workloads there are three times as many of either. CPU is utime + stime of the broker's process; a GB is 10^9 bytes of
the log, batch headers included, or of values for `tail`. Start-up is from fork to the first answered ApiVersions request,
without Kafka's format step. RSS is VmRSS, idle and after the load.

In full about fourteen minutes on two cores, with 4 GB of free memory. Kafka runs with -Xms1g -Xmx1g and the options of its own start
script, Java clients with -Xmx512m. Figures are for comparison within one run on one machine; client, broker and page
cache share the cores. Needs a JDK and Maven (`cargo xtask jars kafka` is called) and PyPI, and builds ottla with --release
unless --bin names one.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import sys
import time

import rdkafka_load
from brokers import BROKERS, Broker, prepare
from compare_report import lines
from report import show
from workloads import WORKLOADS, Run


def measure(name, chosen, half_saturation):
    """All figures of one broker: rounds by workload."""
    broker = Broker(name, chosen.bin, folder="compare")
    result = {"start-up, s": [], "workloads": {}}
    try:
        for _ in range(chosen.starts):
            result["start-up, s"].append(broker.start())
            broker.stop()
        broker.start()
        run = Run(broker, chosen, half_saturation)
        time.sleep(2)
        result["RSS idle, MB"] = broker.rss_mb()
        for workload in chosen.workloads:
            started = time.monotonic()
            result["workloads"][workload] = run.measure(workload)
            last = {key: round(value, 2) for key, value in result["workloads"][workload][-1].items()}
            print(f"{name} {workload}: {last} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
        result["RSS after the load, MB"] = broker.rss_mb()
        result["saturation, MB/s"] = run.saturation()
    finally:
        broker.stop()
        shutil.rmtree(broker.folder / "data", ignore_errors=True)
    return result


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="measured rounds (default 2)")
    parser.add_argument("--warmup", type=int, default=1, help="rounds before those (default 1)")
    parser.add_argument("--size", type=float, default=0.8, help="GB of 1 KB records a round, half as much of 100 B (default 0.8)")
    parser.add_argument("--seconds", type=int, default=15, help="of the workloads at a rate (default 15)")
    parser.add_argument("--rate", type=float, help="MB/s of the latency workloads, instead of half of Kafka's saturation")
    parser.add_argument("--quick", action="store_true", help="one short round of each, cold: not a result")
    parser.add_argument("--only", action="append", default=[], choices=BROKERS + list(WORKLOADS),
                        help="only this broker or workload; may be given several times")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write every round's figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    chosen = parser.parse_args()
    chosen.starts = 1 if chosen.quick else 3
    if chosen.quick:
        chosen.rounds, chosen.warmup, chosen.size, chosen.seconds = 1, 0, 0.1, 3
    # Kafka first: see above.
    chosen.brokers = [name for name in ("kafka", "ottla") if name in chosen.only] or ["kafka", "ottla"]
    chosen.workloads = [name for name in WORKLOADS if name in chosen.only] or list(WORKLOADS)
    return chosen


def main():
    chosen = options()
    chosen.bin = prepare(chosen.brokers, chosen.bin, java_load=True)
    print(f"confluent-kafka {rdkafka_load.prepare()}, {os.cpu_count()} cores, Linux {platform.release()}", file=sys.stderr)
    results, half = {}, chosen.rate
    for name in chosen.brokers:
        results[name] = measure(name, chosen, half)
        if half is None and results[name]["saturation, MB/s"]:
            half = results[name]["saturation, MB/s"] / 2
    show(lines(results, chosen.workloads), [name for name in BROKERS if name in results])
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))


main()
