"""How the parts of chaos.py tell each other of records: for each partition an array of integers, eight bytes a record."""
import array

from crash import payload

# Of a producer's record: acknowledged without an offset, or not at all.
UNKNOWN, UNACKED = -1, -2
# Of a record that was read: nobody can have written it.
FOREIGN = -1
NUMBERS = 1 << 40
# How long clients have for the last acknowledgements, and the last records.
END_S = 90


def coded(value, partition):
    """Producer and number of a record in one integer; FOREIGN if nobody can have written these bytes to the partition."""
    try:
        producer, at, number, _ = value.decode().split(":", 3)
        producer, at, number = int(producer), int(at), int(number)
    except (ValueError, AttributeError):
        return FOREIGN
    return producer * NUMBERS + number if at == partition and value == payload(producer, at, number) else FOREIGN


def save(path, partitions):
    with open(path, "wb") as out:
        for numbers in partitions:
            array.array("q", [len(numbers)]).tofile(out)
            numbers.tofile(out)


def load(path):
    found = []
    with open(path, "rb") as file:
        while head := file.read(8):
            numbers = array.array("q")
            numbers.fromfile(file, array.array("q", head)[0])
            found.append(numbers)
    return found
