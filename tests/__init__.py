"""A package of its own: a client library installs one of the same name, which would hide a mere folder."""
