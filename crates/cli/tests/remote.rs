//! Keys, signatures and the policy server from the command line, and the files that show how they are put together.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod repository;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use pointsman::control::signature::{PublicKey, verify};
use pointsman_harness::child::Child;
use pointsman_harness::files;
use pointsman_harness::http1::{Request, Response};

use repository::pointsman;

fn reported(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A folder with a policy, a key and a signature; and the public key.
fn signed() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let policy = files::root().join("envoy/policies/quickstart.json");
    fs::copy(policy, folder.path().join("policy.json")).unwrap();
    let made = pointsman(folder.path(), &["keygen", "key.pem"]);
    assert!(made.status.success(), "{}", reported(&made).1);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let done = pointsman(folder.path(), &["sign", "--key", "key.pem", "policy.json"]);
    let line = format!("policy.json.sig: signed by {key}\n");
    assert_eq!(reported(&done), (Some(0), line));
    (folder, key)
}

#[test]
fn what_is_signed_checks_and_what_was_changed_does_not() {
    let (folder, key) = signed();
    let check = |key: &str| {
        reported(&pointsman(
            folder.path(),
            &["check", "--public-key", key, "policy.json"],
        ))
    };
    assert_eq!(check(&key).0, Some(0), "{}", check(&key).1);
    let other = PublicKey::from_bytes([7; 32]).to_string();
    let (status, text) = check(&other);
    assert_eq!(status, Some(1));
    assert_eq!(
        text,
        "policy.json:1:1: error: policy: has a signature that no configured key made\nerror: 1 policy would be refused\n"
    );
    let path = folder.path().join("policy.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + " ").unwrap();
    assert_eq!(check(&key).0, Some(1));
    fs::remove_file(folder.path().join("policy.json.sig")).unwrap();
    assert!(check(&key).1.contains("policy: is not signed"));
    assert_eq!(check("short").0, Some(2));
}

#[test]
fn what_would_be_refused_is_not_signed() {
    let (folder, _) = signed();
    fs::write(folder.path().join("broken.json"), "{\"models\": []}").unwrap();
    let sign = |words: &[&str]| {
        reported(&pointsman(
            folder.path(),
            &[&["sign", "--key"], words].concat(),
        ))
    };
    let (status, text) = sign(&["key.pem", "broken.json"]);
    assert_eq!(status, Some(2));
    assert!(
        text.starts_with("error: broken.json:1:1: missing field `backends`"),
        "{text}"
    );
    assert!(!folder.path().join("broken.json.sig").exists());
    let (status, text) = sign(&["policy.json", "policy.json"]);
    assert_eq!(
        (status, text.as_str()),
        (
            Some(2),
            "error: `policy.json` is not an ed25519 secret key in PEM\n"
        )
    );
    let again = reported(&pointsman(folder.path(), &["keygen", "key.pem"]));
    assert_eq!(again.0, Some(2), "a key was overwritten");
}

/// A server of policies.
struct Server {
    _child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path, words: &[&str]) -> Server {
        let child =
            Child::start(Path::new(env!("CARGO_BIN_EXE_pointsman")), folder, words).unwrap();
        let address = child.announced["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        Server {
            _child: child,
            address,
        }
    }

    fn get(&self, path: &str) -> Response {
        Request::get(path).send(self.address).unwrap()
    }
}

#[test]
fn a_policy_is_served_with_its_signature_and_a_tag() {
    let (folder, key) = signed();
    let path = folder.path().join("policy.json");
    let server = Server::start(folder.path(), &["serve-policy", "policy.json"]);
    let first = server.get("/policy.json?x=1");
    assert_eq!(
        (first.status, first.body.clone()),
        (200, fs::read(&path).unwrap())
    );
    let signature = first.header("x-pointsman-signature").unwrap();
    let keys = [PublicKey::parse(&key).unwrap()];
    assert_eq!(
        verify(&first.body, Some(signature.as_bytes()), &keys),
        Ok(())
    );

    let tag = first.header("etag").unwrap().to_owned();
    let known = |tag: &str| {
        let request = Request::get("/policy.json");
        let request = request.header("if-none-match", tag.as_bytes());
        request.send(server.address).unwrap()
    };
    assert_eq!((known(&tag).status, known(&tag).body.len()), (304, 0));
    // A new signature is a new answer, and so is a new document.
    fs::write(folder.path().join("policy.json.sig"), "AAAA\n").unwrap();
    let signed_anew = known(&tag);
    assert_eq!(signed_anew.header("x-pointsman-signature"), Some("AAAA"));
    fs::write(&path, "{}").unwrap();
    let changed = known(signed_anew.header("etag").unwrap());
    assert_eq!((changed.status, changed.text().as_str()), (200, "{}"));

    assert_eq!(server.get("/other").status, 404);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(
        Request::post("/policy.json", b"{}")
            .send(server.address)
            .unwrap()
            .status,
        405
    );
    fs::remove_file(&path).unwrap();
    assert_eq!(server.get("/policy.json").status, 503);
}
