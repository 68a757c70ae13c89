"""The two ways in which a laboratory says no."""


class NetlabError(Exception):
    """Something went wrong in the laboratory; the text says what, why, and what to do."""


class Skip(Exception):
    """This machine cannot do what the test needs; the text says what is missing."""
