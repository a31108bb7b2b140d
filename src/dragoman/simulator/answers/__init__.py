"""What to say: deterministic answers that follow plain requests of the prompt.

| the user's last text | the answer |
|---|---|
| `Reply with exactly: X` | X, to the end of that line |
| names an offered tool, then a JSON object | a `tool_use` with that input; several in the order named |
| `Use` or `Call` and an offered tool's name | a `tool_use`, its input from the prompt's quoted strings and numbers |
| `What is the X`, with a tool `get_X` offered | a `tool_use` of it, its input in the same way |
| `Count to N` | `1 2 3 … N`, one number a delta |
| `Repeat N times: X` | X N times, separated by a space |
| `Search the web for "X"`, with the server tool offered | a search, its results, and a text with citations |
| asks for JSON, with a JSON schema in the text or the system prompt | an object that fits, fenced if asked |
| asks for `a JSON object`, or the system prompt does | a small JSON object |
| `Create F that prints 'X'`, where the prompt wants SEARCH/REPLACE blocks | such a block |
| anything else | `You said: ` and the text, with each attachment named |

Before all that: `tool_choice` `any` or `tool` calls a tool, and so does `You must answer by calling the tool `X`` (or
`at least one of the tools`) in the system prompt; `output_config.format` (or `output_format`) and a tool
named `StructuredOutput` are answered by an object that fits the schema. Tool results without a newer text are quoted:
`The tool said: …`. The input of a forced call and the values of a schema come from the prompt's quoted strings and
numbers, in order.
"""
