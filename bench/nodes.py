"""Three combined nodes on loopback, each a broker and a voter of the metadata quorum: ottla's, or Apache Kafka's."""
import shutil
import signal
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from brokers import JARS, SERVER, WORK, Broker, lasting_ports, logging
from wire import Connection

METADATA, BROKER_HEARTBEAT = 3, 63
NOT_CONTROLLER = 41
# No broker's id. Its heartbeats change nothing.
NOBODY = 99_999
NODES = 3
POLL_S, PATIENCE_S = 0.005, 60
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAQ"


class Overdue(Exception):
    """What must come did not."""


@dataclass
class View:
    """What one node's Metadata say."""
    brokers: set
    leaders: dict  # By topic and partition; -1 where there is none.
    isrs: dict

    def led_by(self, ids, topics, partitions):
        """Whether each of so many partitions of the topics has one of the ids for its leader."""
        wanted = [(topic, index) for topic in topics for index in range(partitions)]
        return all(self.leaders.get(partition) in ids for partition in wanted)

    def spread(self, topic):
        """The leader and the ISR of each of its partitions: what changes when either does."""
        return {index: (leader, tuple(sorted(self.isrs[name, index])))
                for (name, index), leader in sorted(self.leaders.items()) if name == topic}

    def full(self, topics, partitions):
        return (self.led_by(self.brokers, topics, partitions)
                and self.replicas(topics) == NODES * partitions * len(topics))

    def replicas(self, topics):
        """How many replicas are in sync."""
        return sum(len(isr) for (topic, _), isr in self.isrs.items() if topic in topics)

    def __str__(self):
        lost = [f"{topic}-{index} (leader {leader}, ISR {self.isrs[topic, index]})"
                for (topic, index), leader in sorted(self.leaders.items()) if leader not in self.brokers]
        return (f"brokers {sorted(self.brokers)}, {len(self.leaders)} partitions, "
                f"{sum(map(len, self.isrs.values()))} replicas in sync, "
                f"{len(lost)} partitions without a live leader {', '.join(lost[:5])}")


def metadata(connection):
    """Metadata 7, of all topics."""
    answer = connection.ask(METADATA, 7, struct.pack(">i?", -1, False))
    view = View(brokers_of(answer), {}, {})
    _, count = answer.take("ii")
    for _ in range(count):
        answer.take("h")
        topic = answer.text()
        _, partitions = answer.take("?i")
        for _ in range(partitions):
            _, index, leader, _ = answer.take("hiii")
            _, isr, _ = ids(answer), ids(answer), ids(answer)
            view.leaders[topic, index], view.isrs[topic, index] = leader, isr
    return view


def live_brokers(connection):
    """The ids in an answer to Metadata 7 that asks for no topics."""
    return brokers_of(connection.ask(METADATA, 7, struct.pack(">i?", 0, False)))


def brokers_of(answer):
    """The brokers of a Metadata answer, which is taken apart as far as the cluster id."""
    _, count = answer.take("ii")
    brokers = set()
    for _ in range(count):
        brokers.add(answer.take("i")[0])
        answer.text(), answer.take("i"), answer.text()
    answer.text()
    return brokers


def ids(answer):
    count, = answer.take("i")
    return list(answer.take(f"{count}i"))


@dataclass
class Ports:
    """Where a node listens."""
    clients: int
    controller: int


@dataclass
class Proxied(Ports):
    """The same of a node that clients and other nodes reach by a proxy, and by a listener for brokers of its own."""
    brokers: int
    # Where the proxy listens for each of the three.
    clients_at: int
    controller_at: int
    brokers_at: int


def listeners(ports, number):
    """The properties of one node that say where it is, and where the others are."""
    own = ports[number - 1]
    voters = ",".join(f"{id}@127.0.0.1:{getattr(each, 'controller_at', each.controller)}" for id, each in enumerate(ports, 1))
    told = f"""\
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
"""
    if not isinstance(own, Proxied):
        return told + f"""\
listeners=PLAINTEXT://127.0.0.1:{own.clients},CONTROLLER://127.0.0.1:{own.controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
"""
    return told + f"""\
listeners=PLAINTEXT://127.0.0.1:{own.clients},BROKERS://127.0.0.1:{own.brokers},CONTROLLER://127.0.0.1:{own.controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{own.clients_at},BROKERS://127.0.0.1:{own.brokers_at},\
CONTROLLER://127.0.0.1:{own.controller_at}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKERS
"""


class Node(Broker):
    """One of the three. Its number is its id."""

    def __init__(self, name, number, bin_path, ports, folder, properties):
        # Broker's own beginning makes a cluster of one.
        self.name, self.number = name, number
        self.folder = WORK / folder / name / str(number)
        self.folder.mkdir(parents=True)
        self.port, self.controller = ports[number - 1].clients, ports[number - 1].controller
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.config = self.folder / "server.properties"
        self.config.write_text(f"""\
node.id={number}
process.roles=broker,controller
{listeners(ports, number)}log.dirs={self.folder / 'data'}
{properties}""")
        if name == "ottla":
            self.command = [str(bin_path), "serve", str(self.config)]
        else:
            java = [*SERVER, *logging(), "-cp", f"{JARS}/*"]
            self.command = [*java, "kafka.Kafka", str(self.config)]
            subprocess.run([*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self.config)],
                           check=True, stdout=subprocess.DEVNULL, stderr=self.log())
        self.process = None

    def spawn(self):
        """Starts it without waiting: the three need each other."""
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log(), stderr=self.log(),
                                        cwd=self.folder)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def leads_the_quorum(self, patience_s=PATIENCE_S):
        """Whether it is the active controller: BrokerHeartbeat 0 on its controller listener. The API has tagged fields from its
        first version; both headers and the request end with none."""
        with Connection(self.controller, patience_s) as connection:
            answer = connection.ask(BROKER_HEARTBEAT, 0, b"\0" + struct.pack(">iqq??", NOBODY, -1, -1, True, False) + b"\0")
            _, _, error = answer.take("bih")
            return error != NOT_CONTROLLER

    def await_answer(self, what, ask, is_so, patience_s=PATIENCE_S):
        """Asks every 5 ms, and again where that fails, until the answer is so. Returns when that was."""
        until, answer, connection = time.monotonic() + patience_s, None, None
        try:
            while time.monotonic() < until:
                try:
                    connection = connection or Connection(self.port, patience_s)
                    answer = ask(connection)
                    if is_so(answer):
                        return time.monotonic()
                # It is not up yet. SystemExit is how a connection tells that it was closed.
                except (OSError, SystemExit):
                    if self.process.poll() is not None:
                        raise Overdue(f"node {self.number} ended instead of coming to {what}") from None
                    if connection is not None:
                        connection.__exit__()
                    connection = None
                time.sleep(POLL_S)
        finally:
            if connection is not None:
                connection.__exit__()
        raise Overdue(f"node {self.number} does not come to {what} within {patience_s} s; it says: {answer}")

    def await_view(self, what, is_so, patience_s=PATIENCE_S):
        """The same, of all that Metadata say."""
        return self.await_answer(what, metadata, is_so, patience_s)


class Nodes:
    """The three, started or not."""

    def __init__(self, name, bin_path, folder, properties="", ports=None):
        self.name = name
        self.folder = WORK / folder / name
        shutil.rmtree(self.folder, ignore_errors=True)
        free = iter(lasting_ports(2 * NODES))
        ports = ports or [Ports(next(free), next(free)) for _ in range(NODES)]
        self.nodes = [Node(name, number, bin_path, ports, folder, properties) for number in range(1, NODES + 1)]
        self.pool = ThreadPoolExecutor(NODES)

    @property
    def bootstrap(self):
        return ",".join(node.bootstrap for node in self.nodes)

    def each(self, nodes, work):
        """Does the work for the nodes side by side; what it returns, in their order."""
        return [future.result() for future in [self.pool.submit(work, node) for node in nodes]]

    def start(self, patience_s=PATIENCE_S):
        for node in self.nodes:
            node.spawn()
        self.await_brokers(patience_s)

    def await_brokers(self, patience_s=PATIENCE_S):
        """Waits until each node names all; returns when the last one did."""
        return max(self.each(self.nodes, lambda node: node.await_answer(
            "three brokers", live_brokers, lambda brokers: len(brokers) == NODES, patience_s)))

    def active_controller(self):
        """The number of the node that is it."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            for node in self.nodes:
                try:
                    if node.leads_the_quorum(2):
                        return node.number
                # It is down or paused. SystemExit is how a connection tells that it was closed.
                except (OSError, SystemExit):
                    pass
            time.sleep(POLL_S)
        raise Overdue("no node is the active controller")

    def end(self):
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.kill()
        self.pool.shutdown()
