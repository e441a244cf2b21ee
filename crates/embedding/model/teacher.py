"""all-MiniLM-L6-v2 run plainly: the teacher of the model, and the yardstick it is measured against.

    python teacher.py DIR NAME...     DIR/NAME.txt or DIR/NAME.jsonl (queries, then documents) -> DIR/NAME.f32
    python teacher.py DIR --tokens    DIR/tokens.f32: each vocabulary entry's own last-layer vector, from [CLS] t [SEP]

A text's vector is the mean of its tokens' last layer, of length one: what sentence-transformers computes for it.
"""

import json
import os
import sys
import zipfile

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from tokenizers import Tokenizer

# Tokens of a text that are read, [CLS] and [SEP] included: what the teacher itself is configured for.
LONGEST = 256

# Tokens that are run together: keeps a batch in a core's cache.
BATCH_TOKENS = 2048


class Teacher:
    def __init__(self, folder):
        import importlib.util

        # The package's own front page prints, and imports more than the weights: only its file is wanted.
        place = importlib.util.find_spec("all_minilm_l6_v2").submodule_search_locations[0]
        with zipfile.ZipFile(f"{place}/model.zip") as archive:
            self.weights = load(archive.read("model.safetensors"))
            self.config = json.loads(archive.read("config.json"))
            self.tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST)

    def vectors(self, texts, say=False):
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda n: len(encoded[n]))
        out = np.zeros((len(texts), self.config["hidden_size"]), np.float32)
        start = 0
        while start < len(order):
            end, longest = start, 0
            while end < len(order) and len(encoded[order[end]]) * (end - start + 1) <= BATCH_TOKENS:
                end += 1
            end = max(end, start + 1)
            batch = [encoded[n] for n in order[start:end]]
            hidden, mask = self.run(batch)
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[order[start:end]] = F.normalize(pooled, dim=1).numpy()
            if say and start // 8192 != end // 8192:
                print(f"{end} of {len(order)}", flush=True)
            start = end
        return out

    @torch.inference_mode()
    def run(self, batch):
        """The last layer of a batch of token lists, and which of its places are real."""
        w, heads = self.weights, self.config["num_attention_heads"]
        size = self.config["hidden_size"]
        longest = max(map(len, batch))
        ids = torch.zeros(len(batch), longest, dtype=torch.long)
        mask = torch.zeros(len(batch), longest)
        for row, tokens in enumerate(batch):
            ids[row, :len(tokens)] = torch.tensor(tokens)
            mask[row, :len(tokens)] = 1
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:longest]
        x = self.norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        bias = (1 - mask)[:, None, None, :] * -1e9
        for layer in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{layer}."
            q, k, v = (
                self.dense(x, f"{at}attention.self.{part}").view(*x.shape[:2], heads, -1).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).reshape(*x.shape[:2], size)
            x = self.norm(x + self.dense(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
            inner = F.gelu(self.dense(x, f"{at}intermediate.dense"))
            x = self.norm(x + self.dense(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
        return x, mask

    def dense(self, x, name):
        return F.linear(x, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def norm(self, x, name):
        return F.layer_norm(x, (x.shape[-1],), self.weights[name + ".weight"], self.weights[name + ".bias"], 1e-12)


def texts_of(folder, name):
    if os.path.exists(f"{folder}/{name}.txt"):
        return open(f"{folder}/{name}.txt").read().splitlines()
    pairs = [json.loads(line) for line in open(f"{folder}/{name}.jsonl")]
    return [pair["query"] for pair in pairs] + [pair["document"] for pair in pairs]


def main():
    folder, *names = sys.argv[1:]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    teacher = Teacher(folder)
    for name in names:
        if name == "--tokens":
            size = teacher.config["vocab_size"]
            found = [teacher.run([[101, n, 102] for n in range(at, min(at + 512, size))])[0][:, 1]
                     for at in range(0, size, 512)]
            vectors, name = torch.cat(found).numpy(), "tokens"
        else:
            vectors = teacher.vectors(texts_of(folder, name), say=True)
        assert np.isfinite(vectors).all()
        vectors.astype("<f4").tofile(f"{folder}/{name}.f32")
        print(f"{name}: {vectors.shape}", flush=True)


if __name__ == "__main__":
    main()
