//! `cloud-dev serve`: the development cloud in a terminal.
//!
//! Flags → [`CloudDev::builder`] → what to paste into another terminal → serves until ctrl-c.

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use cloud_dev::{CloudDev, RealtimeOptions, Running, StartError};

/// A small cloud of the Supabase shape for development: accounts, tables, files, functions and live connections, on SQLite.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until ctrl-c, on this machine only.
    Serve(Serve),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cloud-dev serve\n  cloud-dev serve --data ./cloud-data --port 54321\n  \
    cloud-dev serve --ai-upstream http://127.0.0.1:11434/v1\n\n\
    Environment:\n  CLOUD_DEV_AI_KEY  the key that the AI upstream wants, if any")]
struct Serve {
    /// Port of 127.0.0.1 to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 54321)]
    port: u16,
    /// Keep data, files and keys in this directory; without it, everything is forgotten at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Forward AI requests to a server that speaks OpenAI's API (the address up to and with /v1).
    #[arg(long, value_name = "URL")]
    ai_upstream: Option<String>,
    /// Let requests ask for failures with the header x-cloud-dev-fault: status=503; retry-after=2, html,
    /// lose-reply, lose-request, cut=10 (bytes) or delay-ms=50.
    #[arg(long)]
    faults: bool,
    /// Make new accounts wait until the code or link in a mail is used; mails are printed here.
    #[arg(long)]
    confirm_email: bool,
    /// Where browsers may end besides http://localhost:3000 and IP addresses of this machine; * and ** are wildcards.
    #[arg(long, value_name = "PATTERN")]
    allow_redirect: Vec<String>,
    /// Answer single sign-on for this domain, with the page of the built-in provider.
    #[arg(long, value_name = "DOMAIN")]
    sso_domain: Vec<String>,
    /// Let programs with the key read the mails and steer accounts, under /dev/v1/.
    #[arg(long)]
    controls: bool,
    /// Serve live topics room:… as a plain Phoenix server would: echo, fail, shout, push, silent, late, crash, stop.
    #[arg(long)]
    rooms: bool,
    /// How long an access token is good.
    #[arg(long, value_name = "SECS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    token_lifetime: u64,
    /// Forget the data of the directory first; its keys stay.
    #[arg(long, requires = "data")]
    reset: bool,
    /// Print one line of JSON when ready, instead of the text for people.
    #[arg(long)]
    json: bool,
}

/// Pause before each token of the built-in model, so that a stream looks like one.
const TOKEN_PACE: Duration = Duration::from_millis(15);

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Serve(serve) = Cli::parse().command;
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            if let Some(advice) = error.downcast_ref().and_then(advice) {
                eprintln!("{advice}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> Result<(), Box<dyn Error>> {
    let mut builder = CloudDev::builder()
        .port(serve.port)
        .access_token_lifetime(Duration::from_secs(serve.token_lifetime))
        .token_pace(TOKEN_PACE);
    if let Some(data) = &serve.data {
        if serve.reset {
            builder = builder.discard_data();
        }
        builder = builder.data_dir(data);
    }
    if let Some(upstream) = &serve.ai_upstream {
        builder = builder.ai_upstream(upstream);
        if let Ok(key) = std::env::var("CLOUD_DEV_AI_KEY") {
            builder = builder.ai_upstream_key(key);
        }
    }
    if serve.rooms {
        builder = builder.realtime(RealtimeOptions::default().rooms());
    }
    if serve.faults {
        builder = builder.heed_fault_header();
    }
    if serve.confirm_email {
        builder = builder.require_email_confirmation();
    }
    for pattern in &serve.allow_redirect {
        builder = builder.allow_redirect(pattern);
    }
    for domain in &serve.sso_domain {
        builder = builder.sso_domain(domain);
    }
    if serve.controls {
        builder = builder.open_controls();
    }
    let cloud = builder.start().await?;
    // In place before anybody is told that we are ready: a signal from then on is an orderly end.
    let end = end_signal()?;
    if serve.json {
        println!("{}", ready(&cloud));
    } else {
        print!("{}", welcome(&cloud, &serve));
    }
    tokio::select! {
        () = end => {}
        () = print_mails(&cloud, serve.json) => {}
    }
    cloud.shutdown().await;
    Ok(())
}

/// Prints the mails as they come, for ever: this is where they are delivered to.
async fn print_mails(cloud: &Running, json: bool) {
    let mut seen = 0;
    loop {
        let mail = cloud.mail_after(seen).await;
        seen = mail.number;
        let link = mail.link.as_deref();
        if json {
            let mail = serde_json::json!({ "to": mail.to, "kind": mail.kind, "code": mail.code, "link": link });
            println!("{}", serde_json::json!({ "mail": mail }));
        } else {
            println!("\nMail to {} ({}): code {}", mail.to, mail.kind, mail.code);
            link.iter().for_each(|link| println!("  {link}"));
        }
    }
}

/// Ctrl-c, or a polite request of the system to end.
#[cfg(unix)]
fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ctrl-c.
#[cfg(windows)]
fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move { drop(interrupt.recv().await) })
}

fn advice(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::PortInUse { .. } => {
            Some("Stop the program that listens there, or choose another port: --port 0 takes any free one.")
        }
        StartError::DataDirInUse { .. } => Some("Stop the other one, or choose another directory with --data."),
        StartError::DataDir { .. } => Some("Choose a directory that can be made and written with --data."),
        StartError::Upstream { .. } => Some("Give an address such as http://127.0.0.1:11434/v1 with --ai-upstream."),
        StartError::Database { .. } => Some("If the data may go, start with --reset."),
        _ => None,
    }
}

fn ready(cloud: &Running) -> serde_json::Value {
    let demo = cloud.demo();
    let people = demo.people.each_ref().map(
        |person| serde_json::json!({ "email": person.email, "password": person.password, "user_id": person.user_id }),
    );
    serde_json::json!({
        "url": cloud.url(),
        "anon_key": cloud.anon_key(),
        "publishable_key": cloud.publishable_key(),
        "demo": {
            "org_id": demo.org_id,
            "workspace_id": demo.workspace_id,
            "agent_slug": demo.agent_slug,
            "bucket": demo.bucket,
            "people": people,
        },
    })
}

fn welcome(cloud: &Running, serve: &Serve) -> String {
    let (url, key, demo) = (cloud.url(), cloud.publishable_key(), cloud.demo());
    let kept = match &serve.data {
        Some(data) => format!("kept in {}", data.display()),
        None => "in memory, forgotten at the end (--data DIR keeps it)".to_owned(),
    };
    let model =
        serve.ai_upstream.as_deref().unwrap_or("the built-in development model (--ai-upstream URL for a real one)");
    let [ada, grace] = &demo.people;
    format!(
        "Development cloud ready, on this machine only. Ctrl-c stops it.\n\n\
         \x20 URL              {url}\n\
         \x20 Publishable key  {key}\n\
         \x20 Anon key         {anon}\n\
         \x20 Data             {kept}\n\
         \x20 AI               {model}\n\n\
         Sign in as\n\
         \x20 {ada}  password {ada_password}\n\
         \x20 {grace}  password {grace_password}\n\
         in the workspace {workspace} of the organisation {org},\n\
         where the agent {agent} answers. Files of the workspace are in the bucket {bucket},\n\
         under {workspace}/.\n\n\
         For another terminal:\n\
         \x20 export CLOUD_URL={url} CLOUD_KEY={key}\n\n\
         \x20 curl -s \"$CLOUD_URL/auth/v1/token?grant_type=password\" -H \"apikey: $CLOUD_KEY\" \\\n\
         \x20   -H 'content-type: application/json' \\\n\
         \x20   -d '{{\"email\":\"{ada}\",\"password\":\"{ada_password}\"}}'\n",
        anon = cloud.anon_key(),
        ada = ada.email,
        ada_password = ada.password,
        grace = grace.email,
        grace_password = grace.password,
        workspace = demo.workspace_id,
        org = demo.org_id,
        agent = demo.agent_slug,
        bucket = demo.bucket,
    )
}
