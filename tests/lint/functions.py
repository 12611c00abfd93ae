#!/usr/bin/env python3
"""Functions of C++ files are at most 70 lines long, from the first line of the signature to the closing brace.

usage: functions.py FILE…          says which are longer. Those of long_functions.txt may stay as long as they are there, not longer;
                                   one that is shorter now, or gone, has its line there changed or removed
       functions.py --lower FILE…  changes those lines, and never makes one longer or adds one
       functions.py --list FILE…   all lengths, the longest first
       functions.py --self-test

FILE… are all files of the tree, named from its root. Not a parser: it knows comments, strings and braces, and takes for a function
what has parameters before its brace. Lambdas and classes inside a function are part of it. Macros that hide braces confuse it.
"""
import bisect
import collections
import os
import re
import sys

LINES_MAX = 70
LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "long_functions.txt")

# Comments, literals and directives; a quote inside a number (1'000) is none.
SKIPPED = re.compile(r"""
    //[^\n]* | /\*.*?\*/
  | \bR"(?P<mark>[^\s()\\"]{0,16})\(.*?\)(?P=mark)"
  | "(?:\\.|[^"\\\n])*"
  | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'
  | ^[ \t]*\#(?:\\\n|[^\n])*
""", re.S | re.M | re.X)

Function = collections.namedtuple("Function", "name line lines")


def blank(match):
    """As long as before, with the same line ends; a string literal stays one."""
    text = re.sub(r"[^\n]", " ", match[0])
    return '"' + text[1:-1] + '"' if match[0][0] in '"R' and len(text) > 1 else text


def without_templates(head):
    """The head of a declaration without `template <…>` and `[[…]]`."""
    head = re.sub(r"\[\[.*?\]\]", "", head, flags=re.S)
    while match := re.search(r"\btemplate\s*<", head):
        depth, parens, end = 1, 0, match.end()
        while depth and end < len(head):
            parens += {"(": 1, ")": -1}.get(head[end], 0)
            depth += {"<": 1, ">": -1}.get(head[end], 0) if parens == 0 else 0
            end += 1
        head = head[:match.start()] + head[end:]
    return head.strip()


def kind_of(head):
    """What a brace opens, by what stands before it outside any function: 'scope', 'function' or 'value'."""
    head = without_templates(head)
    if re.search(r'\bnamespace\b|^extern\s*"[^"]*"$', head):
        return "scope"
    if re.match(r"(?:typedef\s+)?(?:class|struct|union|enum)\b", head) and not head.endswith(")"):
        return "scope"
    if re.search(r"(?<![=!<>])=(?!=)\s*\[|^\[", head):
        return "function"  # a lambda with a name
    outside = re.sub(r"\boperator\s*(?:\(\s*\)|[^\w\s(]+)", "operator", head)
    while (shorter := re.sub(r"\([^()]*\)", "", outside)) != outside:
        outside = shorter
    if "(" not in head or "=" in outside:
        return "value"
    # A member that a constructor initialises with braces: the body comes later.
    if re.search(r"\)[\w\s]*:(?!:)", head) and re.search(r"[\w>]$", head):
        return "value"
    return "function"


def name_of(head, original):
    """Of the head, with literals blanked, and of the same text as it stands."""
    test = re.match(r'\s*(\w*TEST_CASE\w*)\s*\(\s*"((?:\\.|[^"\\])*)"', original)
    if test:
        return f'{test[1]}("{test[2]}")'
    head = without_templates(head)
    found = re.search(r"((?:[\w]+(?:<[^<>()]*>)?\s*::\s*)*(?:~?\w+|operator\s*(?:\(\s*\)|[^\s\w(]+|[\w\s&*:]+)))\s*\(", head)
    lambda_name = re.search(r"(\w+)\s*=\s*\[", head)
    return re.sub(r"\s+", " ", lambda_name[1] if lambda_name else found[1] if found else "?")


def functions_in(text):
    code = SKIPPED.sub(blank, text)
    starts = [0] + [match.end() for match in re.finditer(r"\n", code)]
    line_at = lambda offset: bisect.bisect_right(starts, offset)
    scopes = []  # of each open brace: (kind, name, first line)
    head, parens, inside = 0, 0, 0
    for match in re.finditer(r"[(){};]", code):
        at, sign = match.start(), match[0]
        if inside:  # a function or a value: only its end counts
            inside += {"{": 1, "}": -1}.get(sign, 0)
            if inside == 0:
                kind, name, first = scopes.pop()
                if kind == "function":
                    yield Function(name, first, line_at(at) - first + 1)
                    head = at + 1
        elif sign in "()":
            parens += 1 if sign == "(" else -1
        elif sign == ";" and parens == 0:
            head = at + 1
        elif sign == "{":
            start = head + len(code[head:at]) - len(code[head:at].lstrip())
            start = start + (access.end() if (access := re.match(r"(?:(?:public|private|protected)\s*:\s*)+", code[start:at])) else 0)
            before = code[start:at].strip()
            kind = "value" if parens > 0 else kind_of(before)
            if kind == "scope":
                found = re.search(r"\b(?:class|struct|union)\b.*?(\w+)(?:\s+final)?\s*(?::(?!:).*)?$", before, re.S)
                scopes.append((kind, found[1] if found else "", 0))
                head = at + 1
            else:
                names = [name for _, name, _ in scopes if name]
                scopes.append((kind, "::".join(names + [name_of(before, text[start:at])]) if kind == "function" else "", line_at(start)))
                inside = 1
        elif sign == "}" and parens == 0:
            if scopes:
                scopes.pop()
            head = at + 1
    if scopes or inside:
        raise ValueError("braces do not match")


def read_list(path=LIST):
    """{(file, name): [lengths]}"""
    entries = collections.defaultdict(list)
    with open(path) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                length, file, name = line.strip().split(" ", 2)
                entries[file, name].append(int(length))
    return entries


def write_list(entries, path=LIST):
    with open(path) as lines:
        comments = [line for line in lines if line.startswith("#")]
    rows = sorted((file, name, length) for (file, name), lengths in entries.items() for length in lengths)
    with open(path, "w") as out:
        out.writelines(comments + [f"{length} {file} {name}\n" for file, name, length in rows])


def compare(found, listed):
    """(faults, the list as it may be now). `found`: {(file, name): [lengths above the limit]}."""
    faults, lowered = [], {}
    for key in sorted(found.keys() | listed.keys()):
        file, name = key
        now, before = sorted(found.get(key, []), reverse=True), sorted(listed.get(key, []), reverse=True)
        for length, allowed in zip(now, before):
            if length > allowed:
                faults.append(f"{file}: {name} has {length} lines; it had {allowed}, and may only become shorter")
            elif length < allowed:
                faults.append(f"{file}: {name} has {length} lines, no longer {allowed}: ./dev lint --fix lowers its limit")
        faults += [f"{file}: {name} has {length} lines; {LINES_MAX} is the most a function may have" for length in now[len(before):]]
        faults += [f"{file}: {name} has no longer {length} lines: ./dev lint --fix takes it off the list" for length in before[len(now):]]
        if kept := [min(pair) for pair in zip(now, before)]:
            lowered[key] = kept
    return faults, lowered


def long_functions(files):
    found = collections.defaultdict(list)
    for file in files:
        with open(file) as source:
            try:
                for function in functions_in(source.read()):
                    if function.lines > LINES_MAX:
                        found[file, function.name].append(function.lines)
            except ValueError as error:
                sys.exit(f"{file}: {error}")
    return found


SAMPLE = r'''
#define BRACE {
namespace a::b {
// a brace in a comment: {
extern "C" {
int short_one() { return '{' + 1'000 + sizeof "}"; }
}
constexpr std::array kTable{Row{1, f(2)}, Row{3}};
const char* kText = R"x( { ( ")x";
template <typename T = int, auto N = (1 < 2)>
struct Box final : Base<T> {
 public:
  Box(int a, std::vector<int> b = {}) noexcept : a_(a), b_{std::move(b)}, c_{} {
    call([&] { return 1; });
  }
  bool operator==(const Box& other) const {
    return true;
  }
  explicit operator bool() const { return true; }
  void declared(int a = 1);
  Status locked() TM_REQUIRES(mutex) {
    struct Local { int x = 0; };
    return {};
  }
  int value_{1};
  std::function<void()> hook_ = [] {};
};
class TM_CAPABILITY("mutex") Lock {
  void lock() {}
};
auto Box<int>::far(int x)
    -> Result<int> {
  if (x) {
    return 1;
  }
}
}  // namespace a::b
TEST_CASE("braces } in { titles", "[tag]") {
  CHECK(1 == 1);
}
'''
SAMPLE_FUNCTIONS = [("short_one", 1), ("Box::Box", 3), ("Box::operator==", 3), ("Box::operator bool", 1), ("Box::locked", 4), ("Box::hook_", 1),
                    ("Lock::lock", 1), ("Box<int>::far", 6), ('TEST_CASE("braces } in { titles")', 3)]


def self_test():
    got = [(function.name, function.lines) for function in functions_in(SAMPLE)]
    assert got == SAMPLE_FUNCTIONS, got
    at_limit = "int f(\n    int a) {\n" + "  a++;\n" * (LINES_MAX - 3) + "}\n"
    assert [f.lines for f in functions_in(at_limit)] == [LINES_MAX]
    key = ("x.cc", "f")
    assert compare({}, {}) == ([], {})
    assert compare({key: [71]}, {key: [71]}) == ([], {key: [71]})
    for found, listed, lowered in [({key: [71]}, {}, {}),                          # a new one
                                   ({key: [73]}, {key: [72]}, {key: [72]}),        # one that grew
                                   ({key: [72]}, {key: [73]}, {key: [72]}),        # one that shrank
                                   ({}, {key: [73]}, {}),                          # one that is gone
                                   ({key: [90, 80]}, {key: [90]}, {key: [90]})]:   # a second of that name
        faults, now = compare(found, listed)
        assert len(faults) == 1 and now == lowered, (found, listed, faults, now)
    for broken in ("int f() {\n", "int f() { }\n}\nnamespace {"):
        try:
            list(functions_in(broken))
            raise AssertionError("not found out: " + broken)
        except ValueError:
            pass
    print("self-test passed")


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        self_test()
    elif arguments[:1] == ["--list"]:
        every = []
        for file in arguments[1:]:
            with open(file) as source:
                every += [(f.lines, f"{file}:{f.line}", f.name) for f in functions_in(source.read())]
        for length, place, name in sorted(every, reverse=True):
            print(length, place, name)
    elif arguments[:1] == ["--lower"]:
        write_list(compare(long_functions(arguments[1:]), read_list())[1])
    else:
        faults, _ = compare(long_functions(arguments), read_list())
        print("\n".join(faults), end="\n" if faults else "")
        return 1 if faults else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
