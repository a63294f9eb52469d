"""List the files of the input."""

import argparse
from pathlib import Path

from package import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path",
        type=runtime.input_type,
        default=f"{runtime.INPUT}/input_channel",
        help="input_help",
    )
    parser.add_argument(
        "--output_path",
        type=Path,
        default=f"{runtime.OUTPUT}/skeleton",
        help="folder for the lists, one per host",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    from package.skeleton import SkeletonHandler

    handler = SkeletonHandler(host=runtime.this_host())
    handler.run(input_path=args.input_path, output_path=args.output_path)


if __name__ == "__main__":
    runtime.main(build_parser(), run)
