"""Administration by librdkafka, run by rolling.py in an environment of its own: rdkafka_admin.py BOOTSTRAP PREFIX KEPT.

One thread describes (the topics, the kept ones' configuration, the cluster), another one creates, configures and deletes topics
of three replicas that begin with the prefix. Stops when standard input ends, and prints one line of JSON, as AdminLoad.java does.
"""
import json
import sys
import threading
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

# Librdkafka does not send an administrative request again whose connection ended before the answer came.
LOST = (KafkaError._TRANSPORT, KafkaError._DESTROY_BROKER)
REPEATED = (KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.UNKNOWN_TOPIC_OR_PART)
TIMEOUT_S = 60


def done(futures):
    for future in futures.values():
        future.result(TIMEOUT_S)


def read(admin, _prefix, kept, number):
    topic = kept[number // 4 % len(kept)]
    match number % 4:
        case 0:
            found = admin.list_topics(topic, TIMEOUT_S).topics[topic]
            if found.error is not None:
                raise KafkaException(found.error)
        case 1:
            done(admin.describe_configs([ConfigResource("topic", topic)]))
        case 2:
            admin.describe_cluster().result(TIMEOUT_S)
        case _:
            if not set(kept) <= set(admin.list_topics(timeout=TIMEOUT_S).topics):
                raise ValueError("a topic is missing")


def write(admin, prefix, kept, number):
    topic = f"{prefix}{number // 3}"
    match number % 3:
        case 0:
            done(admin.create_topics([NewTopic(topic, 3, 3)]))
        case 1:
            entry = ConfigEntry("retention.ms", str(86_400_000 + number), incremental_operation=AlterConfigOpType.SET)
            resource = ConfigResource("topic", kept[number % len(kept)], incremental_configs=[entry])
            done(admin.incremental_alter_configs([resource]))
        case _:
            done(admin.delete_topics([topic]))


class Loop(threading.Thread):
    def __init__(self, work, bootstrap, prefix, kept, stopped):
        super().__init__()
        self.work, self.prefix, self.kept, self.stopped = work, prefix, kept, stopped
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "logger": None})
        self.answered, self.repeated, self.lost, self.longest_s, self.errors = 0, 0, 0, 0, {}

    def run(self):
        number, last = 0, time.monotonic()
        while not self.stopped.is_set():
            if self.tried(number):
                now = time.monotonic()
                self.longest_s, last = max(self.longest_s, now - last), now
            number += 1
        # It may have stopped in the middle of a time without answers.
        self.longest_s = max(self.longest_s, time.monotonic() - last)

    def tried(self, number):
        """Whether there was an answer that says that the thing is done."""
        try:
            self.work(self.admin, self.prefix, self.kept, number)
            self.answered += 1
            return True
        except KafkaException as failed:
            error = failed.args[0]
            # The answer to a request may be lost with its connection: the client asks again, and it is done already.
            if self.work is write and error.code() in REPEATED:
                self.repeated += 1
                return True
            if error.code() in LOST:
                self.lost += 1
            else:
                self.note(error.name(), error)
        except (ValueError, TimeoutError) as failed:
            self.note(type(failed).__name__, failed)
        return False

    def note(self, name, error):
        print(f"rdkafka_admin: {self.work.__name__}: {error}", file=sys.stderr, flush=True)
        self.errors[name] = self.errors.get(name, 0) + 1

    def figures(self):
        return {"answered": self.answered, "repeated": self.repeated, "lost": self.lost,
                "longest_ms": round(self.longest_s * 1e3), "errors": self.errors}


def main():
    bootstrap, prefix, kept = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
    stopped = threading.Event()
    reads, writes = [Loop(work, bootstrap, prefix, kept, stopped) for work in (read, write)]
    reads.start(), writes.start()
    print("ready", flush=True)
    sys.stdin.read()
    stopped.set()
    reads.join(), writes.join()
    print(json.dumps({"reads": reads.figures(), "writes": writes.figures()}), flush=True)


main()
