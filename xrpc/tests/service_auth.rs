//! Service tokens: those that count, and more than two hundred that do not.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use murmuration_bridge::Document;
use murmuration_keys::{Curve, SigningKey};
use murmuration_platform::Clock;
use murmuration_syntax::{Did, Handle};
use murmuration_xrpc::auth::Caller;
use murmuration_xrpc::method::{Auth, Method};
use murmuration_xrpc::{XrpcError, table};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world;
use crate::world::{Fault, MOD_SERVICE, World, block_on};

const UPLOAD: &str = "com.atproto.repo.uploadBlob";
const CREATE: &str = "com.atproto.server.createAccount";
const PDS: &str = "did:web:pds.example";
const BOB: &str = "did:web:bob.example.com";
const WANTED: [Auth; 3] = [Auth::AccessOrService, Auth::OptionalService, Auth::Moderator];

fn key(seed: u8, curve: Curve) -> SigningKey {
    SigningKey::from_bytes(curve, &[seed; 32]).unwrap()
}

/// Puts the document of a did:web into the network: one key `#atproto` and, if given, one `#atproto_label`.
fn publish(world: &World, did: &str, account: &SigningKey, label: Option<&SigningKey>) {
    let parsed = Did::parse(did).unwrap();
    let handle = Handle::parse(did.strip_prefix("did:web:").unwrap()).unwrap();
    let mut json =
        Document::atproto(&parsed, &handle, &account.did_key(), "https://x.example").json().clone();
    if let Some(label) = label {
        json["verificationMethod"].as_array_mut().unwrap().push(json!({
            "id": format!("{did}#atproto_label"), "type": "Multikey", "controller": did,
            "publicKeyMultibase": label.verifying_key().multibase(),
        }));
    }
    let url = format!("https://{handle}/.well-known/did.json");
    world.network.pages.borrow_mut().insert(url, (200, json.to_string()));
}

/// A world in which Bob lives elsewhere and a moderation service is trusted.
fn world() -> World {
    let world = World::new();
    publish(&world, BOB, &key(5, Curve::K256), None);
    publish(&world, MOD_SERVICE, &key(6, Curve::K256), Some(&key(7, Curve::P256)));
    world
}

fn now(world: &World) -> u64 {
    world.clock.now_micros() / 1_000_000
}

fn method(auth: Auth) -> Method {
    Method { auth, ..*table::find(if auth == Auth::AccessOrService { UPLOAD } else { CREATE }).unwrap() }
}

fn ask(world: &World, auth: Auth, header: &str) -> Result<Caller, XrpcError> {
    block_on(world.host().authenticate(&method(auth), Some(header)))
}

fn part(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn sealed(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// What makes a good token for a method.
struct Mould {
    header: Value,
    claims: Value,
    key: SigningKey,
}

fn mould(world: &World, auth: Auth) -> Mould {
    let now = now(world);
    let (iss, key) = match auth {
        Auth::Moderator => (MOD_SERVICE, key(6, Curve::K256)),
        _ => (BOB, key(5, Curve::K256)),
    };
    let claims = json!({
        "iss": iss, "aud": PDS, "lxm": method(auth).nsid, "iat": now, "exp": now + 60, "jti": "0123456789abcdef",
    });
    Mould { header: json!({ "typ": "JWT", "alg": "ES256K" }), claims, key }
}

impl Mould {
    fn with(mut self, changes: &Value) -> Self {
        for (name, value) in changes.as_object().unwrap() {
            let target = if matches!(name.as_str(), "typ" | "alg" | "kid" | "crit") {
                &mut self.header
            } else {
                &mut self.claims
            };
            match value {
                Value::Null => target.as_object_mut().unwrap().remove(name),
                value => target.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        self
    }

    fn token(&self) -> String {
        sealed(&self.header, &self.claims, &self.key)
    }
}

#[test]
fn takes_the_tokens_of_the_reference_server_and_those_of_proposal_14() {
    let world = world();
    let now = now(&world);
    for auth in WANTED {
        let good = [
            json!({}),
            json!({ "typ": null }),
            json!({ "aud": format!("{PDS}#atproto_pds") }),
            json!({ "kid": "#atproto" }),
            json!({ "aud": format!("{PDS}#atproto_pds"), "kid": "#atproto" }),
            json!({ "exp": now + 1 }),
            json!({ "exp": now + 3600 }),
            json!({ "iat": now - 3600 }),
            json!({ "iat": now + 50, "exp": now + 110 }),
            json!({ "iat": null }),
            json!({ "sub": "anything", "nonce": "x" }),
            json!({ "jti": "x".repeat(256) }),
            // Some hundred bytes below the longest token that is looked at.
            json!({ "long": "x".repeat(5_700) }),
        ];
        for (number, changes) in good.into_iter().enumerate() {
            let token =
                mould(&world, auth).with(&json!({ "jti": format!("id {number}") })).with(&changes).token();
            let caller =
                ask(&world, auth, &format!("Bearer {token}")).unwrap_or_else(|e| panic!("{changes}: {e}"));
            match auth {
                Auth::Moderator => assert_eq!(caller, Caller::ModerationService),
                _ => assert_eq!(caller, Caller::Service(BOB.parse().unwrap())),
            }
        }
    }
}

#[test]
fn a_moderation_service_signs_with_either_key_and_in_either_name() {
    let world = world();
    let label = key(7, Curve::P256);
    let labeler = format!("{MOD_SERVICE}#atproto_labeler");
    for (number, changes) in [
        json!({ "alg": "ES256", "iss": labeler }),
        json!({ "alg": "ES256", "iss": labeler, "kid": "#atproto_label" }),
        json!({ "alg": "ES256", "kid": "#atproto_label" }),
    ]
    .into_iter()
    .enumerate()
    {
        let changes = Mould { key: label.clone(), ..mould(&world, Auth::Moderator) }
            .with(&json!({ "jti": number.to_string() }))
            .with(&changes);
        let header = format!("Bearer {}", changes.token());
        assert_eq!(ask(&world, Auth::Moderator, &header).unwrap(), Caller::ModerationService);
    }
}

/// Each is a token that no method may take, with the name of the error where it is always the same.
fn bad_tokens(world: &World, auth: Auth) -> Vec<(String, String, Option<&'static str>)> {
    let now = now(world);
    let lxm = method(auth).nsid;
    let mut bad = Vec::new();
    let mut changed = |changes: Value, error| {
        bad.push((changes.to_string(), mould(world, auth).with(&changes).token(), error));
    };
    for aud in [
        Value::Null,
        json!(""),
        json!("pds.example"),
        json!("https://pds.example"),
        json!("did:web:pds.example.com"),
        json!("did:web:pds.exampl"),
        json!("did:web:PDS.example"),
        json!("did:web:pds.example#"),
        json!("did:web:pds.example#bsky_appview"),
        json!("did:web:pds.example#atproto_pds#atproto_pds"),
        json!("did:web:pds.example#atproto_pdsx"),
        json!(" did:web:pds.example"),
        json!(BOB),
        json!("*"),
        json!([PDS]),
        json!({ "did": PDS }),
        json!(7),
    ] {
        let error = aud.is_string().then_some("BadJwtAudience").or(Some("BadJwt"));
        changed(json!({ "aud": aud }), error);
    }
    for other in [
        Value::Null,
        json!(""),
        json!("*"),
        json!("com.atproto.server.getSession"),
        json!(lxm.to_uppercase()),
        json!(lxm.get(..lxm.len() - 1)),
        json!(format!("{lxm}s")),
        json!(format!("{lxm} ")),
        json!(format!("{lxm}#main")),
        json!([lxm]),
        json!(true),
    ] {
        changed(json!({ "lxm": other }), None);
    }
    for exp in [
        Value::Null,
        json!(now),
        json!(now - 1),
        json!(now - 60),
        json!(0),
        json!(-1),
        json!(now + 3600 + 61),
        json!(now * 1000),
        json!(u64::MAX),
        json!(1e300),
        json!((now + 60).to_string()),
        json!([now + 60]),
    ] {
        changed(json!({ "exp": exp }), None);
    }
    for iat in [json!(now + 61), json!(now * 1000), json!("now"), json!(-5)] {
        changed(json!({ "iat": iat }), Some("BadJwt"));
    }
    for nbf in [json!(now + 61), json!(u64::MAX), json!("now")] {
        changed(json!({ "nbf": nbf }), Some("BadJwt"));
    }
    for iss in [
        Value::Null,
        json!(""),
        json!("bob.example.com"),
        json!("did:web:"),
        json!("did:web:nobody.example.com"),
        json!("did:web:alice.example.com"),
        json!("did:web:bob.example.com:path"),
        json!("did:web:localhost"),
        json!("did:web:127.0.0.1"),
        json!("did:key:zQ3shwPdax6jKMbhtzbueGwSjc7RnjsmPcNB1vQUpbKUCN1t1"),
        json!("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"),
        json!(format!("{BOB}#")),
        json!(format!("{BOB}#atproto")),
        json!(format!("{BOB}#atproto_labeler")),
        json!(format!("{BOB}#atproto_pds")),
        json!(format!("{MOD_SERVICE}#")),
        json!(format!("{MOD_SERVICE}#atproto")),
        json!(format!("{MOD_SERVICE}#atproto_labeler")),
        json!(format!("{MOD_SERVICE}#atproto_labeler#")),
        json!(format!(" {BOB}")),
        json!(PDS),
        json!([BOB]),
        json!({}),
    ] {
        changed(json!({ "iss": iss }), None);
    }
    for kid in [
        json!(""),
        json!("atproto"),
        json!("#"),
        json!("#atproto_label"),
        json!("#atproto_pds"),
        json!("#atprotox"),
        json!("##atproto"),
        json!(format!("{BOB}#atproto")),
        json!("../../../dev/null"),
        json!(7),
        json!(["#atproto"]),
    ] {
        changed(json!({ "kid": kid }), None);
    }
    for typ in [
        "at+jwt",
        "AT+JWT",
        "At+Jwt",
        "application/at+jwt",
        "APPLICATION/AT+JWT",
        "refresh+jwt",
        "Refresh+JWT",
        "application/refresh+jwt",
        "dpop+jwt",
        "DPOP+jwt",
        "application/dpop+jwt",
    ] {
        changed(json!({ "typ": typ }), None);
    }
    changed(json!({ "typ": 7 }), None);
    for alg in [
        "none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS256", "PS256", "EdDSA", "ES384", "ES512",
        "ES256", "es256k", "ES256k", "ES256K ", "ES256KR", "Ed25519",
    ] {
        changed(json!({ "alg": alg }), None);
    }
    changed(json!({ "alg": null }), None);
    changed(json!({ "alg": ["ES256K"] }), None);
    changed(json!({ "crit": ["exp"] }), None);
    changed(json!({ "crit": [] }), None);
    changed(json!({ "cnf": { "jkt": "x" } }), None);
    changed(json!({ "jti": "" }), None);
    changed(json!({ "jti": "x".repeat(257) }), None);
    changed(json!({ "jti": 7 }), None);
    // Some hundred bytes above the longest token that is looked at.
    changed(json!({ "long": "x".repeat(6_100) }), None);
    bad.extend(misshapen(world, auth));
    bad.extend(forged(world, auth));
    bad
}

/// Texts that are no tokens.
fn misshapen(world: &World, auth: Auth) -> Vec<(String, String, Option<&'static str>)> {
    let good = mould(world, auth).token();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let twice = format!(r#"{{"iss":"{MOD_SERVICE}",{}"#, &mould(world, auth).claims.to_string()[1..]);
    let texts = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a.b.c".into(),
        "nonsense".into(),
        header.into(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 1]),
        format!("{header}.{claims}.{signature}A"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}=.{signature}"),
        format!("{header}\n.{claims}.{signature}"),
        format!("{claims}.{header}.{signature}"),
        format!("{}.{claims}.{signature}", encode("{}")),
        format!("{}.{claims}.{signature}", encode("null")),
        format!("{}.{claims}.{signature}", encode("[]")),
        format!("{}.{claims}.{signature}", encode("{\"alg\":\"ES256K\"")),
        format!("{header}.{}.{signature}", encode("{}")),
        format!("{header}.{}.{signature}", encode("null")),
        format!("{header}.{}.{signature}", encode("\"x\"")),
        format!("{header}.{}.{signature}", encode(&twice)),
        format!("{header}.{claims}.{}", "A".repeat(86)),
        format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&[0xff; 64])),
        format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&[1; 63])),
        format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&[1; 65])),
        format!("{header}.{claims}.{}", BASE64URL_NOPAD.encode(&[1; 72])),
    ];
    texts.into_iter().map(|text| (format!("the text {text:.60}"), text, None)).collect()
}

/// Tokens that somebody else has signed, or nobody, or that were changed afterwards.
fn forged(world: &World, auth: Auth) -> Vec<(String, String, Option<&'static str>)> {
    let mut bad = Vec::new();
    let good = mould(world, auth).token();
    for index in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'Q' } else { b'A' };
        bad.push((format!("byte {index} changed"), String::from_utf8(bytes).unwrap(), None));
    }
    for seed in 20..30 {
        let other = Mould { key: key(seed, Curve::K256), ..mould(world, auth) };
        bad.push((format!("signed by key {seed}"), other.token(), Some("BadJwtSignature")));
    }
    let p256 = Mould { key: key(5, Curve::P256), ..mould(world, auth) };
    bad.push(("signed on the other curve".into(), p256.with(&json!({ "alg": "ES256" })).token(), None));
    // A shared secret where there is a public key: the oldest trick.
    let public = mould(world, auth).key.verifying_key();
    let keys = [
        public.to_sec1(true),
        public.to_sec1(false),
        public.did_key().into(),
        public.multibase().into(),
        vec![],
    ];
    for (number, secret) in keys.into_iter().chain([world.config.jwt_secret.clone()]).enumerate() {
        for alg in ["HS256", "ES256K"] {
            let mould = mould(world, auth).with(&json!({ "alg": alg }));
            let signed = format!("{}.{}", part(&mould.header), part(&mould.claims));
            let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
            mac.update(signed.as_bytes());
            let tag = mac.finalize().into_bytes();
            let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&tag));
            bad.push((format!("{alg} by secret {number}"), token, None));
            let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&[tag, tag].concat()));
            bad.push((format!("{alg} by secret {number}, twice"), token, None));
        }
    }
    bad
}

#[test]
fn regress_cocoon_none_of_more_than_two_hundred_bad_tokens_is_taken() {
    for auth in WANTED {
        let world = world();
        publish(&world, "did:web:alice.example.com", &key(9, Curve::K256), None);
        let tokens = bad_tokens(&world, auth);
        assert!(tokens.len() > 200, "{} tokens", tokens.len());
        for (what, token, error) in tokens {
            let refusal = match ask(&world, auth, &format!("Bearer {token}")) {
                Err(refusal) => refusal,
                Ok(caller) => panic!("{auth:?} took {what} for {caller:?}"),
            };
            let unanswered = refusal.status() == 502 && refusal.error() == "UpstreamFailure";
            assert!(matches!(refusal.status(), 400 | 401) || unanswered, "{auth:?}, {what}: {refusal}");
            // Where a session's token may stand, what does not look like a service token is refused as one of those.
            if auth == Auth::OptionalService && error.is_some() {
                assert_eq!(Some(refusal.error()), error, "{what}: {refusal}");
            }
        }
    }
}

#[test]
fn each_rule_has_the_name_that_the_reference_server_gives_it() {
    let world = world();
    let now = now(&world);
    let cases = [
        (json!({ "typ": "at+jwt" }), "BadJwtType"),
        (json!({ "exp": now - 1 }), "JwtExpired"),
        (json!({ "aud": "did:web:x.example" }), "BadJwtAudience"),
        (json!({ "lxm": "com.atproto.repo.getRecord" }), "BadJwtLexiconMethod"),
        (json!({ "lxm": null }), "BadJwtLexiconMethod"),
        (json!({ "iss": "bob" }), "BadJwtIss"),
        (json!({ "alg": "HS256" }), "BadJwtSignature"),
        (json!({ "alg": "ES256" }), "AuthenticationRequired"),
        (json!({ "iss": MOD_SERVICE }), "BadJwtSignature"),
        (
            json!({ "iss": "did:key:zQ3shwPdax6jKMbhtzbueGwSjc7RnjsmPcNB1vQUpbKUCN1t1" }),
            "AuthenticationRequired",
        ),
    ];
    for (changes, error) in cases {
        let token = mould(&world, Auth::OptionalService).with(&changes).token();
        let refusal = ask(&world, Auth::OptionalService, &format!("Bearer {token}")).unwrap_err();
        assert_eq!((refusal.status(), refusal.error()), (401, error), "{changes}");
    }
    let token = mould(&world, Auth::OptionalService).with(&json!({ "lxm": CREATE })).token();
    let refusal = ask(&world, Auth::Moderator, &format!("Bearer {token}")).unwrap_err();
    assert_eq!((refusal.status(), refusal.error()), (401, "UntrustedIss"));
}

#[test]
fn a_high_s_is_tolerated_in_a_token() {
    let world = world();
    let token = mould(&world, Auth::OptionalService).token();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    // n - s, n the order of secp256k1.
    let order = data_encoding::HEXLOWER
        .decode(b"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
        .unwrap();
    let mut borrow = 0;
    for (s, n) in signature[32..].iter_mut().rev().zip(order.iter().rev()) {
        let difference = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature));
    assert_eq!(
        ask(&world, Auth::OptionalService, &format!("Bearer {token}")).unwrap(),
        Caller::Service(BOB.parse().unwrap())
    );
}

#[test]
fn a_key_that_has_changed_is_asked_for_once_more_and_an_old_one_does_not_count() {
    let world = world();
    let old = format!("Bearer {}", mould(&world, Auth::OptionalService).token());
    assert!(ask(&world, Auth::OptionalService, &old).is_ok());
    publish(&world, BOB, &key(8, Curve::P256), None);
    let new = Mould { key: key(8, Curve::P256), ..mould(&world, Auth::OptionalService) };
    let new = format!("Bearer {}", new.with(&json!({ "alg": "ES256" })).token());
    let calls = world.faults.calls.get();
    assert!(ask(&world, Auth::OptionalService, &new).is_ok());
    assert_eq!(world.faults.calls.get(), calls + 1);
    let refusal = ask(&world, Auth::OptionalService, &old).unwrap_err();
    assert_eq!(refusal.error(), "AuthenticationRequired", "the key is of another curve now");
    assert_eq!(world.faults.calls.get(), calls + 2, "asked once more, and no more than once");
}

#[test]
fn an_authority_that_does_not_answer_is_no_reason_to_believe_a_token_or_to_call_it_false() {
    let world = world();
    let token = format!("Bearer {}", mould(&world, Auth::OptionalService).token());
    world.faults.planned.set(Some(Fault::Dead(0)));
    let refusal = ask(&world, Auth::OptionalService, &token).unwrap_err();
    assert_eq!((refusal.status(), refusal.error()), (502, "UpstreamFailure"));
    world.faults.planned.set(None);
    assert!(ask(&world, Auth::OptionalService, &token).is_ok());
    // What was learnt ten minutes ago still says who somebody is; an hour ago does not.
    world.faults.planned.set(Some(Fault::Dead(0)));
    for (minutes, status) in [(9, 200), (60, 502)] {
        world.pass_minutes(minutes);
        let token = format!("Bearer {}", mould(&world, Auth::OptionalService).token());
        let got = ask(&world, Auth::OptionalService, &token).map_or_else(|refusal| refusal.status(), |_| 200);
        assert_eq!(got, status, "after {minutes} minutes more");
    }
}

#[test]
fn a_token_of_the_moderation_service_changes_something_once() {
    let world = world();
    let mould = || mould(&world, Auth::Moderator);
    let header = |changes: Value| format!("Bearer {}", mould().with(&changes).token());
    let one = header(json!({ "jti": "one" }));
    assert!(ask(&world, Auth::Moderator, &one).is_ok());
    let refusal = ask(&world, Auth::Moderator, &one).unwrap_err();
    assert_eq!(
        (refusal.status(), refusal.error(), refusal.message()),
        (401, "BadJwt", "jwt was used before")
    );
    assert!(ask(&world, Auth::Moderator, &header(json!({ "jti": "two" }))).is_ok());
    assert!(ask(&world, Auth::Moderator, &header(json!({ "jti": null }))).is_err());
    // To look at something it may be used again.
    let nsid = "com.atproto.server.describeServer";
    let query = Method { auth: Auth::Moderator, ..*table::find(nsid).unwrap() };
    let token = header(json!({ "jti": "three", "lxm": nsid }));
    for _ in 0..2 {
        assert!(block_on(world.host().authenticate(&query, Some(&token))).is_ok());
    }
    // What has ended is not kept.
    world.pass_minutes(120);
    assert!(
        ask(&world, Auth::Moderator, &format!("Bearer {}", mould().with(&json!({ "jti": "one" })).token()))
            .is_ok()
    );
    let rows =
        murmuration_platform::Store::query(&world.shelf.store, "SELECT token FROM spent_token", &[]).unwrap();
    assert_eq!(rows.len(), 1);
}

#[test]
fn a_session_or_the_operator_is_still_taken_where_a_service_is() {
    let world = world();
    let (_, alice) = world.create("alice");
    let access = format!("Bearer {}", alice["accessJwt"].as_str().unwrap());
    let caller = ask(&world, Auth::AccessOrService, &access).unwrap();
    assert_eq!(caller.claims().unwrap().sub.as_str(), alice["did"].as_str().unwrap());
    assert!(ask(&world, Auth::OptionalService, &access).is_err());
    assert!(ask(&world, Auth::Moderator, &access).is_err());
    assert_eq!(ask(&world, Auth::Moderator, "Basic YWRtaW46YWRtaW4=").unwrap(), Caller::Admin);
    assert!(ask(&world, Auth::Moderator, "Basic YWRtaW46d3Jvbmc=").is_err());
    let none = block_on(world.host().authenticate(&method(Auth::OptionalService), None));
    assert_eq!(none.unwrap(), Caller::Anyone);
    let none = block_on(world.host().authenticate(&method(Auth::AccessOrService), None)).unwrap_err();
    assert_eq!((none.status(), none.error()), (401, "AuthMissing"));
}

#[test]
fn an_account_uploads_by_a_service_token_and_a_stranger_does_not() {
    let world = world();
    let upload = method(Auth::AccessOrService);
    let uploader = |token: &str| block_on(world.host().uploader(&upload, Some(&format!("Bearer {token}"))));
    let stranger = uploader(&mould(&world, Auth::AccessOrService).token()).unwrap_err();
    assert_eq!((stranger.status(), stranger.error()), (400, "RepoNotFound"));
    let (_, alice) = world.create("alice");
    assert_eq!(uploader(alice["accessJwt"].as_str().unwrap()).unwrap(), world::did(&alice["did"]));
}
