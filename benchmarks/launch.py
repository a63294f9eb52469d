"""What a launch on SageMaker loads, against what it would load with the SDK's ``Processor``.

Both in one environment, which holds the SDK, with warm bytecode.
"""

import tempfile
from pathlib import Path

from timing import compare, generate, shell

CLIENT = "from launch import aws; aws.client('sagemaker')"
PROCESSOR = f"from sagemaker.core.processing import Processor; {CLIENT}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        settings = project / "aws.env"
        settings.write_text(f"{settings.read_text()}AWS_REGION=eu-west-1\n")
        shell(project, "make", "install", "GROUPS=launch pipeline")
        python = project / ".venv" / "bin" / "python"
        compare(
            {
                "Processor": lambda: shell(project, python, "-c", PROCESSOR),
                "client": lambda: shell(project, python, "-c", CLIENT),
            },
            baseline="Processor",
            rounds=5,
        )


if __name__ == "__main__":
    main()
