//! Devices that are to be sent notifications: which service is told of them, by whom, and what it says.

use murmuration_syntax::Did;
use murmuration_xrpc::host::proxy::leads_away;
use murmuration_xrpc::token::{self, Claims, Scope};
use serde_json::{Value, json};

use crate::world::ask::claims;
use crate::world::{World, did};

const APPVIEW: &str = "https://appview.example";
const APPVIEW_DID: &str = "did:web:appview.example";
const REGISTER: &str = "app.bsky.notification.registerPush";
const UNREGISTER: &str = "app.bsky.notification.unregisterPush";
const NOTIFIER_DID: &str = "did:web:push.example";

/// Somebody on a host with an AppView.
struct Alice {
    world: World,
    did: Did,
}

fn device(service: &str) -> Value {
    json!({ "serviceDid": service, "token": "t", "platform": "ios", "appId": "x.app", "more": [1] })
}

impl Alice {
    fn new() -> Self {
        let world = World::with(&[("APPVIEW_URL", APPVIEW), ("APPVIEW_DID", APPVIEW_DID)]);
        let did = did(&world.create("alice").1["did"]);
        Self { world, did }
    }

    /// A session's token, begun with an app password.
    fn token(&self) -> String {
        let (aud, iat) = (self.world.config.service_did(), self.world.now_millis() / 1_000);
        let claims = Claims {
            scope: Scope::AppPassword,
            sub: self.did.clone(),
            aud,
            iat,
            exp: iat + 60,
            jti: None,
            sid: None,
        };
        token::sign(&self.world.config.jwt_secret, &claims).unwrap()
    }

    /// Puts a document of a notification service on the network.
    fn serve_notifier(&self, kind: &str, endpoint: &str) {
        let service = json!({ "id": "#bsky_notif", "type": kind, "serviceEndpoint": endpoint });
        let document = json!({ "id": NOTIFIER_DID, "service": [service] });
        self.world.serve("https://push.example/.well-known/did.json", 200, &document);
    }

    fn register(&self, nsid: &str, service: &str) -> (u16, Value) {
        self.world.post_as(Some(&self.token()), nsid, &device(service))
    }
}

#[test]
fn a_device_is_registered_with_the_service_that_the_body_names() {
    for nsid in [REGISTER, UNREGISTER] {
        for (service, origin) in [(NOTIFIER_DID, "https://api.push.example"), (APPVIEW_DID, APPVIEW)] {
            let alice = Alice::new();
            alice.serve_notifier("BskyNotificationService", "https://api.push.example");
            let url = format!("{origin}/xrpc/{nsid}");
            alice.world.serve(&url, 200, &json!({}));
            assert_eq!(alice.register(nsid, service), (200, Value::Null));
            let asked = alice.world.network.asked.borrow();
            let sent = asked.last().unwrap();
            assert_eq!(sent.url, url);
            assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), device(service));
            let header = |name| sent.headers.iter().find(|(known, _)| known == name).unwrap().1.as_str();
            assert_eq!(header("content-type"), "application/json");
            let claims = claims(header("authorization").strip_prefix("Bearer ").unwrap());
            assert_eq!(
                (&claims["iss"], &claims["aud"], &claims["lxm"]),
                (&json!(alice.did), &json!(service), &json!(nsid))
            );
        }
    }
}

#[test]
fn a_device_is_registered_with_nothing_but_a_notification_service() {
    let alice = Alice::new();
    let refused = |service: &str| {
        let (code, answer) = alice.register(REGISTER, service);
        (code, answer["error"].as_str().unwrap().to_owned(), answer["message"].as_str().unwrap().to_owned())
    };
    let invalid = |message: &str| (400, "InvalidRequest".to_owned(), message.to_owned());
    let details = "invalid notification service details in did document: did:web:push.example";
    alice.serve_notifier("X", "https://api.push.example");
    assert_eq!(refused(NOTIFIER_DID), invalid(details), "of another type");
    for endpoint in ["https://api.push.example/path", "ftp://api.push.example", "x"] {
        let alice = Alice::new();
        alice.serve_notifier("BskyNotificationService", endpoint);
        assert_eq!(alice.register(REGISTER, NOTIFIER_DID).1["message"], details, "{endpoint}");
    }
    assert_eq!(
        refused(alice.did.as_str()).2,
        format!("invalid notification service details in did document: {}", alice.did)
    );
    let nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(refused(nobody), invalid(&format!("could not resolve {nobody}")));
    assert_eq!(refused("did:web:away.example").0, 502);
    assert_eq!(refused("push.example").0, 400);
    assert_eq!(alice.world.post(REGISTER, &device(NOTIFIER_DID)).0, 401);
    let sent = |request: &murmuration_platform::OutboundRequest| request.url.contains("/xrpc/");
    assert!(!alice.world.network.asked.borrow().iter().any(sent), "nobody is told of it");
}

#[test]
fn what_a_notification_service_refuses_is_refused_in_its_words() {
    let alice = Alice::new();
    alice.serve_notifier("BskyNotificationService", "https://api.push.example");
    assert_eq!(alice.register(REGISTER, NOTIFIER_DID).1["error"], "UpstreamFailure", "it does not answer");
    let refusal = json!({ "error": "BadToken", "message": "no such device" });
    for (status, told) in [(400, (400, "BadToken")), (500, (502, "UpstreamFailure"))] {
        alice.world.serve(&format!("https://api.push.example/xrpc/{REGISTER}"), status, &refusal);
        let (code, answer) = alice.register(REGISTER, NOTIFIER_DID);
        assert_eq!((code, answer["error"].as_str().unwrap()), told);
        assert_eq!(answer["message"], "no such device");
    }
}

#[test]
fn an_account_that_is_taken_down_registers_no_device() {
    let alice = Alice::new();
    alice.serve_notifier("BskyNotificationService", "https://api.push.example");
    {
        let accounts = alice.world.objects.accounts.borrow();
        accounts[&alice.did].edit(&[], 1, |profile| profile.takedown = Some("1".into())).unwrap();
    }
    assert_eq!(alice.register(REGISTER, NOTIFIER_DID).1["error"], "AccountTakedown");
}

#[test]
fn a_header_sends_a_device_where_it_says() {
    let alice = Alice::new();
    assert!(leads_away(&alice.world.config, REGISTER, Some("did:web:chat.example#bsky_notif")).unwrap());
    assert!(!leads_away(&alice.world.config, REGISTER, None).unwrap());
}
