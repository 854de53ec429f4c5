"""A member of a group; see interop/src/members.rs."""
import asyncio
import json
import sys
import threading

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError

from operations import say, say_partitions


class Told(ConsumerRebalanceListener):
    async def on_partitions_revoked(self, revoked):
        say_partitions("revoked", [p.partition for p in revoked])

    async def on_partitions_assigned(self, assigned):
        say_partitions("assigned", [p.partition for p in assigned])


async def run(description):
    wanted = json.loads(description)
    if wanted["cooperative"]:
        print("not offered", flush=True)
        return
    leave = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=wanted["bootstrap"], group_id=wanted["group"], group_instance_id=wanted["instance"],
        session_timeout_ms=wanted["session_timeout_ms"], heartbeat_interval_ms=300, enable_auto_commit=False,
        auto_offset_reset="earliest", partition_assignment_strategy=[RangePartitionAssignor], fetch_max_wait_ms=50)
    consumer.subscribe([wanted["topic"]], listener=Told())
    await consumer.start()
    while not leave.is_set():
        found = await consumer.getmany(timeout_ms=100)
        for records in found.values():
            for record in records:
                say("record", record.partition, record.offset, record.value.decode())
        if found:
            try:
                await consumer.commit()
            except CommitFailedError:
                # A rebalance was faster; the next owner reads these again.
                pass
    await consumer.stop()
    say("left")
