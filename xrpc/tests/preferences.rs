//! Preferences, as clients with the account's password and with an app password see them.

use murmuration_account::Account;
use murmuration_lexicons::Catalog;
use murmuration_syntax::Did;
use murmuration_xrpc::agent::{self, Context, Reply};
use murmuration_xrpc::http::{Request, Verb};
use murmuration_xrpc::method::Place;
use murmuration_xrpc::table;
use murmuration_xrpc::token::{self, Claims, Scope};
use serde_json::{Value, json};

use crate::world::{World, did, plain};

const GET: &str = "app.bsky.actor.getPreferences";
const PUT: &str = "app.bsky.actor.putPreferences";

struct Alice {
    world: World,
    did: Did,
}

impl Alice {
    fn new() -> Self {
        let world = World::new();
        let did = did(&world.create("alice").1["did"]);
        Self { world, did }
    }

    fn token(&self, scope: Scope) -> String {
        let claims = Claims {
            scope,
            sub: self.did.clone(),
            aud: self.world.config.service_did(),
            iat: 1_795_000_000,
            exp: 1_796_000_000,
            jti: None,
            sid: None,
        };
        format!("Bearer {}", token::sign(&self.world.config.jwt_secret, &claims).unwrap())
    }

    fn send(&self, scope: Scope, nsid: &str, body: Option<&Value>) -> (u16, Value) {
        let method = table::find(nsid).unwrap();
        let Place::Agent { run, .. } = method.place else { panic!("{nsid} is not an agent's") };
        let request = Request {
            verb: if body.is_some() { Verb::Post } else { Verb::Get },
            nsid: nsid.into(),
            query: Vec::new(),
            authorization: Some(self.token(scope)),
            content_type: body.map(|_| "application/json".into()),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        let accounts = self.world.objects.accounts.borrow();
        let account: &Account = &accounts[&self.did];
        let context = Context {
            account,
            config: &self.world.config,
            catalog: Catalog::builtin(),
            clock: &*self.world.clock,
            entropy: &*self.world.clock,
            embedder: &agent::no_embedder,
            readers: &[],
        };
        plain(agent::answer(&context, method, run, &request).map(|reply| match reply {
            Reply::Now(response) | Reply::Changed(response) | Reply::Sent(response, _) => response,
            Reply::AfterWrite(..) => panic!("preferences are no records"),
        }))
    }

    fn get(&self, scope: Scope) -> Value {
        let (status, answer) = self.send(scope, GET, None);
        assert_eq!(status, 200, "{answer}");
        answer["preferences"].clone()
    }

    fn put(&self, scope: Scope, preferences: &Value) -> (u16, Value) {
        self.send(scope, PUT, Some(&json!({ "preferences": preferences })))
    }
}

fn adult(enabled: bool) -> Value {
    json!({ "$type": "app.bsky.actor.defs#adultContentPref", "enabled": enabled })
}

fn born(date: &str) -> Value {
    json!({ "$type": "app.bsky.actor.defs#personalDetailsPref", "birthDate": date })
}

fn of_age(years: [bool; 3]) -> Value {
    json!({
        "$type": "app.bsky.actor.defs#declaredAgePref",
        "isOverAge13": years[0], "isOverAge16": years[1], "isOverAge18": years[2],
    })
}

#[test]
fn what_is_put_is_got_and_replaces_what_was() {
    let alice = Alice::new();
    assert_eq!(alice.get(Scope::Access), json!([]));
    let unknown = json!({ "$type": "app.bsky.something.new#pref", "n": 1 });
    assert_eq!(alice.put(Scope::Access, &json!([adult(true), unknown])), (200, Value::Null));
    assert_eq!(alice.get(Scope::Access), json!([adult(true), unknown]));
    assert_eq!(alice.put(Scope::Access, &json!([adult(false)])).0, 200);
    assert_eq!(alice.get(Scope::Access), json!([adult(false)]));
    assert_eq!(alice.get(Scope::Takendown), json!([adult(false)]), "whoever leaves may take them along");
}

#[test]
fn only_the_owners_password_sees_or_sets_the_birth_date() {
    let alice = Alice::new();
    // The world's clock stands in November 2026.
    assert_eq!(alice.put(Scope::Access, &json!([born("2009-12-31T00:00:00Z"), adult(true)])).0, 200);
    let age = of_age([true, true, false]);
    assert_eq!(alice.get(Scope::Access), json!([born("2009-12-31T00:00:00Z"), adult(true), age]));
    for scope in [Scope::AppPassword, Scope::PrivilegedAppPassword] {
        assert_eq!(alice.get(scope), json!([adult(true), age]));
        let (status, answer) = alice.put(scope, &json!([born("1990-01-01T00:00:00Z")]));
        assert_eq!((status, &answer["error"]), (400, &json!("InvalidRequest")), "{answer}");
        assert_eq!(alice.put(scope, &json!([adult(false)])).0, 200);
        let kept = json!([born("2009-12-31T00:00:00Z"), adult(false), age]);
        assert_eq!(alice.get(Scope::Access), kept, "what an app cannot see it does not delete");
        assert_eq!(alice.put(scope, &json!([adult(true)])).0, 200);
    }
    assert_eq!(alice.put(Scope::Access, &json!([])).0, 200);
    assert_eq!(alice.get(Scope::Access), json!([]));
}

#[test]
fn the_declared_age_is_the_hosts_to_say() {
    let alice = Alice::new();
    assert_eq!(alice.put(Scope::Access, &json!([of_age([true; 3]), born("2015-01-01T00:00:00Z")])).0, 200);
    assert_eq!(alice.get(Scope::AppPassword), json!([of_age([false; 3])]));
}

#[test]
fn preferences_of_another_namespace_or_of_none_change_nothing() {
    let alice = Alice::new();
    assert_eq!(alice.put(Scope::Access, &json!([adult(true)])).0, 200);
    for bad in [
        json!([adult(false), { "$type": "com.example.pref" }]),
        json!([{ "$type": "app.bskyx.pref" }]),
        json!([{ "enabled": true }]),
        json!([{ "$type": 5 }]),
        json!([5]),
        json!({}),
        json!([{ "$type": "app.bsky.actor.defs#adultContentPref", "enabled": "yes" }]),
    ] {
        let (status, answer) = alice.put(Scope::Access, &bad);
        assert_eq!((status, &answer["error"]), (400, &json!("InvalidRequest")), "{bad}: {answer}");
        assert_eq!(alice.get(Scope::Access), json!([adult(true)]));
    }
    let large = json!([{ "$type": "app.bsky.x#pref", "text": "x".repeat(200_000) }]);
    assert_eq!(alice.put(Scope::Access, &large).0, 413);
    assert_eq!(alice.put(Scope::Takendown, &json!([])).0, 400);
    assert_eq!(alice.get(Scope::Access), json!([adult(true)]));
}
