"""What the scripted client says when a server asks it."""

CAPABILITIES = {"elicitation": {}, "sampling": {}, "roots": {}}


def answer(method, params):
    """The result of a request of the server."""
    if method == "elicitation/create":
        return {"action": "accept", "content": filled(params.get("requestedSchema", {}))}
    if method == "sampling/createMessage":
        return {"role": "assistant", "content": {"type": "text", "text": "So it is."}, "model": "none"}
    if method == "roots/list":
        return {"roots": [{"uri": "file:///scripted"}]}
    return {}


def filled(schema):
    """A form with the defaults of its fields, and something in each that has none."""
    blank = {"string": "text", "integer": 1, "number": 1.5, "boolean": True}
    fields = schema.get("properties", {})
    return {name: field.get("default", blank.get(field.get("type"), "text")) for name, field in fields.items()}
