"""A member of a group; see interop/src/members.rs."""
import json
import logging
import os
import sys
import threading

from kafka import ConsumerRebalanceListener, KafkaConsumer, errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor

from operations import say, say_partitions


class Told(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        say_partitions("revoked", [p.partition for p in revoked])

    def on_partitions_assigned(self, assigned):
        say_partitions("assigned", [p.partition for p in assigned])


def run(description):
    wanted = json.loads(description)
    logging.basicConfig(level=os.environ.get("INTEROP_LOG", "WARNING"),
                        format="%(asctime)s %(process)d %(name)s %(message)s")
    leave = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
    assignor = CooperativeStickyAssignor if wanted["cooperative"] else RangePartitionAssignor
    consumer = KafkaConsumer(
        bootstrap_servers=wanted["bootstrap"], group_id=wanted["group"], group_instance_id=wanted["instance"],
        session_timeout_ms=wanted["session_timeout_ms"], heartbeat_interval_ms=300, enable_auto_commit=False,
        auto_offset_reset="earliest", partition_assignment_strategy=[assignor], fetch_max_wait_ms=50)
    consumer.subscribe([wanted["topic"]], listener=Told())
    while not leave.is_set():
        try:
            # When its time is over in the middle of a join, kafka-python 3.0.12 never takes what the join assigns.
            found = consumer.poll(2000)
        except errors.KafkaError as error:
            # While no broker can be reached, poll() now and then raises the failure of its own search for one.
            if not error.retriable:
                raise
            print(repr(error), file=sys.stderr)
            leave.wait(0.1)
            continue
        for records in found.values():
            for record in records:
                say("record", record.partition, record.offset, record.value.decode())
        if found:
            consumer.commit()
    consumer.close()
    say("left")
