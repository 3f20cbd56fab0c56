//! The system's keyring in earnest: GNOME's, on a bus of its own, open, locked, empty and absent.
//!
//! A test starts this test program again under `dbus-run-session`, where [`Step`]s ask the keyring through the SDK and
//! print what came of it; `secret-tool`, by other authors, reads and writes the same entries. Nothing touches the keyring of
//! whoever runs the test: bus, home and runtime folder are new.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, time::Duration};

use cloud_sdk::{
    ExposeSecret as _,
    auth::{
        SecretStore as _,
        store::{ChainStore, FileStore, KeyringStore, SecretKey, SecretStoreHandle},
    },
};
use tokio::{process::Command, time::timeout};

use crate::lane::skip;

/// The variable that tells the test program under the bus what to do, and the folder it may use.
const STEPS: &str = "CLOUD_SDK_KEYRING_STEPS";
const LIMIT: Duration = Duration::from_secs(40);
const SERVICE: &str = "cloud-sdk-interop";

/// Opens the keyring. It has to be the first call on the bus: any other would start a locked one.
const OPEN: &str = "printf test | gnome-keyring-daemon --unlock --components=secrets --daemonize >/dev/null 2>&1";
/// Opens one that was locked, by starting it anew.
const OPEN_AGAIN: &str =
    "printf test | gnome-keyring-daemon --replace --unlock --components=secrets --daemonize >/dev/null 2>&1";
const LOCK: &str = "dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
    org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null";

/// What the program under the bus does, in order: `get`, `put:VALUE`, `delete`, `chain:VALUE`, `where`, `chain-get`.
async fn steps(words: &str, folder: &Path) {
    let key = SecretKey::new("LOGIN");
    let keyring = KeyringStore::new(SERVICE, folder.join("keyring"));
    let file = SecretStoreHandle::new(FileStore::new(folder.join("fallback")));
    let chain = ChainStore::new(folder.join("places"));
    let chain = chain.or("keyring", SecretStoreHandle::new(keyring.clone())).or("file", file);
    let shown = |value: Option<cloud_sdk::SecretString>| {
        value.map_or_else(|| "nothing".to_owned(), |value| value.expose_secret().to_owned())
    };
    for word in words.split(' ') {
        let done = match word.split_once(':').unwrap_or((word, "")) {
            ("get", _) => keyring.get(&key).await.map(shown),
            ("put", value) => keyring.put(&key, value.into()).await.map(|()| "done".to_owned()),
            ("delete", _) => keyring.delete(&key).await.map(|()| "done".to_owned()),
            ("chain", value) => chain.put(&key, value.into()).await.map(|()| "done".to_owned()),
            ("chain-get", _) => chain.get(&key).await.map(shown),
            ("where", _) => {
                let status = chain.status();
                let mut text = status.place.unwrap_or_else(|| "memory".to_owned());
                status.passed_over.iter().for_each(|passed| write!(text, ",{}", passed.code).unwrap());
                Ok(text)
            }
            (other, _) => panic!("no such step: {other}"),
        };
        println!("@{word}={}", done.unwrap_or_else(|error| error.code().as_str().to_owned()));
    }
}

/// Only of use under the bus; otherwise there is nothing to do but to say so.
#[tokio::test]
async fn the_keyring_is_asked_step_by_step() {
    match std::env::var(STEPS) {
        Ok(orders) => {
            let (folder, words) = orders.split_once('|').unwrap();
            steps(words, Path::new(folder)).await;
        }
        Err(_) => assert!(std::env::var_os(STEPS).is_none()),
    }
}

/// Runs `script` on a bus of its own; `ask STEPS` in it starts this program. Gives the lines with `@`, and those of others.
async fn on_a_bus(script: &str) -> Option<Vec<String>> {
    for program in ["dbus-run-session", "gnome-keyring-daemon", "secret-tool"] {
        if which(program).is_none() {
            skip(
                "the system's keyring",
                format!("{program} is not installed (Debian: gnome-keyring libsecret-tools dbus)"),
            );
            return None;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (home, runtime) = (folder.path().join("home"), folder.path().join("run"));
    for path in [&home, &runtime] {
        fs::create_dir_all(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let ask = format!(
        "ask() {{ {STEPS}=\"{}|$*\" \"{}\" --exact keyring::the_keyring_is_asked_step_by_step --nocapture 2>&1; }}\n",
        folder.path().display(),
        std::env::current_exe().unwrap().display(),
    );
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-c", &format!("{ask}{script}")]).env("HOME", &home).env("XDG_RUNTIME_DIR", &runtime);
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await.expect("the keyring should have answered by now").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<_> = text.lines().filter_map(|line| line.split_once('@')).map(|(_, said)| said.to_owned()).collect();
    println!("{said:?}");
    assert!(!said.is_empty(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Some(said)
}

fn which(program: &str) -> Option<std::path::PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[tokio::test]
async fn a16_an_open_keyring_keeps_a_login_that_others_can_see() {
    let script = format!(
        "{OPEN}\nask get put:first get put:second get\n\
         echo \"@tool=$(secret-tool lookup service {SERVICE} username LOGIN)\"\n\
         printf foreign | secret-tool store --label=x service {SERVICE} username LOGIN\n\
         ask get delete get delete\n\
         echo \"@tool=$(secret-tool lookup service {SERVICE} username LOGIN)\""
    );
    let Some(said) = on_a_bus(&script).await else { return };
    let expected = [
        "get=nothing",
        "put:first=done",
        "get=first",
        "put:second=done",
        "get=second",
        "tool=second",
        "get=foreign",
        "delete=done",
        "get=nothing",
        "delete=done",
        "tool=",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a16_a_locked_keyring_is_locked_and_not_empty_and_the_login_is_there_again_afterwards() {
    let script = format!(
        "{OPEN}\nask chain:one where\n{LOCK}\nask get put:two delete chain-get chain:two where chain-get\n\
         {OPEN_AGAIN}\nask get chain-get chain:three where get chain-get"
    );
    let Some(said) = on_a_bus(&script).await else { return };
    let locked = "store.keyring_locked";
    let expected = [
        "chain:one=done".to_owned(),
        "where=keyring".to_owned(),
        format!("get={locked}"),
        format!("put:two={locked}"),
        format!("delete={locked}"),
        // The login is in there, so nobody says that there is none, nor takes an older one.
        format!("chain-get={locked}"),
        "chain:two=done".to_owned(),
        format!("where=file,{locked}"),
        "chain-get=two".to_owned(),
        // Open again: the older copy is still in it, and is not taken for the login.
        "get=one".to_owned(),
        "chain-get=two".to_owned(),
        "chain:three=done".to_owned(),
        "where=keyring".to_owned(),
        "get=three".to_owned(),
        "chain-get=three".to_owned(),
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a16_a_keyring_without_a_collection_and_no_bus_at_all_are_absent() {
    let Some(said) = on_a_bus(
        "ask get put:one chain-get chain:one where\nDBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere\n\
        export DBUS_SESSION_BUS_ADDRESS\nask get put:two chain-get chain:two where chain-get",
    )
    .await
    else {
        return;
    };
    let absent = "store.keyring_absent";
    let expected = [
        format!("get={absent}"),
        format!("put:one={absent}"),
        "chain-get=nothing".to_owned(),
        "chain:one=done".to_owned(),
        format!("where=file,{absent}"),
        format!("get={absent}"),
        format!("put:two={absent}"),
        "chain-get=one".to_owned(),
        "chain:two=done".to_owned(),
        format!("where=file,{absent}"),
        "chain-get=two".to_owned(),
    ];
    assert_eq!(said, expected);
}
