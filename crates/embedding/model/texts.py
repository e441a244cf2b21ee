"""The texts the model is trained on, and the two it is judged by.

    python texts.py evaluation DIR              two files of 5,000 pairs: debian.jsonl, wordnet.jsonl
    python texts.py training DIR [SUMMARIES...]  training.txt, one text a line

Everything but SUMMARIES comes from Debian's packages by `apt-get`, whose lists are kept in DIR. SUMMARIES are tables of
tab-separated values with a package's name first and its summary last (PyPI's and npm's public metadata).

The evaluation never sees a text of the training, nor one of its kind: no Debian description and no WordNet gloss is
trained on, and a training text that equals one of the evaluation word for word is dropped.
"""

import glob
import gzip
import hashlib
import html
import json
import os
import re
import subprocess
import sys

# How many pairs each evaluation text has.
PAIRS = 5000

# What is taken of each kind of training text, at most.
TAKEN = {"summaries": 80000, "dictionary": 32000, "computing": 12000, "manuals": 34000, "fortunes": 5000}

# The packages the training text is read from: none holds Debian's descriptions or WordNet's glosses.
DICTIONARIES = {"dictionary": ["dict-gcide", "dict-devil"], "computing": ["dict-foldoc", "dict-jargon"]}
MANUALS = ["manpages", "manpages-dev", "perl-doc", "anarchism", "debian-reference-en", "debian-handbook",
           "gimp-help-en", "gnome-user-docs", "libreoffice-help-en-us"]
FORTUNES = ["fortunes"]

# Words of a training text, at least and at most.
SHORTEST, LONGEST = 5, 90


def main():
    verb, folder, *rest = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    if verb == "evaluation":
        write_pairs(folder, "debian", debian_pairs(folder))
        write_pairs(folder, "wordnet", wordnet_pairs(folder))
    elif verb == "training":
        write_training(folder, rest)
    else:
        sys.exit(__doc__)


def write_pairs(folder, name, pairs):
    """The fixed sample: the PAIRS whose key has the lowest hash, so that it does not depend on an order or a seed.

    The next PAIRS are what numbers are tuned by: weights of the search, epochs of the training.
    """
    pairs = sorted(pairs, key=lambda pair: digest(name + "/" + pair["key"]))
    for part, chosen in ((name, pairs[:PAIRS]), (name + "-tune", pairs[PAIRS:2 * PAIRS])):
        with open(f"{folder}/{part}.jsonl", "w") as out:
            for pair in chosen:
                out.write(json.dumps(pair, ensure_ascii=False) + "\n")
    pairs = pairs[:PAIRS]
    words = sum(len(p["document"].split()) for p in pairs) / len(pairs)
    asked = sum(len(p["query"].split()) for p in pairs) / len(pairs)
    print(f"{name}: {len(pairs)} pairs, {asked:.1f} words a query, {words:.1f} a document")


def debian_pairs(folder):
    """One package a source: the short description asks for the long one."""
    apt(folder, "update")
    sources, seen = {}, {}
    for stanza in stanzas(folder, "*_Packages*"):
        sources.setdefault(stanza["Package"], stanza.get("Source", stanza["Package"]).split()[0])
    for stanza in stanzas(folder, "*_Translation-en*"):
        short, _, long = stanza.get("Description-en", "").partition("\n")
        long = " ".join(long.replace("\n .\n", "\n").split())
        name = stanza["Package"]
        if name not in sources or len(short.split()) < 3 or len(long.split()) < 8:
            continue
        held = seen.get(sources[name])
        if held is None or name < held["package"]:
            seen[sources[name]] = {"key": sources[name], "package": name, "query": short.strip(), "document": long}
    unique = {}
    for pair in seen.values():
        unique.setdefault(pair["document"], pair)
    return list(unique.values())


def wordnet_pairs(folder):
    """A synset's first example asks for its lemmas and definition."""
    root = unpack(folder, "wordnet-base")
    pairs = []
    for path in sorted(glob.glob(f"{root}/usr/share/wordnet/data.*")):
        for line in open(path, encoding="latin-1"):
            if line.startswith("  "):
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            lemmas = [fields[4 + 2 * n].replace("_", " ") for n in range(int(fields[3], 16))]
            lemmas = [re.sub(r"\((a|p|ip)\)$", "", lemma) for lemma in lemmas]
            examples = re.findall(r'"([^"]+)"', gloss)
            definition = gloss.split('"')[0].strip().rstrip(";").strip()
            if examples and len(examples[0].split()) >= 4 and definition:
                document = ", ".join(lemmas) + ": " + definition
                pairs.append({"key": fields[2] + fields[0], "query": examples[0].strip(), "document": document})
    return pairs


def write_training(folder, tables):
    kinds = {"summaries": summaries(tables), "fortunes": fortunes(folder), "manuals": manuals(folder)}
    for kind, packages in DICTIONARIES.items():
        kinds[kind] = dictionary(folder, packages)
    barred = set()
    for name in ("debian", "wordnet", "debian-tune", "wordnet-tune"):
        for line in open(f"{folder}/{name}.jsonl"):
            pair = json.loads(line)
            barred |= {plain(pair["query"]), plain(pair["document"])}
    chosen = []
    for kind, texts in kinds.items():
        unique = {plain(text): text for text in texts if fits(text)}
        texts = [text for key, text in unique.items() if key not in barred]
        taken = sorted(texts, key=digest)[:TAKEN[kind]]
        print(f"{kind}: {len(taken)} of {len(texts)}")
        chosen += taken
    with open(f"{folder}/training.txt", "w") as out:
        out.writelines(text + "\n" for text in sorted(chosen, key=digest))
    print(f"training.txt: {len(chosen)} texts")


def summaries(tables):
    for table in tables:
        for line in open(table, encoding="utf-8", errors="replace"):
            yield line.rstrip("\n").rpartition("\t")[2]


def fortunes(folder):
    for package in FORTUNES:
        for path in glob.glob(f"{unpack(folder, package)}/usr/share/games/fortunes/*"):
            if os.path.isfile(path) and "." not in os.path.basename(path):
                yield from (" ".join(text.split()) for text in open(path, errors="replace").read().split("\n%\n"))


def dictionary(folder, packages):
    """Each sense with its headword before it; senses that the dictionary took from WordNet are left out."""
    for package in packages:
        for index in glob.glob(f"{unpack(folder, package)}/usr/share/dictd/*.index"):
            body = gzip.open(index.replace(".index", ".dict.dz")).read()
            for line in open(index, encoding="utf-8", errors="replace"):
                word, start, length = line.rstrip("\n").split("\t")[:3]
                if word.startswith("00"):
                    continue
                text = body[number(start):number(start) + number(length)].decode("utf-8", "replace")
                for sense in re.split(r"\n\s+\d+\.\s|\n\s*\n", text):
                    if "WordNet" in sense or "\\" in sense and len(sense.split()) < 12:
                        continue
                    sense = re.sub(r"\[[^\]]*\]|<[^>]*>|\\[^\\]*\\", " ", sense).replace("{", "").replace("}", "")
                    yield word + ": " + " ".join(sense.split())


def manuals(folder):
    """Paragraphs of prose out of HTML, XML, pod and man pages."""
    for package in MANUALS:
        root = unpack(folder, package)
        for path in sorted(glob.glob(f"{root}/usr/**/*", recursive=True)):
            if not os.path.isfile(path) or os.path.islink(path):
                continue
            if re.search(r"\.(html|htm|page|xhp)$", path):
                text = open(path, encoding="utf-8", errors="replace").read()
                for part in re.findall(r"<p(?:aragraph)?(?:\s[^>]*)?>(.*?)</p(?:aragraph)?>", text, re.S):
                    yield prose(html.unescape(re.sub(r"<[^>]+>", "", part)))
            elif path.endswith(".pod"):
                for part in open(path, encoding="utf-8", errors="replace").read().split("\n\n"):
                    if not part.startswith(("=", " ", "\t")):
                        yield prose(re.sub(r"[A-Z]<+([^<>]*)>+", r"\1", part))
            elif "/man/man" in path and path.endswith(".gz"):
                text = gzip.open(path, "rt", encoding="utf-8", errors="replace").read()
                for part in re.split(r"\n\.[^\n]*", re.sub(r"\n\.([BI]|BR|IR|RB|RI) ", "\n", text)):
                    yield prose(re.sub(r"\\f.|\\&|\\", "", part))


def prose(text):
    return " ".join(text.split())


def fits(text):
    words = text.split()
    letters = sum(c.isascii() and (c.isalpha() or c == " ") for c in text)
    return SHORTEST <= len(words) <= LONGEST and letters >= .85 * len(text)


def plain(text):
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def digest(text):
    return hashlib.sha256(text.encode()).digest()


def number(text):
    """The dictionaries' numbers: digits of base 64, the highest first."""
    value = 0
    for digit in text:
        value = value * 64 + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(digit)
    return value


def apt(folder, *words, cwd=None):
    lists = os.path.abspath(f"{folder}/lists")
    os.makedirs(f"{lists}/partial", exist_ok=True)
    subprocess.run(["apt-get", "-qq", "-o", f"Dir::State::lists={lists}", "-o", "Acquire::Languages=en", *words],
                   check=True, cwd=cwd)


def unpack(folder, package):
    root = f"{folder}/debs/{package}"
    if not os.path.exists(root):
        os.makedirs(f"{folder}/debs", exist_ok=True)
        if not glob.glob(f"{folder}/debs/{package}_*.deb"):
            apt(folder, "download", package, cwd=f"{folder}/debs")
        subprocess.run(["dpkg-deb", "-x", glob.glob(f"{folder}/debs/{package}_*.deb")[0], root], check=True)
    return root


def stanzas(folder, pattern):
    for path in sorted(glob.glob(f"{folder}/lists/{pattern}")):
        helper = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path], check=True, capture_output=True)
        for stanza in helper.stdout.decode("utf-8", "replace").split("\n\n"):
            fields, name = {}, None
            for line in stanza.split("\n"):
                if line.startswith(" ") and name:
                    fields[name] += "\n" + line
                elif ":" in line:
                    name, _, value = line.partition(":")
                    fields[name] = value.strip()
            if "Package" in fields:
                yield fields


if __name__ == "__main__":
    main()
