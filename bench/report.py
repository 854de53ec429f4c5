"""The table at the end of a benchmark: a line for each figure, a column for each broker, their ratio, and what it should be."""
from dataclasses import dataclass


@dataclass
class Line:
    what: str
    figures: dict  # By broker; None where it was not measured.
    at_most: float | None = None  # Of ottla's figure divided by Kafka's.
    at_least: float | None = None
    below: float | None = None  # Of ottla's figure alone.

    def ratio(self):
        ottla, kafka = self.figures.get("ottla"), self.figures.get("kafka")
        return ottla / kafka if ottla is not None and kafka else None

    def verdict(self):
        ratio = self.ratio()
        if self.below is not None and self.figures.get("ottla") is not None:
            return f"<  {self.below:<5g} {'pass' if self.figures['ottla'] < self.below else 'MISSED'} (ottla)"
        if ratio is None or self.at_most is self.at_least is None:
            return ""
        good = ratio <= self.at_most if self.at_most is not None else ratio >= self.at_least
        sign, target = ("<=", self.at_most) if self.at_most is not None else (">=", self.at_least)
        return f"{sign} {target:<5g} {'pass' if good else 'MISSED'}"


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(lines, names):
    """Prints the lines, and what became of the targets."""
    width = max([len(line.what) for line in lines] + [20]) + 2
    print(f"{'':{width}}" + "".join(f"{name:>12}" for name in names) + f"{'ratio':>10}  target")
    for line in lines:
        if all(line.figures.get(name) is None for name in names):
            continue
        ratio = line.ratio()
        row = f"{line.what:{width}}" + "".join(f"{number(line.figures.get(name)):>12}" for name in names)
        row += f"{'-' if ratio is None else format(ratio, '.3f'):>10}  {line.verdict()}"
        print(row.rstrip())
    verdicts = [line.verdict() for line in lines if line.verdict()]
    if verdicts:
        missed = sum("MISSED" in verdict for verdict in verdicts)
        print(f"\n{len(verdicts) - missed} of {len(verdicts)} targets reached")
