"""The command line and the environment of `claude -p`. What people write is on neither."""

from pathlib import Path

from dragoman.backends.claude_cli.options import ClaudeCliOptions
from dragoman.backends.claude_cli.question import Question
from dragoman.backends.claude_code.installation import environment

STREAMED = "--include-partial-messages"
"""The option of installations that tell of an answer as it comes; others tell of it at its end."""

_IF_THERE = {
    "--setting-sources": ("--setting-sources=",),
    "--strict-mcp-config": ("--strict-mcp-config",),
    "--no-session-persistence": ("--no-session-persistence",),
    "--disable-slash-commands": ("--disable-slash-commands",),
}
_EVERY_TOOL = (
    "Agent,Bash,BashOutput,Edit,ExitPlanMode,Glob,Grep,KillShell,LS,MultiEdit,NotebookEdit,NotebookRead,Read,Skill,"
    "SlashCommand,Task,TodoRead,TodoWrite,WebFetch,WebSearch,Write"
)


def arguments(asked: Question, flags: frozenset[str], system_file: Path | None) -> list[str]:
    """The command line behind the executable.

    Args:
        asked: What is asked.
        flags: The options that the installation has.
        system_file: Where the system prompt stands, for installations that take one from a file.
    """
    made = ["--print", "--model", asked.model]
    if STREAMED in flags:
        made += ["--output-format", "stream-json", "--verbose", STREAMED]
    else:
        made += ["--output-format", "json"]
    # No tool at all, whatever a prompt says; older ones can only be told which not.
    made += ["--tools", ""] if "--tools" in flags else ["--disallowedTools", _EVERY_TOOL]
    for flag, words in _IF_THERE.items():
        if flag in flags:
            made += words
    if asked.effort:
        made += ["--effort", asked.effort]
    if system_file is not None:
        made += ["--system-prompt-file", str(system_file)]
    return made


def environment_for(options: ClaudeCliOptions, asked: Question) -> dict[str, str]:
    """The environment of a run's process."""
    made = environment(options) | {
        "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        "MAX_THINKING_TOKENS": "0",
    }
    if asked.max_tokens:
        made["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(asked.max_tokens)
    return made
