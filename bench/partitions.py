#!/usr/bin/env python3
"""What many partitions cost a broker: ottla beside Apache Kafka, in one run, from the same properties.

Each broker is started in turn as a single combined node on loopback, with at most 20,000 descriptors. From one connection
it is asked for --topics topics of --partitions partitions each (10 times 1,000), one request for each topic. A partition is
there when it answers ListOffsets without error: its log is open and it leads.

    created     from the first CreateTopics request until all partitions answer
    RSS         VmRSS and the number of open descriptors, after that, at rest
    restart     from SIGTERM until all partitions answer again; the stop alone is given too
    kill -9     from SIGKILL until all partitions answer again

Then, in a broker without data each time, one request for all: for one topic with nine tenths of the partitions, and for as
many by topics of ten. Nine tenths, because Kafka takes 10,000 records of metadata in one request and no more.

With --written one record is produced to each partition before the restarts. The descriptors are counted right after that, and
again at rest.

ext4 passes over inodes that were freed in the last one to five minutes, one by one, with each inode that it allocates: after
10,000 directories were removed, making a directory takes ten times as long. So nothing is removed between the brokers,
and the script begins when the file system is itself again. `inode, ms` is what one cost before each broker.

Kafka runs with -Xms1g -Xmx1g and the options of its own start script. Figures are for comparison within one run on one
machine; the target of each is a tenth of Kafka's. Needs a JDK and Maven (`cargo xtask jars kafka` is called), and builds ottla
with --release unless --bin names one.
"""
import argparse
import json
import pathlib
import resource
import shutil
import sys
import time

from brokers import BROKERS, WORK, Broker, prepare
from report import Line, show
from wire import Connection, batch_of_one

DESCRIPTORS = 20_000
PATIENCE_S = 900
FOLDER = "partitions"
# An inode takes about 0.05 ms where no others were freed, and up to 1 ms where many were.
SLOW_INODE_MS, INODES_FREED_S = 0.25, 330
TARGET = 0.1
LINES = {"inode_ms": "inode, ms", "created_s": "created, s", "rss_mb": "RSS, MB", "descriptors": "descriptors",
         "written_s": "a record to each, s", "descriptors_written": "descriptors right after that",
         "descriptors_rest": "descriptors at rest", "stop_s": "stop, s", "restart_s": "stop and clean restart, s",
         "kill_s": "restart after kill -9, s", "rss_after_mb": "RSS after the restarts, MB",
         "descriptors_after": "descriptors after the restarts", "one_topic_s": "9/10 in one topic, s",
         "many_topics_s": "9/10 in topics of ten, s"}
NO_TARGET = ("inode_ms", "written_s", "stop_s")


def await_all(broker, topics, partitions):
    """Waits until all partitions answer."""
    left = list(topics)
    started = time.monotonic()
    with Connection(broker.port, PATIENCE_S) as connection:
        while left:
            if connection.leaderless(left[-1], partitions) == 0:
                left.pop()
            elif time.monotonic() - started > PATIENCE_S:
                raise SystemExit(f"partitions: {broker.name}: {left[-1]} is not there; see {broker.folder}/broker.log")
            else:
                time.sleep(0.05)


def at_rest(broker):
    """Waits until the broker has had nothing to do for three seconds, or for a minute."""
    quiet, until = 0, time.monotonic() + 60
    while quiet < 3 and time.monotonic() < until:
        before = broker.cpu_seconds()
        time.sleep(1)
        quiet = quiet + 1 if broker.cpu_seconds() - before <= 0.1 else 0


def timed(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


def inode_ms(count=200):
    """What a new inode costs where the brokers put theirs."""
    folder = WORK / FOLDER / f"probe-{time.monotonic_ns()}"
    folder.mkdir(parents=True)

    def make():
        for i in range(count // 2):
            (folder / str(i)).mkdir()
            (folder / str(i) / "file").touch()

    return timed(make) / count * 1e3


def await_inodes():
    """Waits until inodes that were freed do not slow down the allocation of others."""
    until = time.monotonic() + INODES_FREED_S
    while (cost := inode_ms()) > SLOW_INODE_MS and time.monotonic() < until:
        print(f"an inode takes {cost:.2f} ms, for many were freed lately: waiting", file=sys.stderr, flush=True)
        time.sleep(15)


def measure(name, chosen):
    figures = {"inode_ms": inode_ms()}
    broker = Broker(name, chosen.bin, folder=FOLDER)
    topics = [f"many-{i}" for i in range(chosen.topics)]
    try:
        broker.start()
        at_rest(broker)

        def create():
            with Connection(broker.port, PATIENCE_S) as connection:
                for topic in topics:
                    connection.create([topic], chosen.partitions)
            await_all(broker, topics, chosen.partitions)

        figures["created_s"] = timed(create)
        at_rest(broker)
        figures |= {"rss_mb": broker.rss_mb(), "descriptors": broker.descriptors()}
        if chosen.written:
            write(broker, topics, chosen.partitions, figures)

        def start():
            broker.start(PATIENCE_S)
            await_all(broker, topics, chosen.partitions)

        figures["stop_s"] = timed(lambda: broker.stop(PATIENCE_S))
        figures["restart_s"] = figures["stop_s"] + timed(start)
        at_rest(broker)
        figures["kill_s"] = timed(lambda: (broker.kill(), start()))
        at_rest(broker)
        figures |= {"rss_after_mb": broker.rss_mb(), "descriptors_after": broker.descriptors()}
    finally:
        broker.stop(PATIENCE_S)
    return figures


def write(broker, topics, partitions, figures):
    batch = batch_of_one(b"x" * 100)
    with Connection(broker.port, PATIENCE_S) as connection:
        figures["written_s"] = timed(lambda: [connection.produce(topic, partitions, batch) for topic in topics])
    figures["descriptors_written"] = broker.descriptors()
    at_rest(broker)
    figures["descriptors_rest"] = broker.descriptors()


def in_one_request(name, chosen, label, topics, partitions):
    """Seconds for one request in a broker without data."""
    broker = Broker(name, chosen.bin, folder=f"{FOLDER}/{label}")
    names = [f"many-{i}" for i in range(topics)]
    try:
        broker.start()
        at_rest(broker)

        def create():
            with Connection(broker.port, PATIENCE_S) as connection:
                connection.create(names, partitions)
            await_all(broker, names, partitions)

        return timed(create)
    finally:
        broker.kill()


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topics", type=int, default=10, help="how many topics (default 10)")
    parser.add_argument("--partitions", type=int, default=1000, help="partitions of each (default 1000)")
    parser.add_argument("--written", action="store_true", help="write a record to each partition before the restarts")
    parser.add_argument("--quick", action="store_true", help="a tenth of the partitions, and at once: not a result")
    parser.add_argument("--only", choices=BROKERS, help="only this broker")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.partitions = max(chosen.partitions // 10, 1)
    return chosen


def main():
    chosen = options()
    names = [chosen.only] if chosen.only else BROKERS
    chosen.bin = prepare(names, chosen.bin)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    shutil.rmtree(WORK / FOLDER, ignore_errors=True)
    if not chosen.quick:
        await_inodes()
    results = {}
    most = chosen.topics * chosen.partitions * 9 // 10
    try:
        for name in names:
            results[name] = measure(name, chosen)
            results[name]["one_topic_s"] = in_one_request(name, chosen, "one-topic", 1, most)
            results[name]["many_topics_s"] = in_one_request(name, chosen, "many-topics", most // 10, 10)
            print(f"{name}: {json.dumps(results[name])}", file=sys.stderr, flush=True)
    finally:
        for folder in (WORK / FOLDER).glob("**/data"):
            shutil.rmtree(folder, ignore_errors=True)
    lines = [Line(what, {name: result.get(key) for name, result in results.items()},
                  at_most=None if key in NO_TARGET else TARGET) for key, what in LINES.items()]
    show(lines, names)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
