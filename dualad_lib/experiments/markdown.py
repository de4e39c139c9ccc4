"""Tables as Markdown has them."""


def table(heads, rows, text=(0,)):
    """A Markdown table. heads, rows: of texts; text: the columns that hold words and stand to the left."""
    first, *others = ("| " + " | ".join(cells) + " |" for cells in (heads, *rows))
    marks = "".join("|---" if column in text else "|---:" for column in range(len(heads)))
    return "\n".join([first, marks + "|", *others])
