"""A broker of a benchmark: ottla, or Apache Kafka, from the same properties, with its data under target/bench/."""
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench"
JARS = ROOT / "target" / "jars" / "kafka"
BROKERS = ["ottla", "kafka"]
TICKS = os.sysconf("SC_CLK_TCK")
# The options of Kafka's kafka-run-class and kafka-server-start scripts.
SERVER = ["java", "-Xms1g", "-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
          "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"]


def prepare(names, bin_path, java_load=False):
    """Sees that the brokers are there, and Kafka's jars if one of them is Kafka or the load is. Returns the path of ottla's
    binary, which is built unless one is given."""
    if java_load or "kafka" in names:
        subprocess.run(["cargo", "xtask", "jars", "kafka"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    if "ottla" in names and bin_path is None:
        subprocess.run(["cargo", "build", "--release", "--package", "ottla"], cwd=ROOT, check=True)
        bin_path = ROOT / "target" / "release" / "ottla"
    WORK.mkdir(parents=True, exist_ok=True)
    return bin_path and bin_path.resolve()


class Broker:
    """One running broker."""

    # What it takes in half a second of processor time at rest, at most.
    AT_REST_S = 0.05

    def __init__(self, name, bin_path, properties="", folder=""):
        self.name = name
        self.folder = WORK / folder / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.port, controller = free_ports(2)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.config = self.folder / "server.properties"
        self.config.write_text(f"""\
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={self.folder / 'data'}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
{properties}""")
        if name == "ottla":
            self.command = [str(bin_path), "serve", str(self.config)]
        else:
            java = [*SERVER, *logging(), "-cp", f"{JARS}/*"]
            self.command = [*java, "kafka.Kafka", str(self.config)]
            subprocess.run([*java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c",
                            str(self.config)], check=True, stdout=subprocess.DEVNULL, stderr=self.log())
        self.process = None

    def log(self):
        return open(self.folder / "broker.log", "ab")

    def start(self, patience_s=120):
        """Starts it, and returns the seconds until it answered."""
        started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log(), stderr=self.log(),
                                        cwd=self.folder)
        while not answers(self.port):
            if self.process.poll() is not None:
                raise SystemExit(f"bench: {self.name} ended; see {self.folder}/broker.log")
            if time.monotonic() - started > patience_s:
                raise SystemExit(f"bench: {self.name} does not answer; see {self.folder}/broker.log")
            time.sleep(0.001)
        return time.monotonic() - started

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, patience_s=60):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise SystemExit("bench: no VmRSS")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def log_bytes(self, topic):
        """What the topic's segments hold."""
        return sum(segment.stat().st_size for segment in (self.folder / "data").glob(f"{topic}-*/*.log"))


def settle(broker, patience_s=30):
    """Waits until the broker is at rest, so that one round's aftermath is not counted in the next."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        before = broker.cpu_seconds()
        time.sleep(0.5)
        if broker.cpu_seconds() - before <= broker.AT_REST_S:
            return


def lasting_ports(count):
    """Free ports below those that the system gives to whoever connects: who ends and comes back finds its own free, and nobody
    who dials it meanwhile gets itself."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = []
    for port in random.sample(range(10_000, first), first - 10_000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("bench: no free ports")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(port):
    """Whether an ApiVersions request, version 0, gets an answer with its correlation id."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(5)
            body = struct.pack(">hhih5s", 18, 0, 7, 5, b"bench")
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(8)
            return len(answer) == 8 and struct.unpack(">ii", answer)[1] == 7
    except OSError:
        return False


def logging():
    config = WORK / "log4j2.properties"
    config.write_text("rootLogger.level=WARN\nrootLogger.appenderRef.err.ref=ERR\nappender.err.type=Console\n"
                      "appender.err.name=ERR\nappender.err.target=SYSTEM_ERR\nappender.err.layout.type=PatternLayout\n"
                      "appender.err.layout.pattern=%d %p %m (%c)%n\n")
    return [f"-Dlog4j2.configurationFile={config}"]
