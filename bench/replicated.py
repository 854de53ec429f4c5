#!/usr/bin/env python3
"""What three replicas cost: ottla beside Apache Kafka, three brokers each, in one run, under the same load.

    python3 bench/replicated.py                                # all of it, about twenty-five minutes on two cores
    python3 bench/replicated.py --only ottla --only produce-16k-1k   # one cluster, one workload
    python3 bench/replicated.py --quick                        # a short round of each, cold: not a result

Each cluster is started in turn: three combined nodes on loopback, each a broker and a voter of the metadata quorum, with no
settings but their addresses. Kafka comes first, for its saturation sets the rate of the latency workload. Every topic has 12 partitions
with three replicas and min.insync.replicas=2, values are random bytes without compression, acks=all, and producers are idempotent:

    produce-BATCH-RECORD   Kafka's ProducerPerformance as fast as it goes, into a new topic each round: batch.size 16,384 and
                           131,072, records of 1,024 and 100 bytes
    latency-open           librdkafka with linger.ms=0 at half of what Kafka took in produce-16k-1k, with one reader: times from when a record
                           was due until it was acknowledged by all (ack) and read (e2e)

What is printed is the median of --rounds rounds after --warmup rounds, which fill Kafka's JIT and both page caches. CPU is utime +
stime of all three brokers; a GB is 10^9 bytes of one replica's log, batch headers included. RSS is VmRSS, of all three and of the
largest, idle and after the load.

Needs 5 GB of free memory. Each Kafka runs with -Xms1g -Xmx1g and the options of its own start script. Clients, brokers and page
cache share the cores: figures are for comparison within one run. Needs a JDK and Maven (`cargo xtask jars kafka` is called) and PyPI,
and builds ottla with --release unless --bin names one.
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
from brokers import BROKERS, prepare
from compare_report import workload_lines
from nodes import NODES, Nodes
from report import Line, show
from workloads import CONFIGS, JAVA_PRODUCE, PARTITIONS, Run

FOLDER = "replicated"
WORKLOADS = [*JAVA_PRODUCE, "latency-open"]
CPU, THROUGHPUT, P99 = 0.3, 2.0, 0.5
RSS = ["idle", "after the load"]


class Cluster(Nodes):
    """Three brokers, to a load like one."""

    AT_REST_S = 0.2

    def __init__(self, name, bin_path):
        super().__init__(name, bin_path, FOLDER)
        self.port = self.nodes[0].port

    def cpu_seconds(self):
        return sum(node.cpu_seconds() for node in self.nodes)

    def log_bytes(self, topic):
        """Of one replica."""
        return self.nodes[0].log_bytes(topic)

    def rss_mb(self):
        """Of all, and of the largest."""
        taken = [node.rss_mb() for node in self.nodes]
        return sum(taken), max(taken)


class Replicated(Run):
    def create(self, topic):
        self.admin.create([topic], PARTITIONS, CONFIGS | {"min.insync.replicas": "2"}, replicas=NODES)
        self.broker.each(self.broker.nodes, lambda node: node.await_view("full ISRs", lambda view: view.full([topic], PARTITIONS)))

    def measure(self, workload):
        return self.rounds(self.latency_open) if workload == "latency-open" else super().measure(workload)


def measure(name, chosen, half_saturation):
    """All figures of one cluster: rounds by workload."""
    cluster = Cluster(name, chosen.bin)
    result = {"RSS, MB": [], "workloads": {}}
    try:
        cluster.start()
        run = Replicated(cluster, chosen, half_saturation)
        time.sleep(2)
        result["RSS, MB"].append(cluster.rss_mb())
        for workload in chosen.workloads:
            started = time.monotonic()
            result["workloads"][workload] = run.measure(workload)
            last = {key: round(value, 2) for key, value in result["workloads"][workload][-1].items()}
            print(f"{name} {workload}: {last} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
        result["RSS, MB"].append(cluster.rss_mb())
        result["saturation, MB/s"] = run.saturation()
    finally:
        cluster.end()
        for node in cluster.nodes:
            shutil.rmtree(node.folder / "data", ignore_errors=True)
    return result


def target(workload, key):
    """(at most, at least) of ottla's figure divided by Kafka's."""
    if key == "CPU-s/GB":
        return CPU, None
    if key == "MB/s":
        return None, THROUGHPUT
    return (P99, None) if key == "e2e p99, ms" else (None, None)


def lines(results, workloads):
    table = workload_lines(results, workloads, target)
    for index, when in enumerate(RSS):
        for at, whose in enumerate(["all three", "the largest"]):
            table.append(Line(f"RSS {when}, {whose}, MB", {name: result["RSS, MB"][index][at] for name, result in results.items()}))
    return table


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="measured rounds (default 2)")
    parser.add_argument("--warmup", type=int, default=1, help="rounds before those (default 1)")
    parser.add_argument("--size", type=float, default=0.4, help="GB of 1 KB records a round, half as much of 100 B (default 0.4)")
    parser.add_argument("--seconds", type=int, default=20, help="of the latency workload (default 20)")
    parser.add_argument("--rate", type=float, help="MB/s of the latency workload, instead of half of Kafka's saturation")
    parser.add_argument("--quick", action="store_true", help="one short round of each, cold: not a result")
    parser.add_argument("--only", action="append", default=[], choices=BROKERS + WORKLOADS,
                        help="only this broker or workload; may be given several times")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write every round's figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.warmup, chosen.size, chosen.seconds = 1, 0, 0.05, 3
    # Kafka first: see above.
    chosen.brokers = [name for name in ("kafka", "ottla") if name in chosen.only] or ["kafka", "ottla"]
    chosen.workloads = [name for name in WORKLOADS if name in chosen.only] or list(WORKLOADS)
    return chosen


def main():
    chosen = options()
    chosen.bin = prepare(chosen.brokers, chosen.bin, java_load=True)
    print(f"confluent-kafka {rdkafka_load.prepare()}, {os.cpu_count()} cores, Linux {platform.release()}", file=sys.stderr)
    load, results, half = os.getloadavg()[0], {}, chosen.rate
    for name in chosen.brokers:
        results[name] = measure(name, chosen, half)
        if half is None and results[name]["saturation, MB/s"]:
            half = results[name]["saturation, MB/s"] / 2
    print(f"\nload average {load:.1f} before, on {os.cpu_count()} processors\n")
    show(lines(results, chosen.workloads), [name for name in BROKERS if name in results])
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
