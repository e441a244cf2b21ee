"""Pairs of a short text and the longer one that it is about, for the last step of the training.

    python pairs.py DIR PACKAGES     DIR holds what `texts.py evaluation` has written; writes DIR/pairs.jsonl

Two kinds: a package's summary and how its description begins (PyPI's public metadata; PACKAGES is a table of tab-separated
values with its name first, a rank of how often it is downloaded fourth, where it has one, and its summary fifth), and an
example of a sense and that sense (the GNU Collaborative International Dictionary).

A pair teaches an answer, so it is held apart from the evaluation more strictly than a text: none has six words in a row
with any text of the evaluation or of the pairs to tune by.
"""

import hashlib
import html
import http.client
import json
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from texts import dictionary, plain

# Words in a row that a pair may not share with the evaluation.
SHARED = 6

# Packages that are asked for: the most downloaded, and others by hash.
PACKAGES = 150000

# Characters of a description that are kept, and connections at once.
DESCRIPTION, CONNECTIONS = 6000, 20

# Words: of a summary, at least and at most; of the text beside it, at least and at most, and with how many it is enough.
SUMMARY, TEXT, ENOUGH = (3, 25), (10, 70), 45

# The part of a text that is letters of English, at least.
LETTERS = .85


def main():
    folder, table = sys.argv[1:]
    barred = set()
    for name in ("debian", "wordnet", "debian-tune", "wordnet-tune"):
        for line in open(f"{folder}/{name}.jsonl"):
            pair = json.loads(line)
            barred |= shingles(pair["query"]) | shingles(pair["document"])
    seen = set()
    with open(f"{folder}/pairs.jsonl", "w") as out:
        for kind, found in (("package", packages(folder, table)), ("sense", senses(folder))):
            all_of, kept = 0, 0
            for query, document in found:
                all_of += 1
                keys = {plain(query), plain(document)} if kind == "package" else {plain(query)}
                if keys & seen or (shingles(query) | shingles(document)) & barred:
                    continue
                seen |= keys
                kept += 1
                out.write(json.dumps({"kind": kind, "query": query, "document": document}, ensure_ascii=False) + "\n")
            print(f"{kind}: {kept} of {all_of}")


def shingles(text):
    """Every SHARED words in a row; of a shorter text, all of it."""
    words = plain(text).split()
    size = min(SHARED, len(words))
    return {" ".join(words[at:at + size]) for at in range(len(words) - size + 1)} - {""}


def packages(folder, table):
    path = f"{folder}/descriptions.jsonl"
    if not os.path.exists(path):
        fetch(table, path)
    for line in open(path):
        package = json.loads(line)
        summary = " ".join(package["summary"].split())
        if not SUMMARY[0] <= len(summary.split()) <= SUMMARY[1] or not is_english(summary):
            continue
        text = beginning(package["description"], plain(summary))
        if len(text.split()) >= TEXT[0] and is_english(text):
            yield summary, text


def beginning(description, summary):
    """The first prose of a description, without what only says the summary again."""
    taken = []
    for paragraph in prose(description):
        same = plain(paragraph)
        if summary in same and len(same) < len(summary) + 60:
            continue
        taken += paragraph.split()
        if len(taken) >= ENOUGH:
            break
    return " ".join(taken[:TEXT[1]])


def prose(text):
    """The paragraphs of a description in Markdown or reStructuredText that are sentences."""
    text = text.replace("\r", "")
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.S)
    text = re.sub(r"(```|~~~).*?(\1|\Z)", "\n\n", text, flags=re.S)
    text = re.sub(r"^\.\. [^\n]*(\n[ \t]+[^\n]*|\n(?=\n[ \t]))*", "\n\n", text, flags=re.M)
    text = re.sub(r"!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])", "", text)
    text = re.sub(r"\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])", r"\1", text)
    text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    text = re.sub(r"`+([^`\n]*?)(\s*<[^>`]*>)?`+_*", r"\1", text)
    for paragraph in re.split(r"\n\s*\n", text):
        lines = paragraph.split("\n")
        if any(re.match(r"    |\t", line) for line in lines) and not re.match(r"\s*[-*]", lines[0]):
            continue
        if re.match(r"\s*(#|>>>|\$|\|)", lines[0]):
            lines = lines[1:]
        # A heading is what has a line of signs below or above it.
        ruled = [n for n, line in enumerate(lines) if re.fullmatch(r"\s*[=\-~^*\"#]{3,}\s*", line)]
        lines = lines[ruled[-1] + 1:] if ruled else lines
        joined = re.sub(r"https?://\S+", "", " ".join(" ".join(lines).split()))
        joined = re.sub(r"[*_]{1,3}([^*_]+)[*_]{1,3}", r"\1", joined)
        joined = " ".join(word for word in joined.split() if word not in {"-", "*", "+", ">", "•"})
        if len(joined.split()) >= 6:
            yield joined


def is_english(text):
    return sum(c.isascii() and (c.isalpha() or c == " ") for c in text) >= LETTERS * len(text)


def senses(folder):
    """The dictionary says `as, ...` before an example."""
    for text in dictionary(folder, ["dict-gcide"]):
        sense, found, examples = text.partition("; as, ")
        example = re.split(r"[.;]", examples)[0].strip(' "')
        if found and len(example.split()) >= 4 and len(sense.split()) >= 5:
            yield example, sense.strip()


def fetch(table, path):
    rows = [line.rstrip("\n").split("\t") for line in open(table, encoding="utf-8", errors="replace")][1:]
    rows = [row for row in rows if len(row) == 5 and len(row[4].split()) >= SUMMARY[0]]
    rows.sort(key=lambda row: (row[3] in {"", "0"}, hashlib.sha256(f"pairs/{row[0]}".encode()).digest()))
    held, turn = threading.local(), threading.Lock()

    def ask(name):
        for _ in range(3):
            try:
                if getattr(held, "connection", None) is None:
                    held.connection = http.client.HTTPSConnection("pypi.org", timeout=30)
                held.connection.request("GET", f"/pypi/{name}/json", headers={"Accept": "application/json"})
                answer = held.connection.getresponse()
                body = answer.read()
                return json.loads(body)["info"] if answer.status == 200 else None
            except (OSError, http.client.HTTPException):
                held.connection = None
        return None

    def take(name):
        about = ask(name) or {}
        summary, description = about.get("summary") or "", about.get("description") or ""
        if summary and description:
            with turn:
                out.write(json.dumps({"name": name, "summary": summary, "description": description[:DESCRIPTION]}) + "\n")

    with open(path + ".part", "w") as out, ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(take, [row[0] for row in rows[:PACKAGES]]))
    os.rename(path + ".part", path)


if __name__ == "__main__":
    main()
