"""How a listing with a delimiter shows a key."""


def rolled_up(key: str, prefix: str, delimiter: str | None) -> tuple[str, bool]:
    """The name that a listing shows for a key, and whether it is a common prefix.

    Args:
        key: A key that begins with `prefix`.
        prefix: The prefix of the request.
        delimiter: The delimiter of the request; without one, every key is shown itself.
    """
    if delimiter:
        name, found, _ = key[len(prefix) :].partition(delimiter)
        if found:
            return prefix + name + delimiter, True
    return key, False
