#!/usr/bin/env python3
"""What many partitions cost a cluster of three brokers: ottla, and Apache Kafka beside it.

    python3 bench/scale.py                                       # 10,000 on both, 100,000 on ottla; RF 1 and 3; about an hour
    python3 bench/scale.py --only ottla --partitions 10000 --rf 3   # one run, about a minute and a half
    python3 bench/scale.py --only ottla --partitions 100000      # 100,000, at RF 1 and at RF 3

Three combined nodes are started on loopback, each a broker and a voter of the metadata quorum, with no settings but their
addresses. A run has one number of partitions and one replication factor; its topics have 100 partitions each (`--per-topic`).
100,000 partitions are for ottla alone. For each run:

    created        from the first CreateTopics, each for 1,000 partitions and sent when the one before is answered, until the
                   Metadata of every node name a leader for every partition; and until the last request is answered
    RSS, ...       of one node, at rest with all partitions: VmRSS and descriptors, the largest of the three; CPU in percent of a
                   core, the largest and the mean; the same of the empty cluster
    metadata log   bytes of the node that has most on disk: the log, and its snapshot if there is one
    all Metadata   from asking one node for the Metadata of all partitions until the answer is there, the best of three
    topic, config  from the request for a new topic, or for a topic's new configuration value, until every node shows it in
                   Metadata or DescribeConfigs: the median of five
    failover       from SIGKILL of the active controller until the Metadata of one survivor, and of both, name a living leader for
                   every partition. At RF 1 nobody can take over: until no partition names the dead node
    restarted      from the start of that node's process until all nodes name three brokers (it is unfenced), and until its own
                   Metadata name a leader for every partition
    stop, start    the same of another node, which is stopped with SIGTERM and started again

Partitions are asked for in slices of 5,000, again and again until a slice is right: at 100,000 the answers take about 0.2 s of
this script's own time. `elections` and `fencings` count those in ottla's logs that no kill explains: 0, or a node starved, or
its disk: a leader whose majority has not made a change durable within 500 ms resigns.

A phase that does not come to its end within what `--minutes` leaves ends its run, and is named. Kafka runs with -Xms1g -Xmx1g
and the options of its own start script; it keeps two memory maps and a descriptor for each replica.

Data are removed at the end, all at once: ext4 makes new inodes slowly for minutes after many were freed.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import time

from brokers import BROKERS, WORK, prepare
from idle import cpu_seconds
from nodes import METADATA, NODES, Nodes, Overdue, brokers_of
from report import Line, show
from wire import Connection, text

INCREMENTAL_ALTER_CONFIGS, DESCRIBE_CONFIGS = 44, 32
# REQUEST_TIMED_OUT, NOT_CONTROLLER and KAFKA_STORAGE_ERROR: of a change when leadership of the quorum is lost meanwhile.
ASKED_AGAIN, TOPIC_ALREADY_EXISTS = (7, 41, 56), 36
TOPIC_RESOURCE, SET_VALUE = 2, 0
CONFIG = "retention.ms"
FOLDER = "scale"
DESCRIPTORS = 20_000
# Partitions in one request: Kafka takes 10,000 records of metadata in one, and no more.
CREATED_AT_ONCE, ASKED_AT_ONCE = 1_000, 5_000
# What the data of one replica take on disk, about: ottla's directory and file, and Kafka's six.
INODES, BYTES = {"ottla": 2, "kafka": 7}, {"ottla": 9_000, "kafka": 40_000}
METADATA_FOLDERS, SNAPSHOTS = {"ottla": "ottla-metadata", "kafka": "__cluster_metadata-0"}, (".snapshot", ".checkpoint")
CHANGES, IDLE_S = 5, 10
FAILOVER_BELOW_MS = {10_000: 1_000, 100_000: 5_000}
LINES = {"start_s": "start of the empty cluster, s", "empty_rss_mb": "RSS, empty, MB", "empty_cpu": "CPU at rest, empty, %",
         "answered_s": "created: all answered, s", "created_s": "created: every node shows all, s",
         "again": "created: requests that had to be repeated",
         "rss_mb": "RSS, most, MB", "rss_mean_mb": "RSS, mean, MB", "descriptors": "descriptors, most",
         "cpu": "CPU at rest, most, %", "cpu_mean": "CPU at rest, mean, %",
         "log_mb": "metadata log, MB", "snapshot_mb": "metadata snapshot, MB", "metadata_ms": "all Metadata, ms",
         "topic_ms": "topic known to all, ms", "config_ms": "config known to all, ms",
         "failover_ms": "failover: a survivor, ms", "failover_both_ms": "failover: both, ms",
         "restarted_s": "restarted after kill: unfenced, s", "restarted_shows_s": "restarted after kill: it shows all, s",
         "stop_s": "stop in order, s", "started_s": "started again: unfenced, s",
         "started_shows_s": "started again: it shows all, s",
         "rss_after_mb": "RSS after all that, most, MB", "log_after_mb": "metadata log after all that, MB",
         "snapshot_after_mb": "metadata snapshot after all that, MB",
         "elections": "elections that no kill explains", "fencings": "fencings that no kill explains"}
INT = struct.Struct(">i").unpack_from
SHORT = struct.Struct(">h").unpack_from


def leaders(connection, topics):
    """How many partitions of the topics each broker leads, by Metadata 7; -1 stands for those without a leader. Written for
    speed: 100,000 partitions take 0.15 s."""
    asked = struct.pack(">i", len(topics)) + b"".join(map(text, topics)) + b"\0"
    answer = connection.ask(METADATA, 7, asked)
    brokers_of(answer)
    _, count = answer.take("ii")
    content, at, found = answer.content, answer.at, collections.Counter()
    for _ in range(count):
        at += 5 + SHORT(content, at + 2)[0]
        partitions, = INT(content, at)
        at += 4
        for _ in range(partitions):
            found[INT(content, at + 6)[0]] += 1
            at += 14
            for _ in range(3):
                at += 4 + 4 * INT(content, at)[0]
    return found


class Scale:
    """One run."""

    def __init__(self, name, chosen, partitions, replicas):
        self.replicas, self.per_topic = replicas, min(chosen.per_topic, partitions)
        self.cluster = Nodes(name, chosen.bin, f"{FOLDER}/{partitions}-rf{replicas}")
        self.nodes = self.cluster.nodes
        self.topics = [f"many-{number}" for number in range(partitions // self.per_topic)]
        self.until = time.monotonic() + chosen.minutes * 60
        self.ids = {node.number for node in self.nodes}
        self.phase, self.figures = "", {"again": 0}

    def left_s(self):
        """What may still be waited for."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise Overdue("the run's time is over")
        return left

    def slices(self):
        size = max(ASKED_AT_ONCE // self.per_topic, 1)
        return [self.topics[at:at + size] for at in range(0, len(self.topics), size)]

    def await_led(self, node, what, ids):
        """Waits until the node names one of the ids as the leader of every partition; returns when it did."""
        at = None
        for topics in self.slices():
            expected = len(topics) * self.per_topic
            at = node.await_answer(what, lambda connection: leaders(connection, topics),
                                   lambda found: found.total() == expected and set(found) <= ids, self.left_s())
        return at

    def run(self):
        """All phases, or those up to one that does not end. Returns the figures."""
        try:
            for phase in [self.start, self.create, self.measure_rest, self.ask_all, self.change, self.fail_over,
                          self.stop_and_start, self.measure_end]:
                self.phase = phase.__name__.replace("_", " ")
                phase()
        except (Overdue, OSError, SystemExit) as error:
            self.figures["unfinished"] = f"{self.phase}: {error}"
        finally:
            self.cluster.end()
        return self.figures

    def start(self):
        began = time.monotonic()
        self.cluster.start(self.left_s())
        self.figures["start_s"] = time.monotonic() - began
        at_rest(self.nodes, self.left_s())
        self.figures |= {"empty_rss_mb": max(node.rss_mb() for node in self.nodes), "empty_cpu": max(cpu_percent(self.nodes))}

    def create(self):
        size = max(CREATED_AT_ONCE // self.per_topic, 1)
        began = time.monotonic()
        with Connection(self.nodes[0].port, self.left_s()) as connection:
            for at in range(0, len(self.topics), size):
                self.create_some(connection, self.topics[at:at + size])
        self.figures["answered_s"] = time.monotonic() - began
        shown = self.cluster.each(self.nodes, lambda node: self.await_led(node, "all partitions", self.ids))
        self.figures["created_s"] = max(shown) - began

    def create_some(self, connection, topics):
        """One request, and others for what clients would ask for again."""
        left, again = topics, False
        while left:
            answers = connection.created(left, self.per_topic, replicas=self.replicas)
            done = (0, TOPIC_ALREADY_EXISTS) if again else (0,)
            refused = {topic: why for topic, why in answers.items() if why[0] not in done}
            for topic, (error, message) in refused.items():
                if error not in ASKED_AGAIN:
                    raise SystemExit(f"bench: creating {topic}: error {error}, {message}")
            left, again = list(refused), True
            if left:
                self.figures["again"] += 1
                time.sleep(0.1)
            self.left_s()

    def measure_rest(self):
        at_rest(self.nodes, self.left_s())
        rss, cpu = [node.rss_mb() for node in self.nodes], cpu_percent(self.nodes)
        descriptors = max(node.descriptors() for node in self.nodes)
        self.figures |= {"rss_mb": max(rss), "rss_mean_mb": statistics.mean(rss), "descriptors": descriptors,
                         "cpu": max(cpu), "cpu_mean": statistics.mean(cpu)}
        self.figures |= self.metadata_sizes("log_mb", "snapshot_mb")

    def metadata_sizes(self, log, snapshot):
        sizes = [metadata_mb(node) for node in self.nodes]
        return {log: max(size[0] for size in sizes), snapshot: max(size[1] for size in sizes)}

    def ask_all(self):
        times = []
        with Connection(self.nodes[0].port, self.left_s()) as connection:
            for _ in range(3):
                began = time.monotonic()
                connection.ask(METADATA, 7, struct.pack(">i?", -1, False))
                times.append((time.monotonic() - began) * 1e3)
        self.figures["metadata_ms"] = min(times)

    def change(self):
        """How long a change takes to be known to all, when nothing else changes."""
        topics, configs = [], []
        for number in range(CHANGES):
            name = f"change-{number}"
            topics.append(self.known(lambda connection: connection.create([name], 1, replicas=self.replicas),
                                     lambda connection: leaders(connection, [name]),
                                     lambda found: found.total() == 1 and -1 not in found))
            value = str(86_400_000 + number)
            configs.append(self.known(lambda connection: set_config(connection, name, value),
                                      lambda connection: config(connection, name), lambda found: found == value))
        self.figures |= {"topic_ms": statistics.median(topics), "config_ms": statistics.median(configs)}

    def known(self, act, ask, is_so):
        """Milliseconds from the act until every node's answer is so."""
        with Connection(self.nodes[0].port, self.left_s()) as connection:
            watching = [self.cluster.pool.submit(node.await_answer, "a change", ask, is_so, self.left_s()) for node in self.nodes]
            time.sleep(0.05)
            began = time.monotonic()
            act(connection)
            return (max(future.result() for future in watching) - began) * 1e3

    def fail_over(self):
        """Kills the active controller, and starts it again."""
        victim = self.nodes[self.cluster.active_controller() - 1]
        survivors = [node for node in self.nodes if node is not victim]
        allowed = {node.number for node in survivors} | ({-1} if self.replicas == 1 else set())
        # They ask already when it is killed. It leads something in every slice, so they cannot be content before.
        watching = [self.cluster.pool.submit(self.await_led, node, "leaders after the kill", allowed) for node in survivors]
        time.sleep(0.2)
        killed = time.monotonic()
        victim.kill()
        times = sorted((future.result() - killed) * 1e3 for future in watching)
        self.figures |= {"failover_ms": times[0], "failover_both_ms": times[-1]}
        at_rest(survivors, self.left_s())
        self.start_again(victim, "restarted_s", "restarted_shows_s")
        self.victim = victim

    def start_again(self, node, unfenced, shows):
        began = time.monotonic()
        node.spawn()
        self.figures[unfenced] = self.cluster.await_brokers(self.left_s()) - began
        self.figures[shows] = self.await_led(node, "all partitions again", self.ids) - began
        at_rest(self.nodes, self.left_s())

    def stop_and_start(self):
        controller = self.cluster.active_controller()
        node = next(node for node in self.nodes if node is not self.victim and node.number != controller)
        began = time.monotonic()
        node.stop(self.left_s())
        self.figures["stop_s"] = time.monotonic() - began
        self.start_again(node, "started_s", "started_shows_s")

    def measure_end(self):
        self.figures["rss_after_mb"] = max(node.rss_mb() for node in self.nodes)
        self.figures |= self.metadata_sizes("log_after_mb", "snapshot_after_mb")
        if self.cluster.name == "ottla":
            # One election at the start and one after the kill, and one fencing.
            self.figures |= {"elections": self.logged(r"this node is the active controller epoch") - 2,
                             "fencings": self.logged(r"fencing a broker") - 1}

    def logged(self, pattern):
        logs = [re.sub(r"\x1b\[[0-9;]*m", "", (node.folder / "broker.log").read_text()) for node in self.nodes]
        return sum(len(re.findall(pattern, log)) for log in logs)


def at_rest(nodes, patience_s):
    """Waits until the nodes have had next to nothing to do for three seconds, or for a minute."""
    quiet, until = 0, time.monotonic() + min(60, patience_s)
    while quiet < 3 and time.monotonic() < until:
        before = sum(node.cpu_seconds() for node in nodes)
        time.sleep(1)
        quiet = quiet + 1 if sum(node.cpu_seconds() for node in nodes) - before <= 0.1 * len(nodes) else 0


def cpu_percent(nodes):
    """Of one core, for each node."""
    before, began = [cpu_seconds(node.process.pid) for node in nodes], time.monotonic()
    time.sleep(IDLE_S)
    passed = time.monotonic() - began
    return [100 * (cpu_seconds(node.process.pid) - was) / passed for node, was in zip(nodes, before)]


def metadata_mb(node):
    """What the metadata log and its snapshots take on the node's disk."""
    place = node.folder / "data" / METADATA_FOLDERS[node.name]
    taken = {path: path.stat().st_blocks * 512 / 1e6 for path in place.glob("**/*") if path.is_file()}
    snapshots = sum(size for path, size in taken.items() if path.parent == place and path.suffix in SNAPSHOTS)
    return sum(taken.values()) - snapshots, snapshots


def set_config(connection, topic, value):
    """IncrementalAlterConfigs 0, of one key of a topic."""
    resource = struct.pack(">b", TOPIC_RESOURCE) + text(topic) + struct.pack(">i", 1)
    resource += text(CONFIG) + struct.pack(">b", SET_VALUE) + text(value)
    answer = connection.ask(INCREMENTAL_ALTER_CONFIGS, 0, struct.pack(">i", 1) + resource + b"\0")
    _, _, error = answer.take("iih")
    if error:
        raise SystemExit(f"bench: setting {CONFIG} of {topic}: error {error}, {answer.text()}")


def config(connection, topic):
    """The value of the key that a node shows, by DescribeConfigs 1; None if it does not know the topic."""
    resource = struct.pack(">b", TOPIC_RESOURCE) + text(topic) + struct.pack(">i", 1) + text(CONFIG)
    answer = connection.ask(DESCRIBE_CONFIGS, 1, struct.pack(">i", 1) + resource + b"\0")
    _, _, error = answer.take("iih")
    if error:
        return None
    answer.text(), answer.take("b"), answer.text()
    count, = answer.take("i")
    answer.text()
    return answer.text() if count else None


def check_room(runs):
    """Refuses to begin what does not fit."""
    room = os.statvfs(WORK)
    inodes = sum(partitions * replicas * INODES[name] for name, partitions, replicas in runs)
    size = sum(partitions * replicas * BYTES[name] for name, partitions, replicas in runs)
    if inodes > room.f_favail or size > room.f_bavail * room.f_frsize:
        raise SystemExit(f"scale: {WORK} has no room for about {inodes:,} inodes and {size / 1e9:.0f} GB: run a part")


def remove_data():
    """Python's own way takes minutes for so many."""
    data = [str(path) for path in (WORK / FOLDER).glob("*/*/*/data")]
    if data:
        subprocess.run(["rm", "-rf", *data], check=False)


def tables(results):
    for (partitions, replicas), figures in results.items():
        names = list(figures)
        print(f"\n{partitions:,} partitions, RF {replicas}\n")
        below = {"failover_ms": FAILOVER_BELOW_MS.get(partitions) if replicas > 1 else None, "cpu": 1, "empty_cpu": 1}
        of = {key: {name: figures[name].get(key) for name in names} for key in LINES}
        show([Line(what, of[key], below=below.get(key)) for key, what in LINES.items()], names)
        for name in names:
            if "unfinished" in figures[name]:
                print(f"{name} did not finish: {figures[name]['unfinished']}")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, action="append", help="how many (default 10000, and 100000 for ottla)")
    parser.add_argument("--rf", type=int, choices=[1, 3], action="append", help="only this replication factor")
    parser.add_argument("--per-topic", type=int, default=100, help="partitions of a topic (default 100)")
    parser.add_argument("--only", choices=BROKERS, help="only this broker")
    parser.add_argument("--minutes", type=float, default=15, help="the longest that one run of one broker may take (default 15)")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    return parser.parse_args()


def main():
    chosen = options()
    names = [chosen.only] if chosen.only else BROKERS
    # So many are for ottla alone, unless they are asked of Kafka by name.
    runs = [(name, partitions, replicas) for partitions in chosen.partitions or [10_000, 100_000]
            for replicas in chosen.rf or [1, 3] for name in names
            if name == "ottla" or partitions <= 10_000 or chosen.only == name and chosen.partitions]
    chosen.bin = prepare(names, chosen.bin)
    check_room(runs)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    shutil.rmtree(WORK / FOLDER, ignore_errors=True)
    load, results = os.getloadavg()[0], {}
    try:
        for name, partitions, replicas in runs:
            figures = Scale(name, chosen, partitions, replicas).run()
            results.setdefault((partitions, replicas), {})[name] = figures
            print(f"{name}, {partitions:,} partitions, RF {replicas}: {json.dumps(figures)}", file=sys.stderr, flush=True)
    finally:
        remove_data()
    print(f"\nload average {load:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} processors; "
          f"{NODES} nodes, topics of {chosen.per_topic} partitions")
    tables(results)
    if chosen.json:
        chosen.json.write_text(json.dumps({f"{partitions} rf{replicas}": figures
                                           for (partitions, replicas), figures in results.items()}, indent=2))
    return 1 if any("unfinished" in each for figures in results.values() for each in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
