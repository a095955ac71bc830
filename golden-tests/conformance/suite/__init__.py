"""The official conformance suite, run directly and through the gateway, and the comparison of the two."""
