"""Reject answers that would break the repository, and folders whose files would be lost.

post_gen_project.py rejects names that are taken in the generated repository.
"""

# Without json and re, because importing them takes as long as starting Python.
import keyword
import os
import sys

ANSWERS: dict[str, str] = dict({{cookiecutter.items() | list}})  # type: ignore  # noqa: F821
LOWER_CASE = set("abcdefghijklmnopqrstuvwxyz")
WORDS = "words of lower-case letters and digits"
WORD = LOWER_CASE | set("0123456789")
CONTROL = {chr(code) for code in (*range(32), 0x7F, 0x85, 0x2028, 0x2029, *range(0xD800, 0xE000))}

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
# The name of a job on SageMaker is <slug>-<job>-<time>-<six random characters>, with up to ten
# characters for <job>.
MAX_SLUG = 63 - len("-") - 10 - len("-20260131-235959-k3x9q2")


def are_words(text: str, separators: str) -> bool:
    """Return whether a text is lower-case words with digits, joined by single separators."""
    for separator in separators:
        text = text.replace(separator, separators[0])
    return all(word and set(word) <= WORD for word in text.split(separators[0]))


def broken_rule(question: str, answer: str, package: str) -> tuple[str, str] | None:
    """Return the rule that an answer breaks, with a valid example; None if the answer is valid."""
    if question == "description" and set(answer) & (CONTROL - set("\n\r\t")):
        return "must not contain control characters", "Predicts who cancels."
    if question in ("project_name", "author") and set(answer) & CONTROL:
        return "must be text on one line, without control characters", "Churn Model"
    if question in ("project_name", "author") and not answer.strip():
        return "must not be empty", "Churn Model"
    if question == "project_slug":
        if not are_words(answer, "-") or answer[0] not in LOWER_CASE:
            return f"must be {WORDS}, joined by single hyphens, a letter first", "churn-model"
        if len(answer) > MAX_SLUG:
            return f"must have at most {MAX_SLUG} characters, to fit a job's name", "churn-model"
        if keyword.iskeyword(package) or package in sys.stdlib_module_names:
            return f"must not result in {package!r}, which is Python's own", "churn-model"
    if question == "ecr_repository":
        # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
        if not are_words(answer, "/._-"):
            return f"must be {WORDS}, joined by single / . _ or -", "team/churn-model"
        if not 2 <= len(answer) <= 256:
            return "must have 2 to 256 characters", "team/churn-model"
    return None


def unsaved_files() -> str | None:
    """Return why files in this folder would be lost by overwriting them; None if they are safe."""
    if set(os.listdir()) <= {".git"}:
        return None
    import subprocess

    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", *arguments, "--", "."]
        done = subprocess.run(command, capture_output=True, env=env, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    try:
        if not git("ls-files"):
            return "contains files that are not in git"
        if changes := git("status", "--porcelain", "--untracked-files=all"):
            return f"contains changes that are not committed, such as {changes.splitlines()[0][3:]}"
    except FileNotFoundError:
        return "contains files, and git is not installed"
    return None


if __name__ == "__main__":
    for question in ("project_name", "project_slug", "ecr_repository", "description", "author"):
        answer = ANSWERS[question]
        if broken := broken_rule(question, answer, ANSWERS["__package_name"]):
            rule, example = broken
            shown = answer if len(answer) <= 80 else f"{answer[:77]}..."
            sys.exit(f"{question} {shown!r} {rule}; for example: {example}")
    if reason := unsaved_files():
        sys.exit(f"{os.getcwd()} {reason}: commit them, or generate into another folder")
