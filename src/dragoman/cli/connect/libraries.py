"""Libraries, and curl."""

from dragoman.cli.connect.client import KEY_VARIABLE, Client, Language, Part, Target

_PROMPT = "Reply with exactly: PONG"


def _openai_python(target: Target) -> tuple[Part, ...]:
    return _program(
        target,
        "pip install openai",
        "python",
        f"""\
import os

from openai import OpenAI

client = OpenAI(base_url="{target.base_url}", api_key=os.environ.get("{KEY_VARIABLE}", "none"))

response = client.chat.completions.create(
    model="{target.model}",
    messages=[{{"role": "user", "content": "{_PROMPT}"}}],
)
print(response.choices[0].message.content)""",
    )


def _openai_node(target: Target) -> tuple[Part, ...]:
    return _program(
        target,
        "npm install openai",
        "js",
        f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{target.base_url}", apiKey: process.env.{KEY_VARIABLE} ?? "none" }});

const response = await client.chat.completions.create({{
  model: "{target.model}",
  messages: [{{ role: "user", content: "{_PROMPT}" }}],
}});
console.log(response.choices[0].message.content);""",
    )


def _langchain(target: Target) -> tuple[Part, ...]:
    return _program(
        target,
        "pip install langchain-openai",
        "py",
        f"""\
import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    base_url="{target.base_url}",
    api_key=os.environ.get("{KEY_VARIABLE}", "none"),
    model="{target.model}",
)
print(model.invoke("{_PROMPT}").content)""",
    )


def _anthropic(target: Target) -> tuple[Part, ...]:
    return _program(
        target,
        "pip install anthropic",
        "python",
        f"""\
import os

from anthropic import Anthropic

client = Anthropic(base_url="{target.address}", api_key=os.environ.get("{KEY_VARIABLE}", "none"))

response = client.messages.create(
    model="{target.model}",
    max_tokens=1000,
    messages=[{{"role": "user", "content": "{_PROMPT}"}}],
)
print("".join(block.text for block in response.content if block.type == "text"))""",
    )


def _curl(target: Target) -> tuple[Part, ...]:
    key = f' \\\n    -H "authorization: Bearer ${KEY_VARIABLE}"' if target.needs_key else ""
    command = f"""\
curl {target.base_url}/chat/completions -H 'content-type: application/json'{key} \\
    -d '{{"model": "{target.model}", "messages": [{{"role": "user", "content": "{_PROMPT}"}}]}}'"""
    return (Part("the shell", "sh", f"{target.export()}\n{command}" if target.needs_key else command),)


def _program(target: Target, install: str, language: Language, text: str) -> tuple[Part, ...]:
    before = f"{install}\n{target.export()}" if target.needs_key else install
    return Part("the program", language, text), Part("the shell, before", "sh", before)


LIBRARIES = (
    Client("openai-python", "the openai SDK for Python", KEY_VARIABLE, _openai_python),
    Client("openai-node", "the openai SDK for Node", KEY_VARIABLE, _openai_node),
    Client("langchain", "LangChain", KEY_VARIABLE, _langchain),
    Client("anthropic", "the anthropic SDK for Python", KEY_VARIABLE, _anthropic),
    Client("curl", "curl", KEY_VARIABLE, _curl),
)
