"""JSON text of other programs, and of users: one document, or a ReaderError that names the line.

>>> parse_json('{"a": 1}', "<text>")
{'a': 1}
"""

from __future__ import annotations

import json
from typing import Any

from lab.errors import ReaderError


def parse_json(text: str, where: str, *, line: bool = False, remedy: str | None = None) -> Any:
    """The document in a text.

    ``where`` names the text, or with ``line`` the one line that it is.  Raises ReaderError, with the line, for text
    that is no JSON or cut off, nested too deeply, or with numbers of thousands of digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = where if line else f"{where}:{error.lineno}"
        raise ReaderError(f"malformed or truncated JSON: {error.msg}", where=at, remedy=remedy) from None
    except RecursionError:
        raise ReaderError("malformed JSON: nested too deeply", where=where, remedy=remedy) from None
    except ValueError as error:
        raise ReaderError(f"malformed JSON: {error}", where=where, remedy=remedy) from None
