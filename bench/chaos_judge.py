"""What chaos.py holds a cluster to: its clients' accounts against each other, and the replicas' files."""
import json
import struct
import subprocess

from chaos_records import FOREIGN, NUMBERS, UNACKED, UNKNOWN

AT_ONCE = 1 << 20
# Of a batch: base offset, length after these twelve bytes, leader epoch, magic, CRC.
HEAD = struct.Struct(">qiibI")


def judge(truth, producers, readers):
    """Counts what is wrong. `truth` has the records of each partition by offset; `producers` what each wrote, as (offsets by
    partition and number, whether it is idempotent); `readers` what each had read before, as `truth`."""
    wrong = dict.fromkeys(["lost", "unacked", "doubled", "reordered", "foreign", "changed"], 0)
    examples = []

    def note(kind, what):
        wrong[kind] += 1
        if len(examples) < 20:
            examples.append(f"{kind}: {what}")

    for partition, records in enumerate(truth):
        places = [{} if idempotent else None for _, idempotent in producers]
        last = [-1] * len(producers)
        for offset, record in enumerate(records):
            producer, number = divmod(record, NUMBERS)
            if record == FOREIGN or producer >= len(producers) or number >= len(producers[producer][0][partition]):
                note("foreign", f"partition {partition}, offset {offset}")
            elif producers[producer][1]:
                if number in places[producer]:
                    note("doubled", f"producer {producer}'s record {number} in partition {partition}: offsets "
                                    f"{places[producer][number]} and {offset}")
                elif number < last[producer]:
                    note("reordered", f"producer {producer}'s record {number} in partition {partition} behind {last[producer]}: "
                                      f"offset {offset}")
                places[producer].setdefault(number, offset)
                last[producer] = max(last[producer], number)
        for producer, (offsets, idempotent) in enumerate(producers):
            for number, offset in enumerate(offsets[partition]):
                wanted = producer * NUMBERS + number
                if offset == UNACKED:
                    note("unacked", f"producer {producer}'s record {number} in partition {partition}")
                elif offset == UNKNOWN:
                    # An acknowledged duplicate of a batch that the broker knows only by its numbers: it may name no offset.
                    if idempotent and number not in places[producer]:
                        note("lost", f"producer {producer}'s record {number} in partition {partition}")
                elif offset >= len(records) or records[offset] != wanted:
                    is_at = places[producer].get(number) if idempotent else None
                    note("lost", f"producer {producer}'s record {number} in partition {partition}: not at offset {offset}, which was "
                                 f"acknowledged, of {len(records)}; it is at {is_at}")
        for reader, seen in enumerate(readers):
            if seen[partition] != records[:len(seen[partition])]:
                at = next((at for at, pair in enumerate(zip(seen[partition], records)) if pair[0] != pair[1]), len(records))
                note("changed", f"what reader {reader} was given of partition {partition}, from offset {at} on")
    return wrong, examples


def segments(folder):
    """The bytes of a log, segment after segment."""
    for path in sorted(folder.glob("*.log")):
        with open(path, "rb") as file:
            while block := file.read(AT_ONCE):
                yield block


class Blocks:
    """Bytes that come in blocks of any size, given out in others."""

    def __init__(self, blocks):
        self.blocks, self.rest = blocks, b""

    def take(self, size):
        while len(self.rest) < size and (more := next(self.blocks, None)) is not None:
            self.rest += more
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken


def batches(blocks):
    """Base offset, leader epoch, CRC and size of each batch."""
    while len(head := blocks.take(HEAD.size)) == HEAD.size:
        base, length, epoch, _, crc = HEAD.unpack(head)
        yield base, epoch, crc, length
        blocks.take(length + 12 - HEAD.size)
    if head:
        yield "half a batch"


def compare(folders):
    """Where the replicas of one partition differ, which a cluster at rest with full ISRs must not: nothing, or a sentence."""
    logs = [Blocks(segments(folder)) for folder in folders]
    while True:
        blocks = [log.take(AT_ONCE) for log in logs]
        if any(block != blocks[0] for block in blocks):
            break
        if not blocks[0]:
            return None
    walks = [batches(Blocks(segments(folder))) for folder in folders]
    while True:
        found = [next(walk, None) for walk in walks]
        if any(each != found[0] for each in found):
            return f"{folders[0].name}: at one place are (base offset, leader epoch, CRC, bytes) {', '.join(map(str, found))}"
        if found[0] is None:
            return f"{folders[0].name}: batches have the same CRCs, and other bytes outside them"


def differences(nodes, topic, partitions):
    """Of stopped nodes."""
    compared = [compare([node.folder / "data" / f"{topic}-{index}" for node in nodes]) for index in range(partitions)]
    return [each for each in compared if each is not None]


def verified(bin_path, node):
    """What `ottla log verify` finds in a node's files."""
    ran = subprocess.run([bin_path, "log", "verify", "--records", "--json", node.folder / "data"], capture_output=True, text=True)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    if not lines or "partitions" not in lines[-1]:
        return [f"node {node.number}: ottla log verify failed: {ran.stderr}"]
    return [f"node {node.number}: {json.dumps(line)}" for line in lines if "problem" in line]
