//! Python's clients take the development cloud for the real thing: supabase-py, realtime and openai.
//!
//! `py/requirements.txt` → an environment of its own below the target directory, made once → a script of `py/` →
//! checks. Without Python, its `venv` or a registry the tests say so and pass, as those of [`clients`](crate::clients).

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use cloud_dev::{Builder, CloudDev};
use tokio::{
    process::Command,
    sync::OnceCell,
    time::{interval, timeout},
};

use crate::lane::{Lane, skip};

/// How long one step of the installation may take, waiting for another one included.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// How often to ask for the file lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

/// An environment with packages in it.
#[derive(Debug)]
pub(crate) struct Environment {
    folder: PathBuf,
}

/// Why there is none; nothing was tested then.
#[derive(Debug)]
pub(crate) enum Unavailable {
    NoPython(String),
    CannotInstall(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPython(reason) => {
                write!(f, "Python makes no environment (on Debian: apt-get install python3-venv; {reason})")
            }
            Self::CannotInstall(reason) => write!(f, "pip cannot install the clients ({reason})"),
        }
    }
}

impl Environment {
    /// The environment `name` with what `requirements` name, installed unless it is there already.
    pub(crate) async fn install(name: &str, requirements: &str) -> Result<Self, Unavailable> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let lock = fs::File::create(folder.join("install.lock")).unwrap();
        let locked = async {
            let mut turns = interval(LOCK_INTERVAL);
            while let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
                turns.tick().await;
            }
        };
        let waited = timeout(INSTALL_LIMIT, locked).await;
        waited.map_err(|_| Unavailable::CannotInstall("another installation does not end".to_owned()))?;
        let (environment, stamp) = (Self { folder }, "installed.txt");
        if fs::read_to_string(environment.folder.join(stamp)).is_ok_and(|installed| installed == requirements) {
            return Ok(environment);
        }
        let wanted = environment.folder.join("requirements.txt");
        fs::write(&wanted, requirements).unwrap();
        let mut venv = Command::new(PYTHON);
        venv.args(["-m", "venv", "--clear"]).arg(environment.folder.join("venv"));
        run(venv).await.map_err(Unavailable::NoPython)?;
        let mut pip = environment.program("python");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "-r"]);
        pip.arg(&wanted);
        run(pip).await.map_err(Unavailable::CannotInstall)?;
        fs::write(environment.folder.join(stamp), requirements).unwrap();
        println!("installed {name} in {}", environment.folder.display());
        Ok(environment) // the lock goes with its file
    }

    /// A program of the environment.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut program =
            Command::new(self.folder.join(if cfg!(windows) { "venv/Scripts" } else { "venv/bin" }).join(name));
        program.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "127.0.0.1").env_remove("PYTHONPATH");
        program
    }
}

/// Runs a step of the installation; what it said last if it fails.
async fn run(mut command: Command) -> Result<(), String> {
    let output = timeout(INSTALL_LIMIT, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = output.map_err(|_| format!("not done after {INSTALL_LIMIT:?}"))?.map_err(|error| error.to_string())?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = out.lines().chain(err.lines()).rfind(|line| !line.trim().is_empty());
    if output.status.success() { Ok(()) } else { Err(format!("{}, {}", output.status, said.unwrap_or_default())) }
}

async fn lane(script: &'static str, checks: usize, cloud: Builder) {
    static CLIENTS: OnceCell<Result<Environment, Unavailable>> = OnceCell::const_new();
    let install = || Environment::install("interop-python", include_str!("py/requirements.txt"));
    match CLIENTS.get_or_init(install).await {
        Ok(clients) => {
            let mut python = clients.program("python");
            python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/py").join(script));
            Lane { script, checks }.judge(python, cloud).await;
        }
        Err(reason) => skip(script, reason),
    }
}

#[tokio::test]
async fn supabase_py_signs_in_and_uses_tables_files_and_functions() {
    lane("supabase_client.py", 15, CloudDev::builder()).await;
}

#[tokio::test]
async fn supabase_py_signs_in_in_every_way_it_knows() {
    lane("supabase_sign_in.py", 11, CloudDev::builder().open_controls()).await;
}

#[tokio::test]
async fn realtime_for_python_subscribes_and_hears() {
    lane("realtime_client.py", 3, CloudDev::builder()).await;
}

#[tokio::test]
async fn openai_for_python_streams_from_the_proxy() {
    lane("openai_client.py", 7, CloudDev::builder().heed_fault_header()).await;
}
