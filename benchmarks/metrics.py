"""How long it takes to measure scores: `python -m benchmarks.metrics --json`.

A thousand clips of a hundred people with 2000 bootstrap samples over clips and as many over people,
all metrics, slices and evidence, on one core; and, side by side in the same run, the AUC alone by
scikit-learn in a loop over as many samples.
"""

import argparse
import json
import time

import numpy as np
import threadpoolctl
from sklearn.metrics import roc_auc_score

from benchmarks.machine import machine
from obverse.eval.evaluation import EvalConfig, evaluate_table
from obverse.eval.score_table import ScoreTable
from obverse.eval.weighing import weigh

CLIPS, PEOPLE, SAMPLES = 1000, 100, 2000


def table(clips: int) -> ScoreTable:
    """Return scores of a detector that knows something."""
    rng = np.random.default_rng(0)
    truth = np.arange(clips) % 2 == 0
    score = 1 / (1 + np.exp(-rng.normal(np.where(truth, 1.0, -1.0), 1.2)))
    method = [("talk", "reenact")[i // 2 % 2] if truth[i] else None for i in range(clips)]
    return ScoreTable(
        detector="d",
        unit="clip",
        clip=np.array([f"{i:032x}" for i in range(clips)], object),
        truth=truth,
        status=np.array(["ok"] * clips, object),
        score=score,
        ratio=None,
        verdict=None,
        groups={
            "identity": np.array([f"p{i * PEOPLE // clips}" for i in range(clips)], object),
            "method": np.array(method, object),
        },
    )


def measure(clips: int, samples: int, repeats: int) -> dict[str, object]:
    """Return CPU seconds, the medians of some passes taken in turn."""
    made = table(clips)
    config = EvalConfig(samples=samples)
    evaluate_table(table(50), EvalConfig(samples=2))  # compiles
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for _ in range(repeats):
        start = time.process_time()
        evaluate_table(made, config)
        weigh(made, config)
        ours.append(time.process_time() - start)
        start = time.process_time()
        for _ in range(samples // 10):
            drawn = rng.integers(0, clips, clips)
            roc_auc_score(made.truth[drawn], made.score[drawn])
        theirs.append(10 * (time.process_time() - start))
    return {
        "clips": clips,
        "samples": samples,
        "all_metrics_over_clips_and_people_s": round(float(np.median(ours)), 2),
        "scikit_learn_auc_alone_over_clips_s": round(float(np.median(theirs)), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with threadpoolctl.threadpool_limits(1):
        found = measure(given.clips, given.samples, given.repeats) | {"machine": machine()}
    print(json.dumps(found, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
