"""A member of a group; see interop/src/members.rs."""
import json
import sys
import threading

from confluent_kafka import Consumer, KafkaException

from operations import say, say_partitions


def run(description):
    wanted = json.loads(description)
    leave = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
    config = {
        "bootstrap.servers": wanted["bootstrap"], "group.id": wanted["group"],
        "session.timeout.ms": wanted["session_timeout_ms"], "heartbeat.interval.ms": 300,
        "enable.auto.commit": False, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 50,
        "topic.metadata.refresh.interval.ms": 1000, "reconnect.backoff.max.ms": 500,
        "partition.assignment.strategy": "cooperative-sticky" if wanted["cooperative"] else "range",
    }
    if wanted["instance"] is not None:
        config["group.instance.id"] = wanted["instance"]
    consumer = Consumer(config)

    def assigned(_, partitions):
        say_partitions("assigned", [p.partition for p in partitions])

    def revoked(_, partitions):
        say_partitions("revoked", [p.partition for p in partitions])

    consumer.subscribe([wanted["topic"]], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
    while not leave.is_set():
        messages = [m for m in consumer.consume(500, 0.1) if m.error() is None]
        for m in messages:
            say("record", m.partition(), m.offset(), m.value().decode())
        if messages:
            try:
                consumer.commit(asynchronous=False)
            except KafkaException as error:
                # A rebalance or the broker's end was faster; what is not committed is read again.
                print(error, file=sys.stderr)
    consumer.close()
    say("left")
