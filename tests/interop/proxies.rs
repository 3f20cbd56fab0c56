//! nginx and Caddy, as they are packaged, between the SDK and the development cloud.
//!
//! SDK → proxy on a free port → cloud. [`story`] is what a host does all day; it runs through every proxy. Caddy's
//! certificate is its own authority's. A client takes it as an extra root; the story runs in this program once more, with
//! `SSL_CERT_FILE` set, as on a machine that trusts the authority.
//! Wire source: nginx, `ngx_http_proxy_module` (defaults: buffering, HTTP/1.0 to the server, bodies of a bounded
//! size); Caddy 2, `reverse_proxy` behind HTTP/2.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use cloud_dev::{CloudDev, Fault, Running};
use cloud_sdk::{
    Cloud, Config,
    agents::{AiRequest, ChatMessage},
    client::{Client, storage::UploadOptions},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{interval, timeout},
};

use crate::lane::{now, skip};

/// How long a proxy may take to be there, and a story to be told.
const LIMIT: Duration = Duration::from_secs(50);

/// The largest body that nginx lets through: more than a chunk, less than [`LARGE`].
const NGINX_LIMIT_MIB: usize = 7;

/// An upload of three chunks.
const LARGE: usize = 13 * 1024 * 1024 + 1;

/// The variable that carries a [`Way`] to the other half of a test.
const WAY: &str = "INTEROP_WAY";

/// What two words of an answer are apart.
const PACE: Duration = Duration::from_millis(15);

/// A cloud, and the address to reach it at.
#[derive(Debug)]
pub(crate) struct Way(Value);

impl Way {
    pub(crate) fn new(cloud: &Running, url: &str) -> Self {
        let (demo, [ada, _]) = (cloud.demo(), &cloud.demo().people);
        Self(json!({
            "url": url, "key": cloud.publishable_key(), "email": ada.email, "password": ada.password,
            "bucket": demo.bucket, "workspace": demo.workspace_id,
        }))
    }

    fn part(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap()
    }

    /// A host, opened and not signed in, and the folder it keeps things in.
    async fn open(&self) -> (Cloud, TempDir) {
        let home = tempfile::tempdir().unwrap();
        let config = Config::new(self.part("url"), self.part("key"));
        (Cloud::builder(home.path()).config(config).open().await.unwrap().unwrap(), home)
    }

    /// The same, as the first demo person.
    pub(crate) async fn sign_in(&self) -> (Cloud, TempDir) {
        let (cloud, home) = self.open().await;
        let password = self.part("password").to_owned().into();
        cloud.auth().sign_in_with_password(self.part("email"), password).await.unwrap();
        (cloud, home)
    }
}

/// A proxy that ends with this value.
#[derive(Debug)]
struct Proxy {
    folder: TempDir,
    _child: Child,
}

impl Proxy {
    /// Starts `program` with a configuration file; `None` if there is none, which was said then.
    async fn start(program: &str, arguments: &[&str], settings: &str, port: u16) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("settings"), settings.replace("{folder}", folder.path().to_str().unwrap()))
            .unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(find(program)?);
        command.args(arguments).current_dir(&folder).env("HOME", folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let proxy = Self { _child: command.spawn().unwrap(), folder };
        let there = async {
            let mut turns = interval(Duration::from_millis(20));
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                turns.tick().await;
            }
        };
        let there = timeout(LIMIT, there).await;
        there.unwrap_or_else(|_| panic!("{program} does not start: {}", proxy.read("log")));
        Some(proxy)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }
}

/// Where `program` is.
fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|path| path.exists());
    if found.is_none() {
        skip(
            "the SDK behind it",
            format_args!("{program} is not installed (on Debian: apt-get install nginx-light caddy)"),
        );
    }
    found
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks for an answer of some length: its text, and how long it was in coming after its first word.
async fn answer(cloud: &Cloud) -> (String, Duration) {
    let mut stream = cloud.ai().stream(&AiRequest::new([ChatMessage::user("Count to 30")])).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let first: Instant = now();
    let reply = stream.finish().await.unwrap();
    (reply.text, first.elapsed())
}

/// Signs in, reads, streams, meets the limit, uploads more than the limit in chunks, and reads it back.
async fn story(way: &Way) -> (String, Duration) {
    let told = timeout(LIMIT, async {
        let (cloud, _home) = way.sign_in().await;
        let rows = cloud.client().table("workspaces").select(["id"]).fetch::<Value>().await.unwrap();
        assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [way.part("workspace")]);
        let answered = answer(&cloud).await;

        let bucket = cloud.client().storage().bucket(way.part("bucket"));
        let (key, content) = (format!("{}/proxied.bin", way.part("workspace")), bytes(LARGE));
        let options = UploadOptions::default();
        let error = bucket.upload(&key, content.clone(), &options).await.unwrap_err();
        assert_eq!((error.code().as_str(), error.status()), ("storage.too_large", Some(413)), "{error}");
        assert!(!error.is_retryable());
        bucket.upload_resumable(&key, content.clone(), options).unwrap().finish().await.unwrap();
        assert!(bucket.download(&key).bytes(LARGE).await.unwrap() == content, "other bytes came back");
        assert!(cloud.close(Duration::from_secs(5)).await);
        answered
    });
    told.await.expect("the story should be over by now")
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// nginx with its defaults for proxies, and whatever `more` says.
async fn nginx(upstream: &str, more: &str) -> Option<(Proxy, String)> {
    let port = free_port();
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders: String = folders.iter().map(|name| format!("{name}_temp_path {{folder}}/{name};\n")).collect();
    let settings = format!(
        "daemon off; master_process off; pid {{folder}}/pid; error_log stderr;\n\
         events {{}}\n\
         http {{ access_log off; {folders}\n\
         server {{ listen 127.0.0.1:{port}; client_max_body_size {NGINX_LIMIT_MIB}m;\n\
         location / {{ proxy_pass {upstream}; {more} }} }} }}"
    );
    let proxy = Proxy::start("nginx", &["-p", ".", "-e", "stderr", "-c", "settings"], &settings, port).await?;
    Some((proxy, format!("http://127.0.0.1:{port}")))
}

#[tokio::test]
async fn nginx_in_between_changes_nothing_but_the_pace() {
    let cloud = CloudDev::builder().token_pace(PACE).start().await.unwrap();
    // The second one does not heed the cloud's wish to have its streams passed on at once, and has room for all of
    // an answer: one lump at the end.
    let Some((_heeding, heeding)) = nginx(cloud.url(), "").await else { return };
    let deaf = "proxy_ignore_headers X-Accel-Buffering; proxy_buffer_size 128k; proxy_buffers 4 128k;";
    let Some((_lumping, lumping)) = nginx(cloud.url(), deaf).await else { return };
    let (expected, direct) = answer(&Way::new(&cloud, cloud.url()).sign_in().await.0).await;
    let (text, passed) = story(&Way::new(&cloud, &heeding)).await;
    assert_eq!(text, expected);
    let (cloud_in_a_lump, _home) = Way::new(&cloud, &lumping).sign_in().await;
    let (text, lumped) = answer(&cloud_in_a_lump).await;
    assert_eq!(text, expected);
    println!("words came for {direct:?} directly, {passed:?} through nginx, {lumped:?} when it collects them");
    assert!(passed > direct / 2 && lumped < direct / 2, "{direct:?} {passed:?} {lumped:?}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn s01_a_stream_that_nginx_ends_too_early_is_no_answer() {
    // Over HTTP/1.0 the end of the connection is the end of the body: nginx cannot tell a cut, and closes properly.
    let cloud = CloudDev::builder().start().await.unwrap();
    let Some((_nginx, url)) = nginx(cloud.url(), "").await else { return };
    let (app, _home) = Way::new(&cloud, &url).sign_in().await;
    cloud.inject(Fault::cut_body(900).on("/functions/v1/ai-proxy"));
    let mut stream = app.ai().stream(&AiRequest::new([ChatMessage::user("Count to 100")])).await.unwrap();
    let error = stream.finish().await.unwrap_err();
    println!("behind nginx a cut stream is {}", error.code().as_str());
    assert!(["ai.interrupted", "net.cut"].contains(&error.code().as_str()), "{error}");
    assert!(!stream.text().is_empty());
    cloud.shutdown().await;
}

#[tokio::test]
async fn caddy_in_between_speaks_tls_and_http_2() {
    if let Ok(way) = std::env::var(WAY) {
        // The other half, on what takes itself for a machine that trusts Caddy's authority.
        let (text, _) = story(&Way(serde_json::from_str(&way).unwrap())).await;
        println!("text: {}", json!(text));
        return;
    }
    let cloud = CloudDev::builder().start().await.unwrap();
    let port = free_port();
    // Version 2.6 answers a body over its own limit with 502, so a rule refuses what has eight digits of length.
    let settings = format!(
        "{{\nadmin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\nstorage file_system {{folder}}/caddy\n}}\n\
         https://localhost:{port} {{\nbind 127.0.0.1\nlog {{\noutput file {{folder}}/access\nformat json\n}}\n\
         @large header_regexp Content-Length ^[0-9]{{8,}}$\nrespond @large 413\n\
         reverse_proxy {} {{\nheader_up Host {{upstream_hostport}}\n}}\n}}\n",
        cloud.url()
    );
    let arguments = ["run", "--adapter", "caddyfile", "--config", "settings"];
    let Some(caddy) = Proxy::start("caddy", &arguments, &settings, port).await else { return };
    let way = Way::new(&cloud, &format!("https://localhost:{port}"));

    // Nobody trusts it yet: nothing is sent, and no password with it.
    let (app, _home) = way.open().await;
    let password = way.part("password").to_owned().into();
    let error = app.auth().sign_in_with_password(way.part("email"), password).await.unwrap_err();
    assert_eq!(error.code().as_str(), "net.tls", "{error}");
    assert_eq!(caddy.read("access"), "");

    // A client that is given the authority trusts it.
    let root = caddy.folder.path().join("caddy/pki/authorities/local/root.crt");
    let given =
        Client::builder(way.part("url"), way.part("key")).unwrap().extra_root(&fs::read(&root).unwrap()).unwrap();
    let rows = given.build().table("workspaces").select(["id"]).fetch::<Value>().await.unwrap();
    assert_eq!(rows.len(), 0, "nobody is signed in");

    let told = timeout(LIMIT, trusting(&root, &way)).await.expect("the other half should be over by now");
    let (expected, _) = answer(&Way::new(&cloud, cloud.url()).sign_in().await.0).await;
    assert!(told.lines().any(|line| line == format!("text: {}", json!(expected))), "{told}");
    let log = caddy.read("access");
    let requests: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(requests.len() > 8, "{log}");
    assert!(requests.iter().all(|line| line["request"]["proto"] == "HTTP/2.0"), "{log}");
    cloud.shutdown().await;
}

/// Runs the other half of the test of Caddy, and gives what it said.
async fn trusting(root: &Path, way: &Way) -> String {
    let mut half = Command::new(std::env::current_exe().unwrap());
    half.args(["--exact", "--nocapture", "proxies::caddy_in_between_speaks_tls_and_http_2"]);
    half.env("SSL_CERT_FILE", root).env(WAY, way.0.to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let output = half.output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}
