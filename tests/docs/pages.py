"""Reads Markdown pages: fenced blocks, code spans, links, paths."""
import re
import shlex

FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.S | re.M)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ENDS_COMMAND = re.compile(r"\s(?:&&|\|\|?|&)(?:\s|$)|;\s")
SUFFIX = r"(?:cc|h|c|py|sh|md|toml|txt)"


class Page:
    """One page. `pieces` are (line number, text) of everything that stands as code."""

    def __init__(self, name, text):
        self.name = name
        self.text = text
        self.blocks = [(self.line_of(m.start(1)), m[1]) for m in FENCE.finditer(text)]
        # Blanked, not removed: the numbers of lines stay.
        self.prose = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
        self.spans = [(self.line_of(m.start()), " ".join(m[1].split())) for m in SPAN.finditer(self.prose)]
        self.pieces = self.spans + [(line + i, words) for line, block in self.blocks
                                    for i, words in enumerate(block.splitlines())]

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def commands(self, blocks_only=False):
        """(line number, words) of each simple command in the code of the page, or in its fenced blocks."""
        for line, piece in self.pieces[len(self.spans):] if blocks_only else self.pieces:
            piece = re.sub(r"(?:^|\s)#.*", "", piece)
            for part in ENDS_COMMAND.split(piece):
                words = split_words(part)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]) and "/" not in words[0]:
                    words.pop(0)  # an assignment before the command
                if words:
                    words[0] = words[0].removeprefix("ExecStart=")
                    yield line, words

    def links(self):
        for match in LINK.finditer(SPAN.sub(lambda m: " " * len(m[0]), self.prose)):
            yield self.line_of(match.start()), match[1]

    def anchors(self):
        """The anchors of the headings, as the usual renderers name them."""
        for title in re.findall(r"^#+ +(.*?) *$", self.prose, re.M):
            title = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower())
            yield title.replace(" ", "-")

    def paths(self, folders):
        """(line number, path) of what reads like a path of the tree: with a suffix anywhere, without one in a code span."""
        first = "(?:" + "|".join(map(re.escape, folders)) + ")"
        named = re.compile(rf"(?<![\w/.…<\-]){first}/[\w./\-]*\w\.{SUFFIX}\b(?![/\w])")
        for match in named.finditer(self.text):
            yield self.line_of(match.start()), match[0]
        for line, span in self.spans:
            if re.fullmatch(rf"{first}/[\w./*\-]*", span) and not named.fullmatch(span):
                yield line, span


def split_words(text):
    """Like a shell; brackets around what may be left out and dots for what is left out go."""
    text = re.sub(r"\[(-[^\[\]]*)\]", r" \1 ", text)
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return [word for word in words if word not in ("…", "...")]


def flags(words):
    """The flags among the words: --name, -x; not -10m, which is an age, and nothing behind `--`."""
    for word in words:
        if word == "--":
            return
        for alternative in word.split("|"):
            match = re.match(r"(--[a-z][\w-]*|-[a-zA-Z])(?:=|$)", alternative)
            if match:
                yield match[1]
