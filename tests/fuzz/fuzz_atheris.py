"""Fuzz one parser with atheris, a coverage-guided fuzzer: `fuzz_atheris.py TARGET SECONDS NEW CORPUS`.

Inputs that reach new code are written to the directory NEW, findings to the directory CORPUS.
"""

import sys

import atheris

with atheris.instrument_imports(include=["dragoman", "fuzz_targets"]):  # type: ignore[attr-defined] # its stubs lack it
    from fuzz_targets import TARGETS

_MAX_INPUT_BYTES = 8192
_MAX_INPUT_SECONDS = 60
"""Generous: on a busy machine, a process may wait for long."""


def main() -> None:
    """Run libFuzzer. It ends the process, with an exit code other than 0 after a finding."""
    target, seconds, new, corpus = sys.argv[1:]
    atheris.Setup(
        [
            sys.argv[0],
            new,
            corpus,
            f"-max_total_time={seconds}",
            f"-max_len={_MAX_INPUT_BYTES}",
            f"-timeout={_MAX_INPUT_SECONDS}",
            f"-artifact_prefix={corpus}/",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
        ],
        TARGETS[target],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
