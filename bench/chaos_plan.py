"""The rounds of chaos.py, as a seed says them."""
import random
from dataclasses import dataclass

from links import CLIENTS
from nodes import NODES

PARTITIONS = 6
FAULTS = {"kill": 5, "pause": 4, "isolate": 3, "mute": 2, "deaf": 2, "link": 3, "reset": 2, "clients": 1, "kill-two": 2, "kill-all": 2,
          "strain": 2}
ROLES = {"leader": 4, "follower": 3, "controller": 3, "any": 1}
SECONDS = [0.2, 0.5, 1, 2, 4, 8]


@dataclass
class Round:
    """What the seed says of a round. Who it falls on also depends on who has the role then."""
    fault: str
    role: str
    partition: int
    seconds: float
    # Which of those that have the role, and who else, of `link`: and which ways.
    draw: int
    ways: int
    settles: bool
    pause_s: float

    def __str__(self):
        role = f"{self.role} of {self.partition}" if self.role in ("leader", "follower") else self.role
        return f"{self.fault} ({role}) for {self.seconds:g} s"


def plan(seed, rounds):
    source, made = random.Random(seed), []
    for _ in range(rounds):
        draws = {"fault": source.choices(list(FAULTS), FAULTS.values())[0], "role": source.choices(list(ROLES), ROLES.values())[0],
                 "partition": source.randrange(PARTITIONS), "seconds": source.choice(SECONDS) * source.uniform(0.7, 1.3),
                 "draw": source.randrange(6), "ways": source.randrange(3), "settles": source.random() < 0.5,
                 "pause_s": source.uniform(0.2, 2)}
        made.append(Round(**draws))
    return made


def links_of(round, victim, other):
    """Which links the round cuts."""
    rest = [id for id in range(1, NODES + 1) if id != victim]
    out, back = [(victim, id) for id in rest], [(id, victim) for id in rest]
    match round.fault:
        case "isolate" | "reset":
            return out + back
        case "mute":
            return out
        case "deaf":
            return back
        case "clients":
            return [(CLIENTS, victim), (victim, CLIENTS)]
        case _:
            ways = [(victim, other), (other, victim)]
            return ways if round.ways == 0 else ways[round.ways - 1:round.ways]
