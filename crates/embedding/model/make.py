"""Makes the model: a static table of pieces of words, trained to give what all-MiniLM-L6-v2 gives.

    python make.py DIR [--tune]      DIR holds what texts.py, pairs.py and teacher.py have written; writes DIR/model.bin

1. Each piece's own vector of the teacher, weighted by how rare the piece is in the training text, is a first table.
2. Least squares: the table whose sums (each piece by the square root of its count) are nearest to the teacher's vectors of the
   training texts, held near the first table where the text says nothing.
3. The 256 directions in which the texts' vectors spread the most.
4. Adam, so that who is near whom in a batch is as with the teacher: the Kullback-Leibler divergence of the softmaxes.
5. Pieces that are everywhere count less once more.
6. Adam again, so that of a batch of pairs each short text is nearest to its own longer one, and the other way round.
7. Four bits a coordinate, in groups of 32 with a scale each. The file's form stands at `ModelTable` in ../src/table.rs.

With --tune it says how it does on pairs that are of the evaluation's kinds, but not of its sample.
"""

import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from teacher import Teacher
from texts import plain

NAME = "minilm-static-256"
DIMS = 256
PIECES = 24000
GROUP = 32

# Step 1: a piece of this share of all counts half.
RARE = 1e-3
# Step 2.
RIDGE, STEPS = .03, 25
# Step 4.
BATCH, TEMPERATURE, RATE, EPOCHS = 1024, .1, 3e-3, 5
# Step 5: as in step 1. Judged by the pairs to tune by: half a point of recall@10 (Debian) better than without, and a whole one
# where the query has other words than the text; of 5e-4 to 3e-3 the best.
FREQUENT = 3e-3
# Step 6.
PAIRS_TEMPERATURE, PAIRS_RATE, PAIRS_EPOCHS = .05, 2e-3, 3


def main():
    folder, *flags = sys.argv[1:]
    torch.manual_seed(1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    teacher = Teacher(folder)
    texts = open(f"{folder}/training.txt").read().splitlines()
    pieces, rows = choose(teacher, texts)
    tokenizer = own(pieces)
    say(f"{len(pieces)} pieces of {teacher.config['vocab_size']}")

    size = teacher.config["hidden_size"]
    own_vectors = torch.from_numpy(np.fromfile(f"{folder}/tokens.f32", "<f4").reshape(-1, size))[rows]
    wanted = np.fromfile(f"{folder}/training.f32", "<f4").reshape(-1, size)
    # A row of zeros is a text whose vector was not taken.
    held = np.flatnonzero(np.abs(wanted).sum(1) > 0)
    wanted = torch.from_numpy(wanted[held])
    bags = Bags(tokenizer, [texts[n] for n in held])
    say(f"{len(bags)} texts, {len(bags.ids) / len(bags):.1f} different pieces each")

    share = bags.totals(len(pieces)) / bags.totals(len(pieces)).sum()
    first = own_vectors * (RARE / (RARE + share))[:, None]
    table = least_squares(bags, first, wanted)
    reduced = reduce(bags, table)
    judge(folder, flags, tokenizer, reduced, "least squares")
    for epoch in range(EPOCHS):
        reduced = train(bags, reduced, wanted, epoch)
        judge(folder, flags, tokenizer, reduced, f"epoch {epoch + 1}")
    reduced = reduced * (FREQUENT / (FREQUENT + share))[:, None]
    judge(folder, flags, tokenizer, reduced, "frequent pieces")
    reduced = match(folder, flags, tokenizer, reduced)
    file, packed = pack(pieces, reduced)
    judge(folder, flags, tokenizer, packed, "four bits")
    open(f"{folder}/model.bin", "wb").write(file)
    say(f"model.bin: {len(file)} bytes")


def choose(teacher, texts):
    """The pieces that are kept: of the teacher's Latin ones, those that occur most; and their rows in its vocabulary."""
    vocabulary = teacher.tokenizer.get_vocab()
    counts = np.zeros(len(vocabulary))
    for at in range(0, len(texts), 4096):
        for encoding in teacher.tokenizer.encode_batch(texts[at:at + 4096]):
            np.add.at(counts, encoding.ids, 1)
    latin = [piece for piece in vocabulary
             if not piece.startswith("[") and all(ord(c) < 0x250 or 0x2010 <= ord(c) < 0x2040 for c in piece)]
    # Single letters are kept whatever they count: with them every word of Latin letters can be cut.
    first = sorted(latin, key=lambda p: (len(p.removeprefix("##")) > 1, -counts[vocabulary[p]], vocabulary[p]))
    pieces = sorted(first[:PIECES], key=str.encode)
    return pieces, [vocabulary[piece] for piece in pieces]


def own(pieces):
    """BERT's tokenizer with these pieces, as ../src/pieces.rs does it."""
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    vocabulary["[UNK]"] = len(pieces)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


class Bags:
    """Texts as pieces with the square roots of their counts."""

    def __init__(self, tokenizer, texts):
        unknown = tokenizer.token_to_id("[UNK]")
        ids, weights, starts = [], [], [0]
        for at in range(0, len(texts), 4096):
            for encoding in tokenizer.encode_batch(texts[at:at + 4096]):
                found, counts = np.unique([n for n in encoding.ids if n != unknown] or [0], return_counts=True)
                ids.append(found)
                weights.append(np.sqrt(counts))
                starts.append(starts[-1] + len(found))
        self.ids = torch.from_numpy(np.concatenate(ids)).long()
        self.weights = torch.from_numpy(np.concatenate(weights)).float()
        self.starts = torch.tensor(starts)

    def __len__(self):
        return len(self.starts) - 1

    def totals(self, pieces):
        return torch.zeros(pieces).index_add_(0, self.ids, self.weights ** 2)

    def sums(self, table, chosen=None):
        if chosen is None:
            return F.embedding_bag(self.ids, table, self.starts[:-1], mode="sum", per_sample_weights=self.weights)
        spans = [torch.arange(self.starts[n], self.starts[n + 1]) for n in chosen]
        at = torch.cat(spans)
        starts = torch.tensor([0] + [len(span) for span in spans[:-1]]).cumsum(0)
        return F.embedding_bag(self.ids[at], table, starts, mode="sum", per_sample_weights=self.weights[at])

    def matrix(self, pieces):
        """Both the matrix of texts by pieces, and its transpose."""
        texts = torch.repeat_interleave(torch.arange(len(self)), self.starts.diff())
        both = [torch.sparse_coo_tensor(torch.stack(at), self.weights, shape).coalesce().to_sparse_csr()
                for at, shape in (((texts, self.ids), (len(self), pieces)), ((self.ids, texts), (pieces, len(self))))]
        return both


def least_squares(bags, first, wanted):
    """Conjugate gradients from the first table, mapped linearly onto the teacher's vectors."""
    sums = bags.sums(first)
    # One direction of the teacher's is next to nothing in every text: without the small diagonal this is no number.
    square = sums.T @ sums + 1e-3 * len(bags) * torch.eye(sums.shape[1]) * sums.square().mean()
    prior = first @ torch.linalg.solve(square, sums.T @ wanted)
    forth, back = bags.matrix(len(first))
    ridge = RIDGE * forth.shape[0] / 1000
    table = prior.clone()
    rest = back @ (wanted - forth @ table) - ridge * (table - prior)
    way, size = rest.clone(), rest.square().sum(0)
    for _ in range(STEPS):
        ahead = back @ (forth @ way) + ridge * way
        step = size / (way * ahead).sum(0).clamp_min(1e-20)
        table += step * way
        rest -= step * ahead
        before, size = size, rest.square().sum(0)
        way = rest + size / before.clamp_min(1e-20) * way
    assert torch.isfinite(table).all()
    return table


def reduce(bags, table):
    vectors = F.normalize(bags.sums(table), dim=1)
    _, directions = torch.linalg.eigh(vectors.T @ vectors)
    return table @ directions.flip(1)[:, :DIMS]


MOMENTS = {}


def train(bags, table, wanted, epoch):
    """One pass over the texts."""
    table = table.clone().requires_grad_(True)
    adam = torch.optim.Adam([table], lr=RATE * table.detach().std().item() / .05, eps=1e-10)
    if MOMENTS:
        adam.load_state_dict(MOMENTS)
    steps = len(bags) // BATCH
    order = torch.from_numpy(np.random.default_rng(epoch).permutation(len(bags)))
    lost = 0.
    for step in range(steps):
        rate = 1 - (epoch * steps + step) / (EPOCHS * steps)
        adam.param_groups[0]["lr"] = RATE * rate
        chosen = order[step * BATCH:(step + 1) * BATCH]
        one, other = F.normalize(bags.sums(table, chosen), dim=1), wanted[chosen]
        apart = torch.eye(BATCH) * -1e9
        loss = F.kl_div(F.log_softmax(one @ one.T / TEMPERATURE + apart, 1),
                        F.log_softmax(other @ other.T / TEMPERATURE + apart, 1), log_target=True, reduction="batchmean")
        adam.zero_grad()
        loss.backward()
        adam.step()
        lost += loss.item()
    MOMENTS.update(adam.state_dict())
    say(f"epoch {epoch + 1}: divergence {lost / steps:.4f}")
    return table.detach()


def match(folder, flags, tokenizer, table):
    """Passes over the pairs, whose batches are of one kind each: among texts of another the right one is found too easily."""
    pairs = [json.loads(line) for line in open(f"{folder}/pairs.jsonl")]
    kinds = [[pair for pair in pairs if pair["kind"] == kind] for kind in ("package", "sense")]
    kinds = [(len(kind), *(Bags(tokenizer, [pair[part] for pair in kind]) for part in ("query", "document")))
             for kind in kinds]
    say("pairs: " + " and ".join(str(length) for length, *_ in kinds))
    # The length of a row says nothing yet, and the rate is for rows of this one.
    table = (table * (.05 / table.std())).requires_grad_(True)
    adam = torch.optim.Adam([table], eps=1e-10)
    steps, step = PAIRS_EPOCHS * sum(length // BATCH for length, *_ in kinds), 0
    right = torch.arange(BATCH)
    for epoch in range(PAIRS_EPOCHS):
        random, lost = np.random.default_rng(epoch), 0.
        batches = []
        for kind, (length, *_) in enumerate(kinds):
            order = torch.from_numpy(random.permutation(length))
            batches += [(kind, order[at:at + BATCH]) for at in range(0, length - BATCH + 1, BATCH)]
        for turn in random.permutation(len(batches)):
            adam.param_groups[0]["lr"] = PAIRS_RATE * (1 - step / steps)
            kind, chosen = batches[turn]
            asked, held = (F.normalize(bags.sums(table, chosen), dim=1) for bags in kinds[kind][1:])
            likeness = asked @ held.T / PAIRS_TEMPERATURE
            loss = (F.cross_entropy(likeness, right) + F.cross_entropy(likeness.T, right)) / 2
            adam.zero_grad()
            loss.backward()
            adam.step()
            lost += loss.item()
            step += 1
        say(f"pairs, epoch {epoch + 1}: cross entropy {lost / len(batches):.4f}")
        judge(folder, flags, tokenizer, table.detach(), f"pairs, epoch {epoch + 1}")
    return table.detach()


def pack(pieces, table):
    """The file, and the table as it will be read from it."""
    table = table.numpy().astype(np.float64)
    scales = (np.abs(table).max(1) / 7).astype("<f4")
    groups = table.reshape(len(table), DIMS // GROUP, GROUP)
    # A little of the largest is cut off where that brings the others nearer.
    best, error = None, np.inf
    for cut in (1., .95, .9, .85, .8):
        shares = np.ceil(cut * np.abs(groups).max(2) / 7 / scales[:, None].clip(1e-30) * 255).clip(0, 255)
        step = (scales[:, None] * shares / 255)[..., None]
        whole = np.rint(groups / step.clip(1e-30)).clip(-7, 7)
        off = ((whole * step - groups) ** 2).sum(2, keepdims=True)
        if best is None:
            best, error = (shares, whole), off
        else:
            better = off < error
            best = (np.where(better[..., 0], shares, best[0]), np.where(better, whole, best[1]))
            error = np.minimum(error, off)
    shares, whole = best
    read = (whole * (scales[:, None] * shares / 255)[..., None]).reshape(table.shape)
    nibbles = (whole.reshape(len(table), -1) + 8).astype(np.uint8)
    encoded = [piece.encode() for piece in pieces]
    file = b"murmemb1" + bytes([len(NAME)]) + NAME.encode()
    file += DIMS.to_bytes(2, "little") + len(pieces).to_bytes(2, "little")
    file += bytes(map(len, encoded)) + b"".join(encoded) + scales.tobytes()
    file += shares.astype(np.uint8).tobytes() + (nibbles[:, ::2] | nibbles[:, 1::2] << 4).tobytes()
    return file, torch.from_numpy(read).float()


def judge(folder, flags, tokenizer, table, when):
    if "--tune" not in flags:
        return
    for name in ("debian", "wordnet"):
        pairs = [json.loads(line) for line in open(f"{folder}/{name}-tune.jsonl")]
        asked, held = (F.normalize(Bags(tokenizer, [pair[part] for pair in pairs]).sums(table), dim=1)
                       for part in ("query", "document"))
        likeness = asked @ held.T
        assert torch.isfinite(likeness).all()
        ranks = (likeness > likeness.diagonal()[:, None]).sum(1)
        say(f"{when}: {name} recall@1 {(ranks < 1).float().mean():.3f}, @10 {(ranks < 10).float().mean():.3f}")


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()
