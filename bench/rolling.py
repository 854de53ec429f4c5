#!/usr/bin/env python3
"""A rolling restart of three brokers while clients write, read and administer: ottla, and Apache Kafka if asked for.

    python3 bench/rolling.py                                  # ottla, two rounds, about half a minute
    python3 bench/rolling.py --against kafka                  # and Kafka 4.3.1 at its defaults, four to five minutes more
    python3 bench/rolling.py --bin target/debug/ottla --rounds 1

Three combined nodes are started on loopback, each a broker and a voter of the metadata quorum, with no settings but their
addresses. Java's clients and librdkafka, at their defaults, do two things: they administer (describe topics, configurations and
the cluster without a pause, and create, configure and delete topics with three replicas), and they write 300 records a second, with
acks=all and idempotently, to a topic with three replicas and min.insync.replicas=2, and read them in a group. Meanwhile one node
after another is stopped with SIGTERM, started again when its process has ended, and the next one follows when all nodes name three
brokers again and all replicas of those topics in sync, and a second later. `--load` does only one of the two.

    errors     what a client told its application, rather than to try again by itself: must be 0
    repeated   creations of a topic that is there and deletions of one that is not: the answer to the same request, sent before,
               was lost with its connection. Clients cannot avoid them, and any broker that stops may cause some
    lost       requests of librdkafka whose connection ended before their answer came: Java's client sends such ones again,
               librdkafka tells its application. Kafka costs as many
    longest    the longest time without a request that was answered well, of those that describe, change, write and read
    missing    records that were acknowledged, and that the reader was not given within a minute after the end
    doubled    records that are there twice; reordered, those behind a later one

It exits with 1 when there was an error with ottla, a record was lost, doubled or reordered, or a node does not come back.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import rdkafka_load
from brokers import ROOT, WORK, prepare
from java_load import command
from nodes import NODES, PATIENCE_S, Nodes, Overdue
from report import Line, show
from wire import Connection

FOLDER = "rolling"
KEPT = [f"kept-{number}" for number in range(20)]
PARTITIONS = 3
DATA, DATA_PARTITIONS, PER_SECOND = {"java": "data-java", "librdkafka": "data-librdkafka"}, 6, 300
PAUSE_S = 1
NONE_OF = ["missing", "doubled", "reordered"]


def commands(bootstrap, loads):
    """Each client's command line, by its name."""
    kept, bench, found = ",".join(KEPT), ROOT / "bench", {}
    python = str(rdkafka_load.PYTHON)
    if "admin" in loads:
        found |= {"java": command(str(bench / "AdminLoad.java"), bootstrap, "java-", kept),
                  "librdkafka": [python, str(bench / "rdkafka_admin.py"), bootstrap, "rd-", kept]}
    if "data" in loads:
        rest = [str(DATA_PARTITIONS), str(PER_SECOND)]
        found |= {"java's data": command(str(bench / "DataLoad.java"), bootstrap, DATA["java"], *rest),
                  "librdkafka's data": [python, str(bench / "rdkafka_data.py"), bootstrap, DATA["librdkafka"], *rest]}
    return found


class Clients:
    """All of them, each a process of its own."""

    def __init__(self, cluster, loads):
        log = open(cluster.folder / "clients.log", "ab")
        self.processes = {name: subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
                          for name, line in commands(cluster.bootstrap, loads).items()}

    def await_ready(self):
        for name, process in self.processes.items():
            if process.stdout.readline().strip() != "ready":
                raise Overdue(f"the {name} client did not start; see clients.log")

    def results(self):
        """Stops them; what each one saw."""
        for process in self.processes.values():
            process.stdin.close()
        found = {}
        for name, process in self.processes.items():
            told = process.stdout.read().strip().splitlines()
            if process.wait() or not told:
                raise Overdue(f"the {name} client failed; see clients.log")
            found[name] = json.loads(told[-1])
        return found

    def kill(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def measure(name, chosen):
    """One cluster's restarts, and what its clients saw of them."""
    cluster, clients = Nodes(name, chosen.bin, FOLDER), None
    result = {"stop_s": [], "back_s": [], "full_s": [], "clients": {}, "failure": None}
    try:
        cluster.start()
        with Connection(cluster.nodes[0].port, PATIENCE_S) as connection:
            connection.create(KEPT, PARTITIONS, replicas=NODES)
            connection.create(DATA.values(), DATA_PARTITIONS, {"min.insync.replicas": "2"}, replicas=NODES)
        await_full(cluster)
        clients = Clients(cluster, chosen.load)
        clients.await_ready()
        time.sleep(3 * PAUSE_S)
        for number in range(chosen.rounds):
            for node in cluster.nodes:
                restart(cluster, node, result)
                print(f"{name}, round {number + 1}: node {node.number} stopped within {result['stop_s'][-1]:.2f} s, "
                      f"unfenced {result['back_s'][-1]:.2f} s after its start, in sync after {result['full_s'][-1]:.2f} s", flush=True)
        result["clients"] = clients.results()
    except Overdue as overdue:
        result["failure"] = str(overdue)
        print(f"{name}: {overdue}; see {WORK / FOLDER / name}/", file=sys.stderr, flush=True)
    finally:
        if clients is not None:
            clients.kill()
        cluster.end()
    if result["failure"] is None:
        for node in cluster.nodes:
            shutil.rmtree(node.folder / "data", ignore_errors=True)
    return result


def await_full(cluster):
    """Waits until every node has all replicas of what is written to in sync."""
    cluster.each(cluster.nodes, lambda node: node.await_view(
        "full ISRs", lambda view: view.full(DATA.values(), DATA_PARTITIONS)))


def restart(cluster, node, result):
    began = time.monotonic()
    node.process.terminate()
    try:
        node.process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise Overdue(f"node {node.number} does not stop") from None
    started = time.monotonic()
    node.spawn()
    back = cluster.await_brokers()
    await_full(cluster)
    result["full_s"].append(time.monotonic() - started)
    result["stop_s"].append(started - began)
    result["back_s"].append(back - started)
    time.sleep(PAUSE_S)


def lines(results):
    rows = {}

    def add(what, name, value, **target):
        rows.setdefault(what, Line(what, {}, **target)).figures[name] = value

    for name, result in results.items():
        if result["stop_s"]:
            add("restarts", name, len(result["stop_s"]))
            add("stop, median, s", name, statistics.median(result["stop_s"]))
            add("start until unfenced, median, s", name, statistics.median(result["back_s"]))
            add("start until in sync, median, s", name, statistics.median(result["full_s"]))
        for client, kinds in result["clients"].items():
            for kind, seen in kinds.items():
                add(f"{client}, {kind}: answered", name, seen["answered"])
                add(f"{client}, {kind}: errors", name, sum(seen["errors"].values()), below=1)
                for what in NONE_OF:
                    if what in seen:
                        add(f"{client}, {kind}: {what}", name, seen[what], below=1)
                if "repeated" in seen:
                    add(f"{client}, {kind}: repeated", name, seen["repeated"])
                if client == "librdkafka":
                    add(f"{client}, {kind}: lost", name, seen["lost"])
                add(f"{client}, {kind}: longest, ms", name, seen["longest_ms"])
    return list(rows.values())


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="how often each node is restarted (default 2)")
    parser.add_argument("--load", action="append", choices=["admin", "data"], help="only this one of what clients do")
    parser.add_argument("--against", choices=["kafka"], help="measure this one as well")
    parser.add_argument("--only", choices=["ottla", "kafka"], help="measure this one alone")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    chosen = parser.parse_args()
    chosen.load = chosen.load or ["admin", "data"]
    return chosen


def main():
    chosen = options()
    names = [chosen.only] if chosen.only else ["ottla", *filter(None, [chosen.against])]
    chosen.bin = prepare(names, chosen.bin, java_load=True)
    rdkafka_load.prepare()
    load = os.getloadavg()[0]
    results = {name: measure(name, chosen) for name in names}
    print(f"\nload average {load:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} processors\n")
    show(lines(results), names)
    for name, result in results.items():
        for client, kinds in result["clients"].items():
            for kind, seen in kinds.items():
                if seen["errors"]:
                    print(f"{name}, {client}, {kind}: {seen['errors']}")
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))
    failed = [result["failure"] for result in results.values()]
    seen = [seen for kinds in results.get("ottla", {"clients": {}})["clients"].values() for seen in kinds.values()]
    wrong = [each["errors"] or any(each.get(what) for what in NONE_OF) for each in seen]
    return 1 if any(failed) or any(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
