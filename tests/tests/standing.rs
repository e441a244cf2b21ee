//! Seeded schedules of what an account is: its standing, its name, its passwords, the repository that it brings.
//!
//! As in `schedules.rs`, the account's object, the relay's, both or none are put out of memory between any two events, and a
//! model says what must be there. What is refused because of the account's standing must change nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use murmuration_data::cbor;
use murmuration_firehose::{Event, Frame};
use murmuration_keys::VerifyingKey;
use murmuration_repo::import;
use murmuration_syntax::Did;
use murmuration_tests::{Account, Answer, Client, Dice, World, scaled, schedule};
use serde_json::{Value, json};

/// Schedules, each lived through once for each of the four ways to evict.
const SCHEDULES: u64 = 3;
/// Events of a schedule.
const EVENTS: u64 = 32;
const COLLECTION: &str = "com.example.note";
const CAR: &str = "application/vnd.ipld.car";

/// Records by key: what each says.
type Records = BTreeMap<String, String>;

/// One account, and what it must be.
struct Life<'a> {
    world: &'a World,
    account: Account,
    client: Client,
    password: String,
    handle: String,
    /// Its owner has deactivated it.
    rests: bool,
    /// The operator has taken it down.
    down: bool,
    app_passwords: BTreeMap<String, String>,
    records: Records,
    /// A repository of an earlier time.
    backup: Option<(Vec<u8>, Records)>,
    /// What the stream must say, commits left out.
    told: Vec<String>,
    named: u64,
    /// What has happened, and how often.
    done: BTreeMap<&'static str, u64>,
}

/// What a programme must have seen, so that one in which nothing happens cannot pass.
const DONE: [&str; 11] = [
    "activateAccount",
    "createAppPassword",
    "createRecord",
    "deactivateAccount",
    "importRepo",
    "refreshSession",
    "refused",
    "revokeAppPassword",
    "takedown",
    "updateAccountPassword",
    "updateHandle",
];

impl<'a> Life<'a> {
    fn begin(world: &'a World, name: &str) -> Self {
        let account = world.account(name);
        Self {
            world,
            client: world.client().with_token(&account.access),
            password: Account::PASSWORD.into(),
            handle: account.handle.clone(),
            rests: false,
            down: false,
            app_passwords: BTreeMap::new(),
            records: Records::new(),
            backup: None,
            told: vec![format!("identity {}", account.handle), "active".into(), "sync".into()],
            named: 0,
            done: BTreeMap::new(),
            account,
        }
    }

    fn standing(&self) -> &'static str {
        match (self.down, self.rests) {
            (true, _) => "takendown",
            (false, true) => "deactivated",
            (false, false) => "active",
        }
    }

    /// Whether what the owner does has been done: all of it, unless the account is taken down; at rest it writes nothing.
    fn own(&mut self, what: &'static str, answer: &Answer) -> bool {
        let refused = match (self.down, self.rests && what == "createRecord") {
            (true, _) => "AccountTakedown",
            (false, true) => "AccountDeactivated",
            (false, false) => {
                assert_eq!(answer.status, 200, "{what}: {}", answer.text());
                self.did(what);
                return true;
            }
        };
        assert_eq!((answer.status, &answer.json()["error"]), (401, &json!(refused)), "{what}");
        self.did("refused");
        false
    }

    fn did(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn rest_or_rise(&mut self) {
        if self.rests {
            let answer = ask(&self.client, "com.atproto.server.activateAccount");
            if self.own("activateAccount", &answer) {
                self.rests = false;
                self.told.extend(["active".into(), format!("identity {}", self.handle), "sync".into()]);
            }
        } else {
            // As on the reference server, who is taken down may leave.
            let _ = self.client.post("com.atproto.server.deactivateAccount", &json!({})).ok();
            self.did("deactivateAccount");
            self.rests = true;
            self.told.push(self.standing().into());
        }
    }

    fn take_down_or_lift(&mut self) {
        self.down = !self.down;
        let subject = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": self.account.did });
        let body = json!({ "subject": subject, "takedown": { "applied": self.down } });
        let _ = self.world.operate("com.atproto.admin.updateSubjectStatus", &body).ok();
        self.told.push(self.standing().into());
        self.did("takedown");
        // All sessions ended with it. An access token stays good until it expires, once it is lifted.
        if !self.down {
            self.log_in();
        }
    }

    fn rename(&mut self) {
        self.named += 1;
        let first = self.account.handle.split('.').next().unwrap();
        let handle = format!("{first}n{}.test", self.named);
        let answer = self.client.post("com.atproto.identity.updateHandle", &json!({ "handle": handle }));
        if self.own("updateHandle", &answer) {
            self.told.push(format!("identity {handle}"));
            self.handle = handle;
        }
    }

    fn change_password(&mut self) {
        self.named += 1;
        self.password = format!("password {}", self.named);
        let body = json!({ "did": self.account.did, "password": self.password });
        let _ = self.world.operate("com.atproto.admin.updateAccountPassword", &body).ok();
        self.did("updateAccountPassword");
        if !self.down {
            let old = ask(
                &self.world.client().with_token(&self.account.refresh),
                "com.atproto.server.refreshSession",
            );
            assert_eq!(old.json()["error"], "ExpiredToken", "sessions end with a password");
            self.log_in();
        }
    }

    fn log_in(&mut self) {
        let answer = self.try_log_in(&self.password).ok().json();
        self.assert_described(&answer);
        self.account = Account { handle: self.account.handle.clone(), ..Account::of(&answer) };
        self.client = self.world.client().with_token(&self.account.access);
    }

    fn try_log_in(&self, password: &str) -> Answer {
        let body = json!({ "identifier": self.account.did, "password": password });
        self.world.client().post("com.atproto.server.createSession", &body)
    }

    fn add_or_revoke(&mut self) {
        let old = self.app_passwords.keys().next().cloned().filter(|_| self.app_passwords.len() > 1);
        if let Some(name) = old {
            let body = json!({ "name": name });
            // As on the reference server, who is taken down may still take back what opens the account.
            let _ = self.client.post("com.atproto.server.revokeAppPassword", &body).ok();
            self.did("revokeAppPassword");
            let password = self.app_passwords.remove(&name).unwrap();
            assert_eq!(self.try_log_in(&password).status, 401, "a password that was revoked");
        } else {
            self.named += 1;
            let name = format!("app {}", self.named);
            let answer = self.client.post("com.atproto.server.createAppPassword", &json!({ "name": name }));
            if self.own("createAppPassword", &answer) {
                let password = answer.json()["password"].as_str().unwrap().to_owned();
                self.app_passwords.insert(name, password);
            }
        }
    }

    fn create(&mut self) {
        self.named += 1;
        let (rkey, text) = (format!("r{}", self.named), format!("text {}", self.named));
        let record = json!({ "$type": COLLECTION, "text": text });
        let body =
            json!({ "repo": self.account.did, "collection": COLLECTION, "rkey": rkey, "record": record });
        let answer = self.client.post("com.atproto.repo.createRecord", &body);
        if self.own("createRecord", &answer) {
            self.records.insert(rkey, text);
        }
    }

    /// Takes a repository along, and brings it back once it has become another.
    fn back_up_or_restore(&mut self) {
        let Some((car, records)) = self.backup.take() else {
            if !self.down {
                let car = self.client.get("com.atproto.sync.getRepo", &[("did", &self.account.did)]);
                self.backup = Some((car.ok().body, self.records.clone()));
            }
            return;
        };
        if records == self.records {
            self.backup = Some((car, records));
            return self.create();
        }
        let answer = self.client.post_bytes("com.atproto.repo.importRepo", CAR, &car);
        if self.own("importRepo", &answer) {
            self.records = records;
            if !self.rests {
                self.told.push("sync".into());
            }
        } else {
            self.backup = Some((car, records));
        }
    }

    fn refresh(&mut self) {
        let client = self.world.client().with_token(&self.account.refresh);
        let answer = ask(&client, "com.atproto.server.refreshSession");
        if self.own("refreshSession", &answer) {
            let answer = answer.json();
            self.assert_described(&answer);
            self.account = Account { handle: self.account.handle.clone(), ..Account::of(&answer) };
            self.client = self.world.client().with_token(&self.account.access);
        }
    }

    /// What a session says of the account.
    fn assert_described(&self, session: &Value) {
        assert_eq!(session["handle"], json!(self.handle));
        assert_eq!(session["active"], json!(self.standing() == "active"), "{session}");
        let status = session.get("status").cloned();
        assert_eq!(status, (self.standing() != "active").then(|| json!(self.standing())));
    }

    /// What everybody is told of the account, and its owner.
    fn look(&self) {
        let (did, active) = (self.account.did.as_str(), self.standing() == "active");
        let status = self.client.get("com.atproto.sync.getRepoStatus", &[("did", did)]).ok().json();
        assert_eq!(status["active"], json!(active));
        assert_eq!(status.get("status").cloned(), (!active).then(|| json!(self.standing())));
        let known = [("handle", self.handle.as_str())];
        let known = self.world.client().get("com.atproto.identity.resolveHandle", &known);
        assert_eq!(known.status, if active { 200 } else { 400 });
        let page = [("repo", did), ("collection", COLLECTION), ("limit", "100")];
        let page = self.world.client().get("com.atproto.repo.listRecords", &page);
        if active {
            let found: Records = page.json()["records"].as_array().unwrap().iter().map(record_of).collect();
            assert_eq!(found, self.records);
        } else {
            assert_eq!(page.status, 400);
        }
        if !self.down {
            self.assert_described(&self.client.get("com.atproto.server.getSession", &[]).ok().json());
            let listed = self.client.get("com.atproto.server.listAppPasswords", &[]).ok().json();
            let mut listed: Vec<&str> =
                listed["passwords"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
            listed.sort_unstable();
            assert_eq!(listed, self.app_passwords.keys().collect::<Vec<_>>());
        }
    }

    /// Brings the account back, and looks at all that there is of it.
    fn end(&mut self) {
        if self.down {
            self.take_down_or_lift();
        }
        if self.rests {
            self.rest_or_rise();
        }
        self.look();
        for password in self.app_passwords.values().chain([&self.password]) {
            let _ = self.try_log_in(password).ok();
        }
        let did = Did::parse(&self.account.did).unwrap();
        let data = Client::new(self.world.plc_url()).path(&format!("/{did}/data")).ok().json();
        assert_eq!(data["alsoKnownAs"], json!([format!("at://{}", self.handle)]));
        let key = data["verificationMethods"]["atproto"].as_str().unwrap();
        let key = VerifyingKey::from_did_key(key).unwrap();
        let car = self.client.get("com.atproto.sync.getRepo", &[("did", did.as_str())]).ok().body;
        let repo = import(&car, &did, &key).unwrap();
        let held: Records = repo
            .records
            .iter()
            .map(|record| {
                let value = cbor::decode(&record.block).unwrap();
                let text = String::try_from(value.get("text").unwrap().unwrap().clone()).unwrap();
                (record.key.rkey().to_owned(), text)
            })
            .collect();
        assert_eq!(held, self.records);
    }
}

impl schedule::Life for Life<'_> {
    fn did(&self) -> &str {
        &self.account.did
    }

    fn event(&mut self, dice: &mut Dice) {
        self.look();
        // An account spends more of its life awake than not.
        match (dice.roll(12), self.down) {
            (0, _) => self.rest_or_rise(),
            (1, false) if self.rests => self.rest_or_rise(),
            (2, _) | (1 | 3 | 4, true) => self.take_down_or_lift(),
            (1 | 3 | 4, _) => self.create(),
            (5 | 6, _) => self.back_up_or_restore(),
            (7, _) => self.rename(),
            (8, _) => self.change_password(),
            (9, _) => self.add_or_revoke(),
            (10, _) => self.refresh(),
            _ => schedule::fire_alarms(self.world, &self.account.did),
        }
    }
}

/// A procedure without a body.
fn ask(client: &Client, nsid: &str) -> Answer {
    client.send("POST", &format!("/xrpc/{nsid}"), &[], Vec::new()).unwrap()
}

fn record_of(record: &Value) -> (String, String) {
    let rkey = record["uri"].as_str().unwrap().rsplit('/').next().unwrap();
    (rkey.to_owned(), record["value"]["text"].as_str().unwrap().to_owned())
}

/// What the stream has said of each account, commits left out, until it has said all that was expected.
fn told(world: &World, expected: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let (mut stream, mut told) = (world.subscribe(Some(0)), BTreeMap::<String, Vec<String>>::new());
    let mut left: usize = expected.values().map(Vec::len).sum();
    while left > 0 {
        let Ok(Frame::Event { event, .. }) = Frame::decode(&stream.frame().unwrap().bytes) else {
            panic!("not an event");
        };
        let said = match &event {
            Event::Account(said) => match &said.inactive {
                None => "active".to_owned(),
                Some(status) => status.name().unwrap().to_owned(),
            },
            Event::Identity(said) => format!("identity {}", said.handle.as_ref().unwrap()),
            Event::Sync(_) => "sync".to_owned(),
            _ => continue,
        };
        told.entry(event.did().to_string()).or_default().push(said);
        left -= 1;
    }
    told
}

#[test]
fn sim_what_an_account_is_does_not_depend_on_staying_awake() {
    let world = World::start();
    let (schedules, started) = (scaled("SOAK_SCHEDULES", SCHEDULES), Instant::now());
    let (mut expected, mut done) = (BTreeMap::new(), BTreeMap::<&str, u64>::new());
    let evictions = schedule::live(&world, schedules, EVENTS, Life::begin, |mut life| {
        life.end();
        expected.insert(life.account.did, life.told);
        for (what, count) in life.done {
            *done.entry(what).or_default() += count;
        }
    });
    assert_eq!(told(&world, &expected), expected);
    assert!(DONE.iter().all(|what| done.contains_key(what)), "something has never happened: {done:?}");
    println!(
        "{schedules} schedules of {EVENTS} events ({done:?}), {evictions} evictions, in {:.0?}",
        started.elapsed()
    );
}
