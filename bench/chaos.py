#!/usr/bin/env python3
"""Brokers of three killed, paused and cut off at random under load: is every acknowledged record there, in order, once?

    python3 bench/chaos.py                                # 200 rounds, about half an hour
    python3 bench/chaos.py --rounds 5 --bin target/debug/ottla   # a short run, as .ci/run has it
    python3 bench/chaos.py --seed 7 --rounds 40           # the rounds that this seed says
    python3 bench/chaos.py --only kafka --rounds 10       # the same of Kafka 4.3.1

Three combined nodes are started on loopback, each a broker and a voter of the metadata quorum, behind a proxy (links.py) that stands
before their listeners for clients, for brokers and for controllers. Four idempotent producers and two plain ones write to six
partitions with three replicas and min.insync.replicas=2, with acks=all, and never give a record up; two consumers read them
from the beginning, and one of these commits offsets. A round is one of these faults, to the leader or a follower of some partition, to
the active controller, or to any node, for 0.2 to 8 seconds:

    kill        SIGKILL, and a new start               pause      SIGSTOP and SIGCONT
    isolate     cut off from the two others            mute, deaf only what it sends, only what it is sent
    link        cut off from one other, or one way     reset      connections to the others closed, and new ones too
    clients     cut off from the clients               kill-two, kill-all   so many at once
    strain      it is killed while another one is paused

After some rounds all replicas must come back in sync within a minute and a half; after others the next one follows at once. At the end
everything is repaired, every ISR must be full, and every record acknowledged; then the topic is read back, all nodes are stopped,
and their files compared:

    lost        acknowledged, and not there, or not at the offset that the acknowledgement named
    unacked     sent, and never acknowledged, though the cluster is well
    doubled     of an idempotent producer, there more than once
    reordered   of an idempotent producer, behind a later one
    foreign     there, and never sent, or with other bytes
    changed     other than what a consumer was given before
    replicas    partitions whose three logs are not the same, byte for byte

Consumers must find every offset, in order, no truncation, and no committed offset that goes back. No node may end by itself. It exits with
1 when anything is wrong, says the seed, and leaves data and logs in target/bench/chaos/; --seed repeats the plan of the rounds,
though not what the machine makes of them. replica.lag.time.max.ms is 3000, so that cut links do not take half a minute each.

What it proves is kills of processes; a loss of power is the simulator's (`sim/`).
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

import rdkafka_load
from brokers import ROOT, lasting_ports, prepare
from chaos_judge import differences, judge, verified
from chaos_plan import PARTITIONS, links_of, plan
from chaos_records import END_S, load
from nodes import NODES, PATIENCE_S, Nodes, Overdue, Proxied, metadata
from wire import Connection

FOLDER, TOPIC = "chaos", "chaos"
PRODUCERS = ["idempotent"] * 4 + ["plain"] * 2
CONSUMERS = 2
# Of each producer, a second.
RECORDS = 100
PROPERTIES = "replica.lag.time.max.ms=3000\noffsets.topic.num.partitions=4\n"
CONFIGS = {"min.insync.replicas": "2", "segment.bytes": str(1 << 20)}
RECOVERY_S = 90


class Proxy:
    """links.py, running."""

    def __init__(self, ports, log):
        listeners = [(number, at, to) for number, each in enumerate(ports, 1)
                     for at, to in [(each.clients_at, each.clients), (each.controller_at, each.controller),
                                    (each.brokers_at, each.brokers)]]
        self.process = subprocess.Popen([sys.executable, str(ROOT / "bench" / "links.py"), json.dumps(listeners)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline().strip() != "ok":
            raise Overdue("the proxy does not obey")

    def end(self):
        self.process.kill()
        self.process.wait()


class Clients:
    """Producers and consumers, each a process of its own."""

    def __init__(self, cluster):
        self.cluster, self.processes, self.out = cluster, {}, cluster.folder / "clients"
        self.out.mkdir()

    def start(self):
        for number, kind in enumerate(PRODUCERS):
            self.spawn(f"producer-{number}", "produce", number, kind, RECORDS)
        for number in range(CONSUMERS):
            self.spawn(f"consumer-{number}", "consume", int(number == 0))

    def spawn(self, name, mode, *rest):
        with open(self.cluster.folder / "clients.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(rdkafka_load.PYTHON), "-B", str(ROOT / "bench" / "chaos_client.py"), mode, self.cluster.bootstrap, TOPIC,
                 str(PARTITIONS), str(self.out / name), *map(str, rest)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def check(self):
        """None has ended: a producer does when a record is refused for good."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise Overdue(f"{name} ended: {process.stdout.read()}")

    def end(self, kind):
        """Lets those of the kind come to their end; what each says."""
        ending = {name: process for name, process in self.processes.items() if name.startswith(kind)}
        for process in ending.values():
            if process.poll() is None:
                process.stdin.write("\n")
                process.stdin.flush()
        told = {}
        for name, process in ending.items():
            try:
                out, _ = process.communicate(timeout=2 * END_S)
                told[name] = json.loads(out.strip().splitlines()[-1])
            except (subprocess.TimeoutExpired, ValueError, IndexError):
                raise Overdue(f"{name} does not come to an end; see clients.log") from None
            del self.processes[name]
        return told

    def kill(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


class Cluster(Nodes):
    """The three nodes behind the proxy."""

    def __init__(self, name, bin_path):
        free = iter(lasting_ports(6 * NODES))
        ports = [Proxied(*[next(free) for _ in range(6)]) for _ in range(NODES)]
        super().__init__(name, bin_path, FOLDER, PROPERTIES, ports)
        self.reached_at = ",".join(f"127.0.0.1:{each.clients_at}" for each in ports)
        self.proxy = Proxy(ports, open(self.folder / "links.log", "ab"))

    @property
    def bootstrap(self):
        return self.reached_at

    def start(self, patience_s=PATIENCE_S):
        self.launch(*self.nodes)
        self.await_brokers(patience_s)
        with Connection(self.nodes[0].port, PATIENCE_S) as connection:
            connection.create([TOPIC], PARTITIONS, CONFIGS, replicas=NODES)

    def launch(self, *nodes):
        for node in nodes:
            node.spawn()
            self.proxy.tell(pid={node.number: node.process.pid})
            self.proxy.tell(up=node.number)

    def kill(self, *nodes):
        for node in nodes:
            node.process.kill()
            self.proxy.tell(down=node.number)
        for node in nodes:
            node.process.wait()

    def check(self):
        for node in self.nodes:
            if node.process.poll() is not None:
                raise Overdue(f"node {node.number} ended by itself with {node.process.returncode}")

    def holder(self, round):
        """The node that has the round's role, or some node if nobody has it or can be asked."""
        some = self.nodes[round.draw % NODES]
        try:
            if round.role == "controller":
                return self.nodes[self.active_controller() - 1]
            if round.role == "any":
                return some
            with Connection(some.port, 2) as connection:
                leader = metadata(connection).leaders.get((TOPIC, round.partition), -1)
        # SystemExit is how a connection tells that it was closed.
        except (OSError, SystemExit, Overdue):
            return some
        if leader == -1:
            return some
        followers = [node for node in self.nodes if node.number != leader]
        return self.nodes[leader - 1] if round.role == "leader" else followers[round.draw % len(followers)]

    def suffer(self, round):
        """One fault, and its end. Returns whom it fell on."""
        victim = self.holder(round)
        others = [node for node in self.nodes if node is not victim]
        other = others[round.draw // 3]
        match round.fault:
            case "kill" | "kill-two" | "kill-all":
                killed = {"kill": [victim], "kill-two": [victim, other], "kill-all": self.nodes}[round.fault]
                self.kill(*killed)
                time.sleep(round.seconds)
                self.launch(*killed)
            case "pause":
                victim.pause()
                time.sleep(round.seconds)
                victim.resume()
            case "strain":
                other.pause()
                self.kill(victim)
                time.sleep(round.seconds)
                other.resume()
                self.launch(victim)
            case _:
                self.proxy.tell(cut=links_of(round, victim.number, other.number), reset=round.fault == "reset")
                time.sleep(round.seconds)
                self.proxy.tell(cut=[])
        return victim.number

    def await_recovery(self):
        """Waits until every node sees every replica in sync; returns the seconds that it took."""
        began = time.monotonic()
        self.each(self.nodes, lambda node: node.await_view("full ISRs", is_full, RECOVERY_S))
        return time.monotonic() - began

    def end(self):
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.resume()
        super().end()
        self.proxy.end()


def is_full(view):
    return (view.leaders.keys() >= {(TOPIC, index) for index in range(PARTITIONS)}
            and all(leader in view.brokers for leader in view.leaders.values())
            and all(len(isr) == NODES for isr in view.isrs.values()))


def run(name, chosen):
    """One broker's rounds, and what was wrong."""
    cluster = Cluster(name, chosen.bin)
    clients = Clients(cluster)
    result = {"seed": chosen.seed, "rounds": 0, "wrong": {}, "problems": []}
    try:
        cluster.start()
        clients.start()
        time.sleep(2)
        for number, round in enumerate(plan(chosen.seed, chosen.rounds), 1):
            began = time.monotonic()
            victim = cluster.suffer(round)
            told = ""
            if round.settles:
                told = f"; all in sync {cluster.await_recovery():.1f} s later"
            else:
                time.sleep(round.pause_s)
            cluster.check()
            clients.check()
            result["rounds"] = number
            print(f"{name}, round {number} at {time.strftime('%H:%M:%S', time.gmtime(time.time() - time.monotonic() + began))}: "
                  f"{round}: node {victim}{told}", flush=True)
        conclude(cluster, clients, chosen, result)
    except (Overdue, OSError, SystemExit) as error:
        result["problems"].append(str(error))
    finally:
        clients.kill()
        cluster.end()
    tell(name, cluster, result)
    return result


def conclude(cluster, clients, chosen, result):
    """Repairs all, reads everything back, and compares."""
    print(f"{cluster.name}: all in sync {cluster.await_recovery():.1f} s after the last round", flush=True)
    told = clients.end("producer")
    if chosen.sabotage:
        sabotage(cluster)
    told |= clients.end("consumer")
    clients.spawn("reader", "consume", 0)
    told |= clients.end("reader")
    result |= {"sent": sum(each.get("sent", 0) for each in told.values()), "read": told["reader"]["read"],
               "longest_ms": max(each.get("longest_ms", 0) for each in told.values())}
    result["problems"] += [f"{who}: {problem}" for who, each in told.items() for problem in each["problems"]]
    producers = [(load(clients.out / f"producer-{number}"), kind == "idempotent") for number, kind in enumerate(PRODUCERS)]
    readers = [load(clients.out / f"consumer-{number}") for number in range(CONSUMERS)]
    result["wrong"], examples = judge(load(clients.out / "reader"), producers, readers)
    result["problems"] += examples
    cluster.await_recovery()
    cluster.each(cluster.nodes, lambda node: node.stop())
    differing = differences(cluster.nodes, TOPIC, PARTITIONS)
    result["wrong"]["replicas"] = len(differing)
    result["problems"] += differing
    if cluster.name == "ottla":
        result["problems"] += [problem for node in cluster.nodes for problem in verified(chosen.bin, node)]


def sabotage(cluster):
    """Cuts half of a partition's last segment off each replica, as no kill of a process does."""
    cluster.kill(*cluster.nodes)
    for node in cluster.nodes:
        segment = max((node.folder / "data" / f"{TOPIC}-0").glob("*.log"))
        os.truncate(segment, segment.stat().st_size // 2)
    cluster.launch(*cluster.nodes)
    cluster.await_recovery()


def is_bad(result):
    return bool(result["problems"]) or any(result["wrong"].values())


def tell(name, cluster, result):
    counts = ", ".join(f"{count} {what}" for what, count in result["wrong"].items())
    print(f"{name}: {result['rounds']} rounds, {result.get('sent', 0):,} records sent, {result.get('read', 0):,} read; "
          f"{counts or 'not judged'}; longest without an acknowledgement {result.get('longest_ms', 0) / 1e3:.1f} s", flush=True)
    for problem in result["problems"]:
        print(f"    {problem}", flush=True)
    if is_bad(result):
        print(f"{name}: seed {result['seed']}; data and logs are in {cluster.folder}/", flush=True)
        return
    for node in cluster.nodes:
        shutil.rmtree(node.folder / "data", ignore_errors=True)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="how many faults (default 200)")
    parser.add_argument("--seed", type=int, help="of the plan; without it a new one")
    parser.add_argument("--sabotage", action="store_true", help="cut acknowledged records off at the end, to see it noticed")
    parser.add_argument("--against", choices=["kafka"], help="do it to this one as well")
    parser.add_argument("--only", choices=["ottla", "kafka"], help="do it to this one alone")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write there what was found")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to try; without it one is built")
    return parser.parse_args()


def main():
    chosen = options()
    if chosen.seed is None:
        chosen.seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {chosen.seed}", flush=True)
    names = [chosen.only] if chosen.only else ["ottla", *filter(None, [chosen.against])]
    chosen.bin = prepare(names, chosen.bin)
    rdkafka_load.prepare()
    results = {name: run(name, chosen) for name in names}
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))
    if any(map(is_bad, results.values())):
        return 1
    print("every acknowledged record is there, in order, once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
