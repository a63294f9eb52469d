"""Split the raw tables into a training and a test set."""

import argparse
from pathlib import Path

from {{ cookiecutter.__package_name }} import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path",
        type=runtime.existing_dir,
        default=f"{runtime.INPUT}/raw",
        help="folder of CSV tables",
    )
    parser.add_argument(
        "--output_path",
        type=Path,
        default=f"{runtime.OUTPUT}/dataset",
        help="folder for the data set: train/ and test/",
    )
    parser.add_argument(
        "--test_fraction",
        type=runtime.fraction,
        default=0.2,
        help="share of the rows in the test set, between 0 and 1",
    )
    parser.add_argument("--seed", type=runtime.at_least(0), default=0, help="seed of the split")
    return parser


def run(args: argparse.Namespace) -> None:
    from {{ cookiecutter.__package_name }}.preprocessing import PreprocessingHandler

    handler = PreprocessingHandler(
        test_fraction=args.test_fraction, seed=args.seed, host=runtime.this_host()
    )
    handler.run(input_path=args.input_path, output_path=args.output_path)


if __name__ == "__main__":
    runtime.main(build_parser(), run)
