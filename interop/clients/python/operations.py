"""What the Python programs share: operations come in as lines of JSON, and answers go out; see interop/src/driver.rs.

An operation is a method of the same name, with the operation's fields as arguments; a coroutine is run to its end. Where a
library has no means for one, the method is missing or raises NotOffered.
"""
import asyncio
import base64
import inspect
import json
import traceback


class NotOffered(Exception):
    """The library has no means for what is asked."""


class Refused(Exception):
    """Kafka says no, with one of its error codes."""

    def __init__(self, code, text=""):
        super().__init__(f"{code} {text}")
        self.code = code


def encoded(data):
    return None if data is None else base64.b64encode(data).decode()


def decoded(text):
    return None if text is None else base64.b64decode(text)


def answer(hands, line, code_of, loop=None):
    """Carries out the operation of a line. `code_of` gives Kafka's error code of an exception, or None."""
    fields = json.loads(line)
    operation = getattr(hands, fields.pop("op"), None)
    if operation is None:
        return "{}"
    try:
        result = operation(**fields)
        if inspect.isawaitable(result):
            result = loop.run_until_complete(asyncio.wait_for(result, 60))
        return json.dumps({"ok": result})
    except NotOffered:
        return "{}"
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:1000]
        code = error.code if isinstance(error, Refused) else code_of(error)
        if code is not None:
            return json.dumps({"refused": code, "failed": text})
        traceback.print_exc()
        return json.dumps({"failed": text})


def say(*words):
    """A line of a member, told at once."""
    print(*words, flush=True)


def say_partitions(word, partitions):
    say(word, ",".join(str(partition) for partition in sorted(partitions)))
