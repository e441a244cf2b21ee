//! The same Worker under wrangler: `npx wrangler dev` answers, with every binding emulated, and
//! `npx wrangler deploy --dry-run` passes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_tests::{Account, Client};
use serde_json::json;
use xtask::child::{Child, Echo};
use xtask::plc::Plc;
use xtask::state::State;
use xtask::tools::Tools;
use xtask::worker::MODEL;
use xtask::{config, ports};

/// wrangler reads the configuration, builds (nothing to do), bundles and starts: seconds, on a busy machine a minute.
const PATIENCE: Duration = Duration::from_secs(180);

fn wrangler(arguments: &[&str]) -> Command {
    let root = xtask::root();
    Tools::to_run(&root).unwrap();
    let mut command = Command::new("npx");
    command.args(["--no-install", "wrangler"]).args(arguments).current_dir(root);
    command.env("CI", "true").env("WRANGLER_SEND_METRICS", "false").env("WRANGLER_HIDE_BANNER", "true");
    command
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("murmuration-wrangler-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

#[test]
fn deploy_passes_a_dry_run() {
    let folder = folder("dry");
    let output = wrangler(&["deploy", "--dry-run", "--outdir", folder.to_str().unwrap()]).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for binding in ["AGENT", "RELAY", "DIRECTORY", "BLOBS", "ASSETS"] {
        assert!(text.contains(binding), "no {binding}: {text}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn dev_hosts_an_account_with_a_record_and_a_blob() {
    let folder = folder("dev");
    let state = State::open(&folder).unwrap();
    let plc = Plc::start(&xtask::root(), &state, Echo::Keep).unwrap();
    let port = ports::free(None).unwrap().to_string();
    let url = format!("http://127.0.0.1:{port}");
    let mut variables = vec![
        format!("PLC_URL:{}", plc.url()),
        format!("PUBLIC_URL:http://localhost:{port}"),
        "ALLOW_PRIVATE_NETWORK:true".to_owned(),
    ];
    variables.extend(
        config::environment(state.secrets()).into_iter().map(|(name, value)| format!("{name}:{value}")),
    );
    let storage = state.path("wrangler");
    let inspector = ports::free(None).unwrap().to_string();
    let mut arguments =
        vec!["dev", "--local", "--ip", "127.0.0.1", "--port", &port, "--inspector-port", &inspector];
    arguments.extend(["--show-interactive-dev-session=false", "--persist-to", storage.to_str().unwrap()]);
    for variable in &variables {
        arguments.extend(["--var", variable]);
    }
    let mut dev = Child::start("wrangler", wrangler(&arguments), Echo::Keep).unwrap();
    let client = Client::new(&url);
    let end = Instant::now() + PATIENCE;
    while !client.try_path("/xrpc/_health").is_ok_and(|answer| answer.status == 200) {
        assert!(dev.ended().is_none() && Instant::now() < end, "{}", dev.log().tail(100));
        thread::sleep(Duration::from_millis(50));
    }

    let body = json!({ "handle": "carol.test", "email": "carol@example.com", "password": Account::PASSWORD });
    let answer = client.post("com.atproto.server.createAccount", &body);
    assert_eq!(answer.status, 200, "{}\n{}", answer.text(), dev.log().tail(100));
    let carol = Account::of(&answer.json());
    let client = client.with_token(&carol.access);

    let bytes = b"\x89PNG\r\n\x1a\n not quite a picture";
    let blob =
        client.post_bytes("com.atproto.repo.uploadBlob", "image/png", bytes).ok().json()["blob"].clone();
    let record = json!({
        "$type": "app.bsky.actor.profile",
        "displayName": "Carol",
        "avatar": blob,
    });
    let body = json!({ "repo": carol.did, "collection": "app.bsky.actor.profile", "rkey": "self", "record": record });
    let uri = client.post("com.atproto.repo.putRecord", &body).ok().json()["uri"].clone();
    assert_eq!(uri, format!("at://{}/app.bsky.actor.profile/self", carol.did));
    let parameters =
        [("repo", carol.handle.as_str()), ("collection", "app.bsky.actor.profile"), ("rkey", "self")];
    let found = client.get("com.atproto.repo.getRecord", &parameters).ok().json();
    assert_eq!(found["value"]["displayName"], "Carol");
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let found = client.get("com.atproto.sync.getBlob", &[("did", &carol.did), ("cid", cid)]).ok();
    assert_eq!(found.body, bytes);

    // The model is there to search with, and for nobody else.
    let anybody = Client::new(&url);
    let found = anybody.get("agent.memory.searchMemories", &[("q", "a picture")]).ok().json();
    assert_eq!(found["degraded"], json!([]), "{}", dev.log().tail(100));
    let model = MODEL.rsplit('/').next().unwrap();
    assert_eq!(anybody.path(&format!("/{model}")).status, 404);

    drop(dev);
    plc.stop();
    fs::remove_dir_all(&folder).unwrap();
}
