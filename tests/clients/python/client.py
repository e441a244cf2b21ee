"""The Python SDK (PyPI: atproto) against one server: python3 client.py URL PLC

Prints one line of JSON a test: {"name", "ok", "detail"}. The SDK validates every answer and every
event against its own models, so that a test passes only when the shapes are right too.
"""

import base64
import json
import secrets
import sys
import threading
import time
import traceback

from atproto import CAR, CID, Client, FirehoseSubscribeReposClient, IdResolver, models
from atproto import parse_subscribe_repos_message
from atproto.exceptions import BadRequestError, FirehoseError, RequestErrorBase, UnauthorizedError

URL, PLC = sys.argv[1].rstrip("/"), sys.argv[2].rstrip("/")
WAIT_SECONDS = 20
POSTS = "app.bsky.feed.post"
THINGS = "com.example.thing"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def refused(call, status, error, kind=RequestErrorBase):
    """Runs `call`, which must be refused with this status and error name; answers its message."""
    try:
        call()
    except kind as exception:
        response = exception.response
        assert (response.status_code, response.content.error) == (status, error), response
        return response.content.message
    raise AssertionError("was not refused")


class World:
    """One account, made with the SDK, and what the tests leave for each other."""

    def __init__(self):
        self.handle = f"py{secrets.token_hex(5)}.test"
        self.email = f"{self.handle[:-5]}@example.com"
        self.password = secrets.token_hex(9)
        self.client = Client(base_url=URL)

    @property
    def repo(self):
        return self.client.com.atproto.repo

    @property
    def sync(self):
        return self.client.com.atproto.sync

    def create(self, rkey, record, collection=THINGS):
        return self.repo.create_record(
            {"repo": self.did, "collection": collection, "rkey": rkey, "record": {"$type": collection, **record}}
        )


@test
def an_account_and_its_sessions(w):
    made = w.client.com.atproto.server.create_account(
        {"handle": w.handle, "email": w.email, "password": w.password}
    )
    w.did = made.did
    for identifier in (w.handle, w.did, w.email):
        w.client.login(identifier, w.password, fetch_bsky_profile=False)
        assert w.client.com.atproto.server.get_session().did == w.did
    # The profile would come from an AppView; without one the SDK is told who it is.
    w.client.me = models.AppBskyActorDefs.ProfileViewDetailed(did=w.did, handle=w.handle)
    saved = w.client.export_session_string()
    again = Client(base_url=URL)
    again.login(session_string=saved, fetch_bsky_profile=False)
    assert again.com.atproto.server.get_session().handle == w.handle


@test
def a_wrong_password(w):
    def wrong():
        Client(base_url=URL).login(w.handle, "wrong", fetch_bsky_profile=False)

    assert refused(wrong, 401, "AuthenticationRequired", UnauthorizedError) == "Invalid identifier or password"


@test
def resolve_and_describe(w):
    assert w.client.resolve_handle(w.handle).did == w.did
    about = w.client.com.atproto.server.describe_server()
    assert ".test" in about.available_user_domains
    repo = w.repo.describe_repo({"repo": w.handle})
    assert repo.did == w.did and repo.handle_is_correct is True


@test
def posts_by_the_high_level_calls(w):
    post = w.client.send_post("hello from Python")
    got = w.client.get_post(post.uri.split("/")[-1], w.did)
    assert got.value.text == "hello from Python" and got.cid == post.cid
    like = w.client.like(post.uri, post.cid)
    assert w.client.unlike(like.uri) is True
    assert w.client.delete_post(post.uri) is True
    refused(lambda: w.client.get_post(post.uri.split("/")[-1], w.did), 400, "RecordNotFound", BadRequestError)


@test
def create_read_update_delete(w):
    made = w.create("a", {"n": 1})
    changed = w.repo.put_record(
        {"repo": w.did, "collection": THINGS, "rkey": "a", "record": {"$type": THINGS, "n": 2}, "swapRecord": made.cid}
    )
    got = w.repo.get_record({"repo": w.did, "collection": THINGS, "rkey": "a"})
    assert got.cid == changed.cid and got.value["n"] == 2
    refused(
        lambda: w.repo.put_record(
            {"repo": w.did, "collection": THINGS, "rkey": "a", "record": {"$type": THINGS}, "swapRecord": made.cid}
        ),
        400,
        "InvalidSwap",
    )
    gone = w.repo.delete_record({"repo": w.did, "collection": THINGS, "rkey": "a"})
    assert gone.commit.rev > changed.commit.rev > made.commit.rev


@test
def a_batch_and_its_list(w):
    writes = [
        models.ComAtprotoRepoApplyWrites.Create(collection=THINGS, rkey=f"k{i:03}", value={"$type": THINGS, "i": i})
        for i in range(200)
    ]
    done = w.repo.apply_writes(models.ComAtprotoRepoApplyWrites.Data(repo=w.did, writes=writes))
    assert len(done.results) == 200
    seen, cursor = [], None
    while True:
        page = w.repo.list_records({"repo": w.did, "collection": THINGS, "limit": 90, "cursor": cursor})
        seen += [record.value["i"] for record in page.records]
        cursor = page.cursor
        if not cursor or not page.records:
            break
    assert seen == list(reversed(range(200))), seen
    too_many = models.ComAtprotoRepoApplyWrites.Data(repo=w.did, writes=writes + writes[:1])
    assert refused(lambda: w.repo.apply_writes(too_many), 400, "InvalidRequest") == "Too many writes. Max: 200"


@test
def blobs(w):
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    ) + secrets.token_bytes(8)
    post = w.client.send_image("look", png, "a dot")
    embed = w.client.get_post(post.uri.split("/")[-1], w.did).value.embed
    blob = embed.images[0].image
    assert blob.mime_type == "image/png" and blob.size == len(png)
    cid = blob.cid.encode()
    assert w.sync.get_blob({"did": w.did, "cid": cid}) == png
    assert w.sync.list_blobs({"did": w.did}).cids == [cid]


@test
def the_exported_repository(w):
    head = w.sync.get_latest_commit({"did": w.did})
    car = CAR.from_bytes(w.sync.get_repo({"did": w.did}))
    assert car.root == CID.decode(head.cid).encode() or str(car.root) == head.cid
    commit = car.blocks[car.root]
    assert commit["did"] == w.did and commit["rev"] == head.rev and commit["version"] == 3
    records = [b for b in car.blocks.values() if isinstance(b, dict) and b.get("$type") == THINGS]
    assert sorted(r["i"] for r in records) == list(range(200))
    proof = CAR.from_bytes(w.sync.get_record({"did": w.did, "collection": THINGS, "rkey": "k007"}))
    assert any(isinstance(b, dict) and b.get("i") == 7 for b in proof.blocks.values())
    assert w.sync.get_repo_status({"did": w.did}).active is True


@test
def the_identity_in_the_directory(w):
    resolver = IdResolver(plc_url=PLC)
    data = resolver.did.resolve_atproto_data(w.did)
    assert data.handle == w.handle and data.did == w.did
    assert resolver.did.resolve_atproto_key(w.did).startswith("did:key:")


def events(cursor, ready):
    """Every event after `cursor` (None: from now) until `ready(event)`; `ready(None)` is asked once connected."""
    params = models.ComAtprotoSyncSubscribeRepos.Params(cursor=cursor) if cursor is not None else None
    base = URL.replace("http", "ws", 1) + "/xrpc"
    client = FirehoseSubscribeReposClient(params, base_uri=base)
    seen, problems = [], []

    def on_message(frame):
        event = parse_subscribe_repos_message(frame)
        seen.append(event)
        if ready(event):
            client.stop()

    timer = threading.Timer(WAIT_SECONDS, lambda: (problems.append(TimeoutError(f"{len(seen)} events")), client.stop()))
    timer.start()
    try:
        client.start(on_message, lambda error: (problems.append(error), client.stop()))
    finally:
        timer.cancel()
    if problems:
        raise problems[0]
    return seen


@test
def the_firehose_live_and_resumed(w):
    stop = threading.Event()

    def beat():
        # Beats until the reader has seen one: nothing tells when a subscription without a cursor is live.
        n = 0
        while not stop.is_set():
            w.create(f"beat{n}", {"n": n})
            n += 1
            time.sleep(0.05)

    writer = threading.Thread(target=beat)
    writer.start()
    is_mine = lambda event: getattr(event, "repo", None) == w.did
    try:
        # What was written just before may still be on its way: only a beat will do.
        live = events(None, lambda event: is_mine(event) and any("/beat" in op.path for op in event.ops))
    finally:
        stop.set()
        writer.join()
    first = live[-1]
    assert isinstance(first, models.ComAtprotoSyncSubscribeRepos.Commit)
    last = w.create("last", {"n": -1}).commit.rev
    missed = events(first.seq, lambda event: is_mine(event) and event.rev == last)
    chain = [first] + [event for event in missed if is_mine(event)]
    for before, after in zip(chain, chain[1:]):
        assert after.seq > before.seq and after.since == before.rev
    again = events(first.seq, lambda event: is_mine(event) and event.rev == last)
    assert [e.seq for e in again if is_mine(e)] == [e.seq for e in missed if is_mine(e)]
    for event in chain:
        car = CAR.from_bytes(event.blocks)
        commit = car.blocks[car.root]
        assert commit["rev"] == event.rev and commit["did"] == w.did
        for op in event.ops:
            assert op.cid is not None and op.cid in car.blocks, op


@test
def a_cursor_from_the_future(w):
    try:
        events(2**52, lambda event: True)
    except FirehoseError as error:
        assert "FutureCursor" in repr(error), repr(error)
        return
    raise AssertionError("was not refused")


def main():
    world = World()
    for function in TESTS:
        result = {"name": function.__name__.replace("_", " "), "ok": True}
        try:
            function(world)
        except BaseException:
            result.update(ok=False, detail=traceback.format_exc())
        print(json.dumps(result), flush=True)


main()
