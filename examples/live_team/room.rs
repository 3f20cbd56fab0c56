//! What happens: people come, talk, lose the network, go on, and find each other again.
use std::time::{Duration, Instant};

use cloud_dev::{CloudDev, Running};
use cloud_sdk::{Config, sync::Place};

use crate::{
    args::Args,
    figures::{Ledger, percentile},
    person::{Account, LIMIT, Person},
    screen::{self, Problem, spent},
};

const NAMES: [&str; 3] = ["Ada", "Grace", "Linus"];
const FILES: [&str; 3] = ["src/parser.rs", "src/lexer.rs", "docs/plan.md"];
const TALK: [&str; 6] = [
    "Good morning. Shall we look at the parser first?",
    "Yes, the lexer is done and its tests are green.",
    "I'll take the error messages then.",
    "Mind the case with an empty line at the end.",
    "It has a test now, thanks.",
    "Fine. Let's see how fast it is.",
];
/// How long the network is away.
const CUT: Duration = Duration::from_millis(1500);
const LINUS_PASSWORD: &str = "linus-demo-password";

/// The cloud, and how it is taken away.
enum Stage {
    Embedded(Box<Running>),
    Project,
}

pub async fn run(args: &Args) -> Result<(), Problem> {
    let ledger = Ledger::default();
    let (place, people) = enter(args, &ledger).await?;
    everybody_is_there(&people).await?;

    screen::event("talking");
    let mut ids = talk(&people, usize::from(args.lines), 0, &ledger).await?;

    screen::event(format_args!("the network is cut for {}", spent(CUT)));
    cut(&place, &people).await?;
    let kept = talk_alone(&people).await?;
    tokio::time::sleep(CUT).await;
    let back = Instant::now();
    heal(&place, &people);
    let count = ids.len() + kept.len();
    for person in &people {
        person.has(count).await?;
    }
    screen::event(format_args!("the network is back; everybody had all {count} lines {} later", spent(back.elapsed())));
    let missed = kept.len();
    let mut all = ids.clone();
    all.extend(kept);
    for person in &people {
        person.notices("being live again", |noticed| noticed.live).await?;
    }

    screen::event("talking again");
    let again = talk(&people, usize::from(args.lines), 3, &ledger).await?;
    all.extend(again.iter().cloned());
    ids.extend(again);
    for person in &people {
        person.has(all.len()).await?;
    }
    summary(&people, &all, missed, &ledger.latencies(&ids)).await?;
    for person in &people {
        person.cloud.close(Duration::from_secs(5)).await;
    }
    if let Stage::Embedded(cloud) = place {
        cloud.shutdown().await;
    }
    Ok(())
}

async fn enter(args: &Args, ledger: &Ledger) -> Result<(Stage, Vec<Person>), Problem> {
    let account = |number: usize, name: &str, email: &str, password: &str| Account {
        number,
        name: name.to_owned(),
        email: email.to_owned(),
        password: password.to_owned(),
    };
    let (place, config, accounts, workspace) = if let (Some(url), Some(key)) = (&args.url, &args.key) {
        let password = args.password.as_deref().unwrap_or_default();
        let each = args.accounts.iter().enumerate();
        let accounts = each.map(|(n, email)| account(n, email.split('@').next().unwrap_or(email), email, password));
        (
            Stage::Project,
            Config::new(url, key.as_str()),
            accounts.collect::<Vec<_>>(),
            args.workspace.clone().unwrap_or_default(),
        )
    } else {
        screen::event("starting an embedded cloud");
        let cloud = CloudDev::builder().start().await.map_err(|error| Problem(error.to_string()))?;
        let config = Config::new(cloud.url(), cloud.publishable_key());
        let mut accounts: Vec<_> = cloud
            .demo()
            .people
            .iter()
            .zip(NAMES)
            .enumerate()
            .map(|(n, (person, name))| account(n, name, &person.email, &person.password))
            .collect();
        accounts.push(account(2, NAMES[2], "linus@example.com", LINUS_PASSWORD));
        sign_up_linus(&cloud, &config).await?;
        let workspace = cloud.demo().workspace_id.clone();
        (Stage::Embedded(Box::new(cloud)), config, accounts, workspace)
    };
    screen::event("coming in");
    let mut people = Vec::new();
    for account in accounts {
        let name = account.name.clone();
        let person = Person::enter(account, config.clone(), &workspace, ledger).await?;
        person.notices("going live", |noticed| noticed.live).await?;
        screen::note(format_args!("{name} is here, live"));
        people.push(person);
    }
    Ok((place, people))
}

/// The embedded cloud knows two people; the third makes an account and is taken into their organisation.
async fn sign_up_linus(cloud: &Running, config: &Config) -> Result<(), Problem> {
    let home = tempfile::tempdir()?;
    let opened = cloud_sdk::Cloud::builder(home.path()).config(config.clone()).open().await?;
    let app = opened.ok_or_else(|| Problem("no address and key".to_owned()))?;
    let data = serde_json::Map::from_iter([("display_name".to_owned(), NAMES[2].into())]);
    app.auth().sign_up("linus@example.com", LINUS_PASSWORD.into(), Some(data)).await?;
    cloud.add_member("linus@example.com").await;
    app.close(Duration::from_secs(5)).await;
    Ok(())
}

async fn everybody_is_there(people: &[Person]) -> Result<(), Problem> {
    for (person, file) in people.iter().zip(FILES) {
        person.cloud.set_place(Some(Place::file(file)));
    }
    for person in people {
        let all = person.notices("seeing everybody", |noticed| {
            noticed.present.iter().filter(|(_, file)| file.is_some()).count() == people.len()
        });
        let there = all.await?.present;
        let others = there.iter().filter(|(name, _)| *name != person.name);
        let others: Vec<_> =
            others.map(|(name, file)| format!("{name} in {}", file.as_deref().unwrap_or("the workspace"))).collect();
        screen::note(format_args!("{} sees {}", person.name, others.join(" and ")));
    }
    Ok(())
}

/// Everybody says `lines` lines, in turn; each is waited for until both others have heard it.
async fn talk(people: &[Person], lines: usize, first: usize, ledger: &Ledger) -> Result<Vec<String>, Problem> {
    let mut ids = Vec::new();
    for (turn, person) in (0..lines * people.len()).map(|turn| (turn, &people[turn % people.len()])) {
        let others = || people.iter().filter(|other| other.user != person.user);
        if turn < people.len() {
            person.cloud.typing();
            for other in others() {
                other.notices("seeing somebody type", |noticed| noticed.typing.contains(&person.user)).await?;
            }
            screen::note(format_args!("{} is typing …", person.name));
        }
        let text = TALK[(first + turn) % TALK.len()];
        let id = person.say(text).await?;
        let heard = tokio::time::timeout(LIMIT, ledger.heard_by(&id, people.len() - 1)).await;
        heard.map_err(|_| Problem(format!("not everybody heard what {} said", person.name)))?;
        screen::said(person.number, &person.name, text, &ledger.arrivals(&id));
        ids.push(id);
    }
    Ok(ids)
}

/// What is written while nobody hears it.
async fn talk_alone(people: &[Person]) -> Result<Vec<String>, Problem> {
    let mut ids = Vec::new();
    for round in 1..=2 {
        for person in people {
            let text = format!("Is anybody there? ({round} of 2)");
            ids.push(person.say(&text).await?);
            screen::said(person.number, &person.name, &text, &[]);
        }
    }
    Ok(ids)
}

async fn cut(place: &Stage, people: &[Person]) -> Result<(), Problem> {
    match place {
        Stage::Embedded(cloud) => cloud.set_offline(true),
        Stage::Project => people.iter().for_each(|person| person.cloud.realtime().disconnect()),
    }
    for person in people {
        person.notices("noticing the cut", |noticed| !noticed.live).await?;
    }
    screen::note("everybody knows, and goes on writing");
    Ok(())
}

fn heal(place: &Stage, people: &[Person]) {
    match place {
        Stage::Embedded(cloud) => cloud.set_offline(false),
        Stage::Project => people.iter().for_each(|person| person.cloud.realtime().reconnect()),
    }
}

/// `latencies` are those of the lines that were said live.
async fn summary(people: &[Person], ids: &[String], missed: usize, latencies: &[Duration]) -> Result<(), Problem> {
    screen::event("summary");
    let mut first: Option<Vec<(String, String)>> = None;
    for person in people {
        let history = person.history().await?;
        let mut seen: Vec<_> = history.iter().map(|(id, _)| id).collect();
        seen.sort();
        seen.dedup();
        let lost = ids.iter().filter(|id| !seen.contains(id)).count();
        let doubled = history.len() - seen.len();
        screen::line(format_args!(
            "  {} {} lines, {lost} lost, {doubled} doubled",
            screen::name(person.number, &person.name),
            history.len()
        ));
        if lost + doubled > 0 {
            return Err(Problem(format!("{} does not have every line once", person.name)));
        }
        if first.get_or_insert_with(|| history.clone()) != &history {
            return Err(Problem(format!("{} sees another order than {}", person.name, NAMES[0])));
        }
    }
    if let (Some(half), Some(most), Some(longest)) =
        (percentile(latencies, 50), percentile(latencies, 99), latencies.last())
    {
        screen::line(format_args!(
            "  from writing to hearing, {} times: p50 {}, p99 {}, longest {}",
            latencies.len(),
            spent(half),
            spent(most),
            spent(*longest)
        ));
    }
    screen::line(format_args!(
        "\nEverybody has the same {} lines in the same order, {missed} of them written without a network.",
        ids.len()
    ));
    Ok(())
}
