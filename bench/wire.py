"""The little of Kafka's protocol that the scripts of this folder speak themselves: old versions, without tagged fields."""
import socket
import struct
import time

PRODUCE, LIST_OFFSETS, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS = 0, 2, 18, 19, 20
JOIN_GROUP, INIT_PRODUCER_ID = 11, 22


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


class Answer:
    """The body of a response, taken apart from its beginning."""

    def __init__(self, content):
        self.content = content
        self.at = 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.content, self.at)
        self.at += struct.calcsize(">" + form)
        return values

    def text(self):
        length, = self.take("h")
        self.at += max(length, 0)
        return self.content[self.at - max(length, 0):self.at].decode()


class Connection:
    """One connection, one request at a time."""

    def __init__(self, port, patience_s=60):
        self.patience_s = patience_s
        self.socket = socket.create_connection(("127.0.0.1", port), patience_s)
        self.socket.settimeout(patience_s)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def ask(self, api, version, body=b""):
        frame = struct.pack(">hhi", api, version, 1) + text("bench") + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        head = self.file.read(4)
        if len(head) < 4:
            raise SystemExit(f"bench: the broker closed the connection instead of answering API {api}, version {version}")
        length, = struct.unpack(">i", head)
        return Answer(self.file.read(length)[4:])

    def serves(self, api):
        """Whether the broker advertises the API."""
        answer = self.ask(API_VERSIONS, 0)
        _, count = answer.take("hi")
        return api in [answer.take("hhh")[0] for _ in range(count)]

    def create(self, topics, partitions, configs=None, replicas=1):
        """CreateTopics 4, one request for all of `topics`."""
        for topic, (error, message) in self.created(topics, partitions, configs, replicas).items():
            if error:
                raise SystemExit(f"bench: creating {topic}: error {error}, {message}")

    def created(self, topics, partitions, configs=None, replicas=1):
        """The same; error code and message of each topic."""
        return self.asked_to_create({topic: struct.pack(">ihi", partitions, replicas, 0) for topic in topics}, configs)

    def create_placed(self, topic, replicas, configs=None):
        """A topic whose partitions have these replicas, their preferred leaders first."""
        each = b"".join(struct.pack(f">ii{len(ids)}i", index, len(ids), *ids) for index, ids in enumerate(replicas))
        (error, message), = self.asked_to_create({topic: struct.pack(">ihi", -1, -1, len(replicas)) + each}, configs).values()
        if error:
            raise SystemExit(f"bench: creating {topic}: error {error}, {message}")

    def asked_to_create(self, topics, configs):
        """The answer, by topic. `topics` has what the request says of each before its settings."""
        pairs = (configs or {}).items()
        settings = struct.pack(">i", len(pairs)) + b"".join(text(key) + text(value) for key, value in pairs)
        each = b"".join(text(topic) + placement + settings for topic, placement in topics.items())
        answer = self.ask(CREATE_TOPICS, 4, struct.pack(">i", len(topics)) + each
                          + struct.pack(">ib", int(self.patience_s * 1000), 0))
        _, count = answer.take("ii")
        return {answer.text(): (answer.take("h")[0], answer.text()) for _ in range(count)}

    def delete(self, topic):
        """DeleteTopics 3."""
        answer = self.ask(DELETE_TOPICS, 3, struct.pack(">i", 1) + text(topic) + struct.pack(">i", 60_000))
        answer.take("ii")
        answer.text()
        error, = answer.take("h")
        if error:
            raise SystemExit(f"bench: deleting {topic}: error {error}")

    def leaderless(self, topic, partitions):
        """How many partitions do not answer ListOffsets 1 as leaders."""
        each = b"".join(struct.pack(">iq", index, -1) for index in range(partitions))
        answer = self.ask(LIST_OFFSETS, 1, struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">i", partitions) + each)
        answer.take("i")
        answer.text()
        count, = answer.take("i")
        return sum(answer.take("ihqq")[1] != 0 for _ in range(count))

    def produce(self, topic, partitions, batch):
        """Produce 3, with acks=1: the batch to each partition."""
        each = b"".join(struct.pack(">ii", index, len(batch)) + batch for index in range(partitions))
        answer = self.ask(PRODUCE, 3, struct.pack(">hhii", -1, 1, 60_000, 1) + text(topic) + struct.pack(">i", partitions) + each)
        answer.take("i")
        answer.text()
        count, = answer.take("i")
        errors = {answer.take("ihqq")[1] for _ in range(count)} - {0}
        if errors:
            raise SystemExit(f"bench: writing to {topic}: errors {errors}")


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data, table=crc32c_table()):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value):
    """A zigzag varint."""
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Of batches whose producer is not idempotent.
NO_PRODUCER = (-1, -1, -1)


def batch_of_one(value, producer=NO_PRODUCER):
    """A record batch, version 2, of one record without key and headers. `producer` is its id, epoch and the sequence number."""
    record = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(value)) + value + varint(0)
    now_ms = int(time.time() * 1000)
    rest = struct.pack(">hiqqqhii", 0, 0, now_ms, now_ms, *producer, 1) + varint(len(record)) + record
    return struct.pack(">qiibI", 0, 9 + len(rest), -1, 2, crc32c(rest)) + rest
