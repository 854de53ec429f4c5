"""What compare.py prints: medians, ratios, and the targets that they are held against."""
import statistics

from report import Line

PRODUCE_CPU, TAIL_CPU, P99, THROUGHPUT = 0.4, 0.9, 0.5, 1.0


def target(workload, key):
    """(at most, at least) of ottla's figure divided by Kafka's."""
    if key == "CPU-s/GB" and workload.startswith("produce-"):
        return PRODUCE_CPU, None
    if key == "CPU-s/GB" and workload == "tail":
        return TAIL_CPU, None
    if key.endswith("p99, ms"):
        return P99, None
    if key == "MB/s":
        return None, THROUGHPUT
    return None, None


def lines(results, workloads):
    table = workload_lines(results, workloads, target)
    table.append(Line("start-up, s", {name: statistics.median(result["start-up, s"]) for name, result in results.items()}))
    for key in ("RSS idle, MB", "RSS after the load, MB"):
        table.append(Line(key, {name: result[key] for name, result in results.items()}))
    return table


def workload_lines(results, workloads, target):
    """The medians of all figures; `target` tells what ottla's should be."""
    table = []
    for workload in workloads:
        rounds = {name: result["workloads"].get(workload, []) for name, result in results.items()}
        keys = dict.fromkeys(key for each in rounds.values() for figures in each for key in figures)
        for key in keys:
            figures = {name: statistics.median(round[key] for round in each if key in round)
                       for name, each in rounds.items() if any(key in round for round in each)}
            table.append(Line(f"{workload}: {key}", figures, *target(workload, key)))
    return table
