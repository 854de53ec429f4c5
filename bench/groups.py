#!/usr/bin/env python3
"""What consumer groups cost a broker: ottla beside Apache Kafka, in one run, from the same properties.

Each broker is started in turn as a single combined node on loopback, without data.

    members     1,000 groups with 10 members each, every member on a connection of its own, with the timeouts of Kafka's
                consumers: all join at once, then heartbeat every 3 s and commit one offset so often that it comes to 10,000
                commits a second. Times are from when a request was due until its answer. The broker's CPU is given in cores
                while that goes on, and the CPU-seconds until all groups were stable; RSS at the end
    loading     1,000,000 offsets, 1,000 partitions for each of 1,000 groups, are committed, and the broker is stopped in order.
                The CPU-seconds from its next start until every group answers OffsetFetch, less those of a start with one
                offset, are what loading takes. Then all offsets are read and compared

The load is ottla-bench (this folder), one thread, built with --release; it takes a core or less. Kafka runs with -Xms1g -Xmx1g and
the options of its own start script: its CPU in the first seconds is its compiler's in part, so that the members phase begins
with --warmup seconds that do not count. Needs a JDK and Maven (`cargo xtask jars kafka` is called) unless --only is ottla.
"""
import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys

from brokers import BROKERS, ROOT, Broker, prepare, settle
from report import Line, show
from wire import Connection

TOPIC, PATIENCE_S = "load", 300
DESCRIPTORS = 20_000
LOADING_CPU_S = 1
# So many offsets in one request.
PARTITIONS = 1000


class Load:
    """ottla-bench, under way."""

    def __init__(self, broker, chosen, *arguments, groups=None):
        command = [str(chosen.load), "--bootstrap", broker.bootstrap, "--topic", TOPIC, "--groups", str(groups or chosen.groups)]
        self.process = subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True)

    def line(self):
        told = self.process.stdout.readline()
        if not told:
            raise SystemExit(f"groups: the load failed with {self.process.wait()}")
        return json.loads(told)

    def end(self):
        last = self.line()
        if self.process.wait():
            raise SystemExit("groups: the load failed")
        return last


def fresh(name, chosen, folder):
    broker = Broker(name, chosen.bin, folder=f"groups/{folder}")
    broker.start()
    with Connection(broker.port) as connection:
        connection.create([TOPIC], PARTITIONS)
    settle(broker)
    return broker


def members(name, chosen):
    broker = fresh(name, chosen, "members")
    try:
        figures = {"RSS before, MB": broker.rss_mb()}
        before = broker.cpu_seconds()
        load = Load(broker, chosen, "members", "--members", chosen.members, "--commits", chosen.commits, "--warmup", chosen.warmup,
                    "--seconds", chosen.seconds)
        figures["stable after, s"] = load.line()["seconds"]
        figures["CPU until stable, s"] = broker.cpu_seconds() - before
        figures["RSS stable, MB"] = broker.rss_mb()
        load.line()
        before = broker.cpu_seconds()
        seen = load.end()
        figures["CPU, cores"] = (broker.cpu_seconds() - before) / chosen.seconds
        figures["RSS under load, MB"] = broker.rss_mb()
        figures["commits/s"] = seen["commits/s"]
        for kind in ("commit", "heartbeat"):
            for part in ("p50", "p99", "p99.9"):
                figures[f"{kind} {part}, ms"] = seen[f"{kind}, ms"][part]
        figures["rebalances under load"] = seen["rebalances"]
        return figures
    finally:
        broker.stop()
        shutil.rmtree(broker.folder / "data", ignore_errors=True)


def loading(name, chosen):
    broker = fresh(name, chosen, "loading")
    try:
        Load(broker, chosen, "commit", "--partitions", 1, groups=1).end()
        without = cpu_of_start(broker, chosen, 1)
        committed = Load(broker, chosen, "commit", "--partitions", PARTITIONS).end()
        settle(broker)
        figures = {"offsets committed/s": committed["offsets"] / committed["seconds"], "RSS with offsets, MB": broker.rss_mb()}
        figures["start until loaded, CPU-s"] = cpu_of_start(broker, chosen, chosen.groups)
        figures["of that loading, CPU-s"] = max(figures["start until loaded, CPU-s"] - without, 0)
        settle(broker)
        figures["RSS after loading, MB"] = broker.rss_mb()
        Load(broker, chosen, "fetch", "--partitions", PARTITIONS).end()
        return figures
    finally:
        broker.stop()
        shutil.rmtree(broker.folder / "data", ignore_errors=True)


def cpu_of_start(broker, chosen, groups):
    broker.stop(PATIENCE_S)
    broker.start()
    Load(broker, chosen, "await", groups=groups).end()
    return broker.cpu_seconds()


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--members", type=int, default=10, help="of each group (default 10)")
    parser.add_argument("--commits", type=int, default=10_000, help="a second, over all groups (default 10,000)")
    parser.add_argument("--seconds", type=int, default=20, help="under load (default 20)")
    parser.add_argument("--warmup", type=int, default=20, help="seconds under load before those (default 20)")
    parser.add_argument("--quick", action="store_true", help="a tenth of it, cold: not a result")
    parser.add_argument("--only", choices=BROKERS, help="only this broker")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    parser.add_argument("--load", type=pathlib.Path, help="the ottla-bench to use; without it one is built")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.groups, chosen.commits, chosen.seconds, chosen.warmup = chosen.groups // 10, chosen.commits // 10, 5, 0
    return chosen


def main():
    chosen = options()
    names = [chosen.only] if chosen.only else BROKERS
    chosen.bin = prepare(names, chosen.bin)
    if chosen.load is None:
        subprocess.run(["cargo", "build", "--release", "--package", "ottla-bench"], cwd=ROOT, check=True)
        chosen.load = ROOT / "target" / "release" / "ottla-bench"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    results = {}
    for name in names:
        results[name] = members(name, chosen) | loading(name, chosen)
        print(f"{name}: {json.dumps(results[name])}", file=sys.stderr, flush=True)
    keys = dict.fromkeys(key for result in results.values() for key in result)
    show([Line(key, {name: result[key] for name, result in results.items()},
               below=LOADING_CPU_S if key == "of that loading, CPU-s" else None) for key in keys], names)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
