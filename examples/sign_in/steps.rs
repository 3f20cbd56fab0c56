//! The steps, each with its check.
use std::{path::Path, time::Duration};

use cloud_dev::{CloudDev, Running};
use cloud_sdk::{
    Cloud, Config,
    auth::{
        Scope,
        oauth::{Attempt, SystemBrowser},
        status::{AuthStatus, User},
    },
};
use tokio::sync::oneshot;

use crate::{
    args::Args,
    headless::browse,
    report::{Cause, Failure, Report, check, note, plain},
};

/// How long to wait for background work when a start ends.
const CLOSING: Duration = Duration::from_secs(5);

/// Where the story is set.
struct Stage {
    embedded: Option<Running>,
    config: Config,
}

pub async fn run(args: &Args, report: &mut Report) -> Result<Vec<(String, String)>, Failure> {
    let title = if args.url.is_some() { "Use the project" } else { "Start the embedded cloud" };
    let (stage, home) = report.step(title, open_stage(args)).await?;
    let state = home.path();
    let (cloud, user) = report.step("Sign in through the browser", sign_in(args, &stage, state)).await?;
    report.step("Ask the cloud who is signed in", ask(&cloud, &user)).await?;
    let cloud = report.step("Start again with what was stored", start_again(&stage, cloud, &user, state)).await?;
    report.step("Sign out", sign_out(cloud)).await?;
    if let Some(embedded) = stage.embedded {
        embedded.shutdown().await;
    }
    Ok(vec![
        ("person".to_owned(), shown(&user)),
        ("provider".to_owned(), args.provider.clone()),
        ("session".to_owned(), "survived a restart, renewed once, ended".to_owned()),
    ])
}

async fn open_stage(args: &Args) -> Result<(Stage, tempfile::TempDir), Cause> {
    let home = tempfile::tempdir()?;
    if let (Some(url), Some(key)) = (&args.url, &args.key) {
        let config = Config::new(url.as_str(), key.as_str());
        config.check()?;
        note(format_args!("{url}"));
        return Ok((Stage { embedded: None, config }, home));
    }
    let cloud = CloudDev::builder().start().await.map_err(|error| Cause::Check(error.to_string()))?;
    note(format_args!("{}, in memory, for this machine only", cloud.url()));
    let config = Config::new(cloud.url(), cloud.publishable_key());
    Ok((Stage { embedded: Some(cloud), config }, home))
}

async fn open(stage: &Stage, state: &Path) -> Result<Cloud, Cause> {
    let opened = Cloud::builder(state).config(stage.config.clone()).open().await?;
    opened.ok_or_else(|| Cause::Check("the cloud is not configured".into()))
}

async fn sign_in(args: &Args, stage: &Stage, state: &Path) -> Result<(Cloud, User), Cause> {
    let cloud = open(stage, state).await?;
    let sign_in = cloud.auth().sign_in_with_browser(&args.provider);
    let user = match &stage.embedded {
        Some(embedded) if args.headless => {
            let mut attempt = sign_in.begin().await?;
            let (url, email) = (attempt.url().to_owned(), embedded.demo().people[0].email.clone());
            note(format_args!("no browser: this program says on the page that it is {email}"));
            // A page that goes nowhere ends both: nobody would come back.
            let (user, ()) = tokio::try_join!(async { Ok(attempt.wait().await?) }, browse(&url, &email))?;
            user
        }
        _ if args.paste => {
            let mut attempt = sign_in.begin().await?;
            note("open this address in a browser, on any device:");
            note(attempt.url());
            pasted(&mut attempt).await?
        }
        _ => {
            let mut attempt = sign_in.open(&SystemBrowser).await?;
            match attempt.opener_error() {
                None => note("your browser has been opened; if you do not see it, open this address:"),
                Some(_) => note("no browser could be opened here; open this address in one:"),
            }
            note(attempt.url());
            note("waiting for it to come back (five minutes at most; Ctrl-C gives up)");
            attempt.wait().await?
        }
    };
    note(shown(&user));
    Ok((cloud, user))
}

/// The browser may come back by itself; if it cannot, the person brings the address.
async fn pasted(attempt: &mut Attempt) -> Result<User, Cause> {
    note("then paste here the address where the browser ends, or the code in it:");
    let line = tokio::select! {
        user = attempt.wait() => return Ok(user?),
        line = typed() => line?,
    };
    let line = line.ok_or_else(|| Cause::Check("nothing was pasted".into()))?;
    Ok(attempt.complete(&line).await?)
}

/// One line of the terminal. Nothing ends such a read, so it has a thread of its own: the runtime waits for its threads.
async fn typed() -> std::io::Result<Option<String>> {
    let (reply, line) = oneshot::channel();
    let read = || drop(reply.send(std::io::stdin().lines().next().transpose()));
    std::thread::Builder::new().name("terminal".to_owned()).spawn(read)?;
    line.await.unwrap_or(Ok(None))
}

async fn ask(cloud: &Cloud, user: &User) -> Result<(), Cause> {
    let AuthStatus::SignedIn(session) = cloud.auth().status() else {
        return Err(Cause::Check("the status does not say that somebody is signed in".into()));
    };
    check(session.user.id == user.id, "the status names somebody else")?;
    check(session.stored, "the session could not be stored")?;
    let account = cloud.auth().account();
    check(account.fetch().await?.id == user.id, "the cloud knows somebody else")?;
    let by: Vec<_> = account.identities().await?.into_iter().map(|identity| identity.provider).collect();
    note(format_args!("id {}, known to the cloud by: {}", user.id, plain(&by.join(", "))));
    Ok(())
}

async fn start_again(stage: &Stage, cloud: Cloud, user: &User, state: &Path) -> Result<Cloud, Cause> {
    cloud.close(CLOSING).await;
    drop(cloud);
    let cloud = open(stage, state).await?;
    let AuthStatus::SignedIn(session) = cloud.auth().settled().await else {
        return Err(Cause::Check("the login is gone".into()));
    };
    check(session.user.id == user.id, "somebody else is signed in")?;
    cloud.auth().refresh().await?;
    note("still signed in, and the session could be renewed");
    Ok(cloud)
}

async fn sign_out(cloud: Cloud) -> Result<(), Cause> {
    let outcome = cloud.auth().sign_out(Scope::Local).await?;
    outcome.removed?;
    outcome.revoked?;
    check(!cloud.auth().status().is_signed_in(), "somebody is still signed in")?;
    note("nothing is stored any more, and the cloud has ended the session");
    cloud.close(CLOSING).await;
    Ok(())
}

fn shown(user: &User) -> String {
    let name = user.user_metadata.get("name").and_then(|name| name.as_str()).unwrap_or_default();
    let email = user.email.as_deref().unwrap_or("no address");
    plain(&if name.is_empty() { email.to_owned() } else { format!("{name} <{email}>") })
}
