"""Fit a model of the aircraft's speed and measure it on the test set."""

import argparse
from pathlib import Path

from strike_speed import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path",
        type=runtime.finished_output,
        default=f"{runtime.INPUT}/dataset",
        help="folder written by prepare",
    )
    parser.add_argument(
        "--output_path",
        type=Path,
        default=f"{runtime.OUTPUT}/model",
        help="folder for the model and its metrics",
    )
    parser.add_argument("--trees", type=runtime.at_least(1), default=50, help="number of trees")
    parser.add_argument("--seed", type=runtime.at_least(0), default=0, help="seed of the fit")
    return parser


def run(args: argparse.Namespace) -> None:
    from strike_speed.fitting import FittingHandler

    handler = FittingHandler(trees=args.trees, seed=args.seed)
    handler.run(input_path=args.input_path, output_path=args.output_path)


if __name__ == "__main__":
    runtime.main(build_parser(), run)
