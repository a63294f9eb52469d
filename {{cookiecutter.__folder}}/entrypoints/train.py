"""Fit the model with the best parameters and measure it on the test set."""

import argparse
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path",
        type=runtime.finished_output,
        default=f"{runtime.INPUT}/dataset",
        help="folder written by preprocess",
    )
    parser.add_argument(
        "--trials_path",
        type=runtime.finished_output,
        default=Path(runtime.INPUT, "trials"),
        help="folder written by tune; without it, the model has its default parameters",
    )
    parser.add_argument(
        "--output_path",
        type=Path,
        default=f"{runtime.OUTPUT}/model",
        help="folder for the model and its metrics",
    )
    parser.add_argument("--seed", type=runtime.at_least(0), default=0, help="seed of the fit")
    return parser


def run(args: argparse.Namespace) -> None:
    from {{ cookiecutter.__package_name }}.training import TrainingHandler

    trials_path = args.trials_path if args.trials_path.is_dir() else None
    handler = TrainingHandler(seed=args.seed)
    handler.run(input_path=args.input_path, trials_path=trials_path, output_path=args.output_path)


if __name__ == "__main__":
    runtime.main(build_parser(), run)
