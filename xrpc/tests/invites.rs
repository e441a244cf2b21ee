//! Invite codes: made by the operator, earned by accounts, used once a use.

use murmuration_syntax::Did;
use murmuration_xrpc::host::Directory;
use serde_json::{Value, json};

use crate::world::ask::OPERATOR;
use crate::world::{Fault, World, block_on, did};

const SERVER: &str = "com.atproto.server";
const ADMIN: &str = "com.atproto.admin";
const DAY_MINUTES: u64 = 24 * 60;

fn closed() -> World {
    World::with(&[("INVITE_REQUIRED", "true"), ("INVITE_INTERVAL_SECONDS", "86400")])
}

fn operate(world: &World, method: &str, input: &Value) -> (u16, Value) {
    world.ask(method, Some(OPERATOR), &[], input)
}

#[track_caller]
fn code(world: &World, uses: u32) -> String {
    let (status, body) = operate(world, &format!("{SERVER}.createInviteCode"), &json!({ "useCount": uses }));
    assert_eq!(status, 200, "{body}");
    body["code"].as_str().unwrap().to_owned()
}

fn join(world: &World, name: &str, code: &str) -> (u16, Value) {
    world.create_with(name, json!({ "inviteCode": code }))
}

#[track_caller]
fn joined(world: &World, name: &str, code: &str) -> (Did, String) {
    let (status, body) = join(world, name, code);
    assert_eq!(status, 200, "{body}");
    (did(&body["did"]), format!("Bearer {}", body["accessJwt"].as_str().unwrap()))
}

#[track_caller]
fn is_refused(answer: &(u16, Value), error: &str) {
    assert_eq!((answer.0, &answer.1["error"]), (400, &json!(error)), "{}", answer.1);
}

fn codes(world: &World, header: &str, query: &[(&str, &str)]) -> Vec<Value> {
    let method = format!("{SERVER}.getAccountInviteCodes");
    let (status, body) = world.ask(&method, Some(header), query, &Value::Null);
    assert_eq!(status, 200, "{body}");
    body["codes"].as_array().unwrap().clone()
}

#[test]
fn a_closed_host_says_so_and_wants_a_code() {
    let world = closed();
    assert_eq!(world.get(&format!("{SERVER}.describeServer"), &[]).1["inviteCodeRequired"], true);
    is_refused(&world.create("alice"), "InvalidInviteCode");
    is_refused(&join(&world, "alice", "pds-example-aaaaa-aaaaa"), "InvalidInviteCode");
    let code = code(&world, 1);
    assert!(code.starts_with("pds-example-") && code.len() == "pds-example-".len() + 11, "{code}");
    let (alice, _) = joined(&world, "alice", &code);
    is_refused(&join(&world, "bob", &code), "InvalidInviteCode");
    let (_, all) = world.ask(&format!("{ADMIN}.getInviteCodes"), Some(OPERATOR), &[], &Value::Null);
    assert_eq!(all["codes"][0]["uses"][0]["usedBy"], json!(alice));
    assert_eq!(all["codes"][0]["createdBy"], "admin");
    // Nothing of the refused one is left: the names are free.
    assert_eq!(join(&world, "bob", &self::code(&world, 1)).0, 200);
}

#[test]
fn an_open_host_wants_no_code_but_takes_one() {
    let world = World::new();
    assert_eq!(world.create("alice").0, 200);
    is_refused(&join(&world, "bob", "pds-example-aaaaa-aaaaa"), "InvalidInviteCode");
    let code = code(&world, 2);
    joined(&world, "bob", &code);
    joined(&world, "carol", &code);
    is_refused(&join(&world, "dave", &code), "InvalidInviteCode");
}

#[test]
fn regress_cocoon_a_use_is_one_statement_so_the_last_one_goes_to_one_account() {
    let world = closed();
    let code = code(&world, 1);
    let directory = Directory::new(&world.shelf.store);
    let one = Did::parse("did:web:one.example").unwrap();
    let two = Did::parse("did:web:two.example").unwrap();
    assert!(block_on(directory.use_invite(&code, &one, 1)).unwrap());
    assert!(!block_on(directory.use_invite(&code, &two, 1)).unwrap());
    block_on(directory.give_invite_back(&two)).unwrap();
    assert!(!block_on(directory.use_invite(&code, &two, 1)).unwrap(), "nobody gives back another's");
    block_on(directory.give_invite_back(&one)).unwrap();
    assert!(block_on(directory.use_invite(&code, &two, 1)).unwrap());
}

/// Every step of creating an account fails in every way: the code is used by the account that came of it, or it is there
/// for the next one who comes, under whatever name.
#[test]
fn sim_a_code_is_given_back_when_no_account_comes_of_it() {
    for kind in [Fault::Refused, Fault::Lost, Fault::Dead] {
        for step in 0.. {
            let world = closed();
            let code = code(&world, 1);
            world.faults.calls.set(0);
            world.faults.planned.set(Some(kind(step)));
            let (status, _) = join(&world, "alice", &code);
            let struck = world.faults.calls.get() > step;
            world.faults.planned.set(None);
            // Nobody can still be working on it.
            world.pass_minutes(6);
            let alice = world.login("alice.test", "alice's password").0 == 200;
            assert!(alice || status != 200);
            let bob = join(&world, "bob", &code).0 == 200;
            assert_ne!(alice, bob, "{:?}: alice {alice}, bob {bob}", kind(step));
            assert!(step < 20);
            if !struck {
                assert!(alice);
                break;
            }
        }
    }
}

#[test]
fn an_account_earns_codes_with_time() {
    let world = closed();
    let (alice, header) = joined(&world, "alice", &code(&world, 1));
    assert!(codes(&world, &header, &[]).is_empty());
    world.pass_minutes(2 * DAY_MINUTES);
    let header = &world.bearer(alice.as_str(), murmuration_xrpc::token::Scope::Access);
    assert!(codes(&world, header, &[("createAvailable", "false")]).is_empty());
    let made = codes(&world, header, &[]);
    assert_eq!(made.len(), 2);
    assert_eq!(codes(&world, header, &[]), made, "not twice");
    assert_eq!((&made[0]["available"], &made[0]["createdBy"]), (&json!(1), &json!(alice)));
    joined(&world, "bob", made[0]["code"].as_str().unwrap());
    assert_eq!(codes(&world, header, &[("includeUsed", "false")]).len(), 1);
    assert_eq!(codes(&world, header, &[]).len(), 2);
    world.pass_minutes(30 * DAY_MINUTES);
    let header = &world.bearer(alice.as_str(), murmuration_xrpc::token::Scope::Access);
    assert_eq!(codes(&world, header, &[("includeUsed", "false")]).len(), 5);
}

#[test]
fn two_requests_do_not_earn_the_same_codes() {
    let world = closed();
    let directory = Directory::new(&world.shelf.store);
    let did = "did:web:a.example".parse().unwrap();
    let earn = |codes: &[&str], made| {
        let codes: Vec<String> = codes.iter().map(|code| (*code).to_owned()).collect();
        block_on(directory.earn_invites(&codes, &did, false, made, 1)).unwrap()
    };
    assert!(earn(&["a", "b"], 0));
    assert!(!earn(&["c"], 0));
    assert!(earn(&["c"], 2));
}

#[test]
fn the_operator_takes_codes_away() {
    let world = closed();
    let (alice, header) = joined(&world, "alice", &code(&world, 1));
    let (one, two) = (code(&world, 1), code(&world, 1));
    let (status, body) = operate(
        &world,
        &format!("{SERVER}.createInviteCodes"),
        &json!({ "codeCount": 2, "useCount": 1, "forAccounts": [alice] }),
    );
    assert_eq!(status, 200);
    let gifts = body["codes"][0]["codes"].as_array().unwrap();
    assert_eq!((gifts.len(), codes(&world, &header, &[]).len()), (2, 2));

    let disable = format!("{ADMIN}.disableInviteCodes");
    is_refused(&operate(&world, &disable, &json!({ "accounts": ["admin"] })), "InvalidRequest");
    assert_eq!(operate(&world, &disable, &json!({ "codes": [one], "accounts": [alice] })).0, 200);
    assert!(codes(&world, &header, &[]).is_empty());
    is_refused(&join(&world, "bob", &one), "InvalidInviteCode");
    is_refused(&join(&world, "bob", gifts[0].as_str().unwrap()), "InvalidInviteCode");
    joined(&world, "bob", &two);

    let account = json!({ "account": alice, "note": "sells them" });
    assert_eq!(operate(&world, &format!("{ADMIN}.disableAccountInvites"), &account).0, 200);
    world.pass_minutes(3 * DAY_MINUTES);
    let header = &world.bearer(alice.as_str(), murmuration_xrpc::token::Scope::Access);
    assert!(codes(&world, header, &[]).is_empty());
    assert_eq!(operate(&world, &format!("{ADMIN}.enableAccountInvites"), &account).0, 200);
    assert!(codes(&world, header, &[]).is_empty(), "what was earned meanwhile is gone");
    world.pass_minutes(DAY_MINUTES);
    let header = &world.bearer(alice.as_str(), murmuration_xrpc::token::Scope::Access);
    assert_eq!(codes(&world, header, &[]).len(), 1);
    let nobody = json!({ "account": "did:plc:ewvi7nxzyoun6zhxrhs64oiz" });
    is_refused(&operate(&world, &format!("{ADMIN}.enableAccountInvites"), &nobody), "NotFound");
}

#[test]
fn the_operator_pages_through_all_codes() {
    let world = closed();
    let mut made = Vec::new();
    for uses in 1..=5 {
        made.push(code(&world, uses));
        world.pass_minutes(1);
    }
    for name in ["ann1", "ann2", "ann3"] {
        joined(&world, name, &made[3]);
    }
    joined(&world, "bob1", &made[1]);
    let page = |sort: &str, cursor: &str| {
        let query = [("sort", sort), ("limit", "2"), ("cursor", cursor)];
        let query: Vec<_> = query.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        world.ask(&format!("{ADMIN}.getInviteCodes"), Some(OPERATOR), &query, &Value::Null)
    };
    let all = |sort: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, body) = page(sort, &cursor);
            assert_eq!(status, 200, "{body}");
            let codes = body["codes"].as_array().unwrap();
            found.extend(codes.iter().map(|code| code["code"].as_str().unwrap().to_owned()));
            match body["cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return found,
            }
        }
    };
    assert_eq!(all("recent"), made.iter().rev().cloned().collect::<Vec<_>>());
    let usage = all("usage");
    assert_eq!((usage.len(), &usage[0], &usage[1]), (5, &made[3], &made[1]));
    is_refused(&page("recent", "x"), "InvalidRequest");
    is_refused(&page("oldest", ""), "InvalidRequest");
}

#[test]
fn odd_numbers_of_codes_are_refused() {
    let world = closed();
    for uses in [json!(0), json!(-1), json!(1_000_001)] {
        let input = json!({ "useCount": uses });
        is_refused(&operate(&world, &format!("{SERVER}.createInviteCode"), &input), "InvalidRequest");
    }
    for count in [0, -1, 501] {
        let input = json!({ "codeCount": count, "useCount": 1 });
        is_refused(&operate(&world, &format!("{SERVER}.createInviteCodes"), &input), "InvalidRequest");
    }
    let (_, all) = world.ask(&format!("{ADMIN}.getInviteCodes"), Some(OPERATOR), &[], &Value::Null);
    assert_eq!(all, json!({ "codes": [] }));
}

#[test]
fn codes_for_several_accounts_are_made_together_or_not_at_all() {
    let world = closed();
    let owners = ["did:web:a.example", "did:web:b.example"];
    let input = json!({ "codeCount": 2, "useCount": 1, "forAccounts": owners });
    world.faults.calls.set(0);
    let (_, made) = operate(&world, &format!("{SERVER}.createInviteCodes"), &input);
    assert_eq!(world.faults.calls.get(), 1, "one statement");
    let (_, all) = world.ask(&format!("{ADMIN}.getInviteCodes"), Some(OPERATOR), &[], &Value::Null);
    let all = all["codes"].as_array().unwrap();
    let made = made["codes"].as_array().unwrap();
    assert_eq!((all.len(), made.len()), (4, 2));
    for (owner, made) in owners.iter().zip(made) {
        let codes = made["codes"].as_array().unwrap();
        assert_eq!((&made["account"], codes.len()), (&json!(owner), 2));
        for code in codes {
            let stored = all.iter().find(|stored| stored["code"] == *code).unwrap();
            assert_eq!((&stored["forAccount"], &stored["available"]), (&json!(owner), &json!(1)));
        }
    }
}
