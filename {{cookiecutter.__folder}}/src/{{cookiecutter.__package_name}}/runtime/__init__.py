"""What all jobs share: the command line, the hosts, and the publication of outputs.

Only the standard library is imported until a job runs, so that ``--help`` and errors in the command
line appear immediately.
"""

from .container import INPUT, MESSAGE_BYTES, OUTPUT
from .cpu_limit import cpus
from .files import FileDigest, digest_file, files_below
from .hosts import Host, this_host
from .job import FINISHED, main
from .messages import JobError, is_secret
from .option_types import at_least, existing_dir, existing_file, finished_output, fraction
from .parser import JobParser
from .progress_bar import progress, read_progress
from .records import Record, check_listing, check_output, record_names
from .secret_options import TypedOption, hide_in_message, hide_secrets, split_options
from .threads import parallel

__all__ = [
    "FINISHED",
    "INPUT",
    "MESSAGE_BYTES",
    "OUTPUT",
    "FileDigest",
    "Host",
    "JobError",
    "JobParser",
    "Record",
    "TypedOption",
    "at_least",
    "check_listing",
    "check_output",
    "cpus",
    "digest_file",
    "existing_dir",
    "existing_file",
    "files_below",
    "finished_output",
    "fraction",
    "hide_in_message",
    "hide_secrets",
    "is_secret",
    "main",
    "parallel",
    "progress",
    "read_progress",
    "record_names",
    "split_options",
    "this_host",
]
