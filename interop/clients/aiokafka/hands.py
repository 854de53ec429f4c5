"""How aiokafka is called for each operation of interop/src/hands.rs.

Its admin client has few of Kafka's requests, and gives most answers as they are on the wire.
"""
import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import OffsetOutOfRangeError, UnknownError
from aiokafka.structs import OffsetAndMetadata

from operations import NotOffered, Refused, decoded, encoded

LIMIT_S = 40


def checked(code, text=""):
    if code:
        raise Refused(code, text)


class Hands:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.started = None

    async def admin(self):
        if self.started is None:
            self.started = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            await self.started.start()
        return self.started

    async def create(self, topic, partitions, replicas, configs):
        new = NewTopic(topic, partitions, replicas, topic_configs=configs)
        answer = await (await self.admin()).create_topics([new])
        for _, code, text in answer.topic_errors:
            checked(code, text)

    async def delete(self, topic):
        answer = await (await self.admin()).delete_topics([topic])
        for _, code in answer.topic_error_codes:
            checked(code)

    async def topics(self):
        return await (await self.admin()).list_topics()

    async def describe(self, topic):
        if topic not in await self.topics():
            # Asking for a topic by its name creates it.
            raise NotOffered
        (found,) = await (await self.admin()).describe_topics([topic])
        checked(found["error_code"])
        return [{"id": p["partition"], "leader": p["leader"], "replicas": p["replicas"], "isr": p["isr"]}
                for p in found["partitions"]]

    async def add_partitions(self, topic, count):
        await (await self.admin()).create_partitions({topic: NewPartitions(count)})

    async def delete_records(self, topic, partition, before):
        where = TopicPartition(topic, partition)
        return (await (await self.admin()).delete_records({where: RecordsToDelete(before)}))[where]

    async def configs(self, type, name):
        kind = ConfigResourceType[type.upper()]
        (answer,) = await (await self.admin()).describe_configs([ConfigResource(kind, name)])
        code, text, _, _, entries = answer.resources[0]
        checked(code, text)
        return {entry[0]: entry[1] for entry in entries}

    async def cluster(self):
        found = await (await self.admin()).describe_cluster()
        return {"brokers": [f"{b['node_id']}@{b['host']}:{b['port']}" for b in found["brokers"]],
                "controller": found["controller_id"]}

    async def produce(self, topic, records, bootstrap, acks, codec, idempotent, max_bytes):
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, acks=acks if acks == "all" else int(acks), linger_ms=2,
            compression_type=None if codec == "none" else codec, enable_idempotence=idempotent,
            max_request_size=max_bytes + 1000, max_batch_size=min(max_bytes + 1000, 16_384)
            if max_bytes < 2_000_000 else max_bytes + 1000)
        await producer.start()
        try:
            if any(value is None for r in records for _, value in r["headers"]):
                raise NotOffered
            futures = []
            for r in records:
                futures.append(await producer.send(
                    topic, key=decoded(r["key"]), value=decoded(r["value"]),
                    partition=None if r["partition"] < 0 else r["partition"], timestamp_ms=r["timestamp"],
                    headers=[(key, decoded(value)) for key, value in r["headers"]]))
            try:
                found = await asyncio.wait_for(asyncio.gather(*futures), LIMIT_S)
            except UnknownError as error:
                # An error that came after its time, such as INVALID_RECORD: it cannot say which.
                raise NotOffered from error
            return [(r["partition"], -1) if acks == "0" else (f.partition, f.offset)
                    for r, f in zip(records, found)]
        finally:
            await producer.stop()

    async def consumer(self, **config):
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False,
                                    auto_offset_reset="none", fetch_max_wait_ms=50, **config)
        await consumer.start()
        return consumer

    async def read(self, topic, partition, **place):
        where = TopicPartition(topic, partition)
        consumer = await self.consumer()
        try:
            end = (await consumer.end_offsets([where]))[where]
            consumer.assign([where])
            consumer.seek(where, place["from"])
            records, deadline = [], asyncio.get_running_loop().time() + LIMIT_S
            # Beyond the end there is an error to be had.
            while place["from"] + len(records) < end or place["from"] > end:
                for found in (await consumer.getmany(timeout_ms=200)).values():
                    records += found
                if asyncio.get_running_loop().time() > deadline:
                    raise TimeoutError(f"{len(records)} records of {topic} after {LIMIT_S} s")
            return [{"offset": r.offset, "timestamp": r.timestamp, "key": encoded(r.key), "value": encoded(r.value),
                     "headers": [(key, encoded(value)) for key, value in r.headers]} for r in records]
        except OffsetOutOfRangeError as error:
            raise Refused(1, str(error)) from error
        finally:
            await consumer.stop()

    async def offsets(self, topic, partitions, at):
        places = [TopicPartition(topic, partition) for partition in partitions]
        consumer = await self.consumer()
        try:
            if at == "earliest":
                found = await consumer.beginning_offsets(places)
            elif at == "latest":
                found = await consumer.end_offsets(places)
            else:
                # It refuses times before 1970, and leaves out what is not found.
                by_time = await consumer.offsets_for_times({place: at for place in places})
                found = {place: entry.offset for place, entry in by_time.items() if entry is not None}
            return [found.get(place) for place in places]
        finally:
            await consumer.stop()

    async def commit(self, group, topic, offsets, metadata):
        consumer = await self.consumer(group_id=group)
        try:
            places = {TopicPartition(topic, p): OffsetAndMetadata(offset, metadata) for p, offset in offsets}
            consumer.assign(list(places))
            await consumer.commit(places)
        finally:
            await consumer.stop()

    async def committed(self, group, topic, partitions):
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        found = await (await self.admin()).list_consumer_group_offsets(group, partitions=places)
        return [(place.partition, found[place].offset, found[place].metadata) for place in places]

    async def groups(self):
        found = await (await self.admin()).list_consumer_groups()
        return [{"group": g[0], "protocol_type": g[1]} for g in found]
