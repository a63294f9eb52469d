"""Search for the best parameters of the model by cross-validation on the training set."""

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
        "--output_path",
        type=Path,
        default=f"{runtime.OUTPUT}/trials",
        help="folder for the trials, one file each",
    )
    parser.add_argument(
        "--trials", type=runtime.at_least(1), default=12, help="number of parameters to try"
    )
    parser.add_argument(
        "--folds", type=runtime.at_least(2), default=5, help="folds of the cross-validation"
    )
    parser.add_argument(
        "--seed", type=runtime.at_least(0), default=0, help="seed of the trials and the folds"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    from {{ cookiecutter.__package_name }}.tuning import TuningHandler

    handler = TuningHandler(
        trials=args.trials, folds=args.folds, seed=args.seed, host=runtime.this_host()
    )
    handler.run(input_path=args.input_path, output_path=args.output_path)


if __name__ == "__main__":
    runtime.main(build_parser(), run)
