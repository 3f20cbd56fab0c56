//! What happens: people come, talk, lose the network, go on, and find each other again.
use std::time::{Duration, Instant};

use cloud_dev::{CloudDev, Running};
use cloud_sdk::{Config, sync::Place};
use futures::future::try_join_all;

use crate::{
    args::Args,
    figures::{Ledger, percentile},
    person::{Account, LIMIT, Noticed, Person},
    screen::{self, Problem, spent},
};

const NAMES: [&str; 12] =
    ["Ada", "Grace", "Linus", "Radia", "Ken", "Edith", "Alan", "Hedy", "Joan", "Dennis", "Karen", "Tim"];
const FILES: [&str; 4] = ["src/parser.rs", "src/lexer.rs", "docs/plan.md", "src/errors.rs"];
const TALK: [&str; 15] = [
    "Good morning. Shall we look at the parser first?",
    "Yes, the lexer is done and its tests are green.",
    "I'll take the error messages then.",
    "Mind the case with an empty line at the end.",
    "It has a test now, thanks.",
    "Does the plan still say that comments are kept?",
    "It does; they go to the token before them.",
    "Then the printer gets easier, too.",
    "I would move that table into its own file.",
    "Done, and the build is faster for it.",
    "Who has seen the slow case with long strings?",
    "It was quadratic. One line, once found.",
    "I wrote it into the plan, under known limits.",
    "Good. Then only the numbers are left.",
    "Fine. Let's see how fast it is.",
];
/// How often a person hears something during a long cut.
const REMINDER: Duration = Duration::from_secs(10);

/// The cloud, and how it is taken away.
enum Stage {
    Embedded(Box<Running>),
    Project,
}

impl Stage {
    /// What is gone during the cut. A project's tables can be reached all the while.
    fn lost(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "the network",
            Self::Project => "the live connection",
        }
    }

    /// What is said of a line that nobody hears.
    fn unheard(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "kept here",
            Self::Project => "not live",
        }
    }
}

pub async fn run(args: &Args) -> Result<(), Problem> {
    let ledger = Ledger::default();
    let (place, people) = enter(args, &ledger).await?;
    everybody_is_there(&people).await?;

    screen::event("talking");
    let mut live = talk(&people, usize::from(args.lines), 0, &ledger).await?;

    screen::event(format_args!("{} is cut for {}", place.lost(), spent(args.cut)));
    cut(&place, &people).await?;
    let kept = talk_alone(&place, &people).await?;
    sit_out(args.cut).await;
    let mut all = [live.as_slice(), &kept].concat();
    come_back(&place, &people, &all).await?;

    screen::event("talking again");
    let again = talk(&people, usize::from(args.lines), live.len(), &ledger).await?;
    all.extend(again.iter().cloned());
    live.extend(again);
    try_join_all(people.iter().map(|person| person.has(&all))).await?;
    summary(&people, &all, &ledger.latencies(&live)).await?;
    screen::line(format_args!(
        "\nEverybody has the same {} lines in the same order, {} of them written without {}.",
        all.len(),
        kept.len(),
        place.lost()
    ));
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
        let workspace = cloud.demo().workspace_id.clone();
        let count = args.people.map_or(3, usize::from);
        let known = cloud.demo().people.iter().map(|person| (person.email.clone(), person.password.clone()));
        let known: Vec<_> = known.chain(newcomers(&cloud, &config, count).await?).collect();
        let named = NAMES.iter().zip(known).take(count).enumerate();
        let accounts = named.map(|(n, (name, (email, password)))| account(n, name, &email, &password)).collect();
        (Stage::Embedded(Box::new(cloud)), config, accounts, workspace)
    };
    screen::event("coming in");
    let mut people = Vec::new();
    for account in accounts {
        let person = Person::enter(account, config.clone(), &workspace, ledger).await?;
        screen::note(format_args!("{} is here, live", person.name));
        people.push(person);
    }
    Ok((place, people))
}

/// The embedded cloud knows two people; the others make an account and are taken into their organisation.
async fn newcomers(cloud: &Running, config: &Config, count: usize) -> Result<Vec<(String, String)>, Problem> {
    let home = tempfile::tempdir()?;
    let opened = cloud_sdk::Cloud::builder(home.path()).config(config.clone()).open().await?;
    let app = opened.ok_or_else(|| Problem("no address and key".to_owned()))?;
    let mut accounts = Vec::new();
    for name in NAMES.iter().take(count).skip(cloud.demo().people.len()) {
        let (email, password) = (format!("{}@example.com", name.to_lowercase()), format!("{name}-demo-password"));
        let data = serde_json::Map::from_iter([("display_name".to_owned(), (*name).into())]);
        app.auth().sign_up(email.as_str(), password.as_str().into(), Some(data)).await?;
        cloud.add_member(&email).await;
        accounts.push((email, password));
    }
    app.close(Duration::from_secs(5)).await;
    Ok(accounts)
}

async fn everybody_is_there(people: &[Person]) -> Result<(), Problem> {
    for (person, file) in people.iter().zip(FILES.iter().cycle()) {
        person.cloud.set_place(Some(Place::file(*file)));
    }
    for person in people {
        let others = || people.iter().filter(|other| other.user != person.user);
        let place = |noticed: &Noticed, other: &Person| {
            noticed.present.iter().find(|(user, _)| *user == other.user).and_then(|(_, file)| file.clone())
        };
        let noticed =
            person.notices("seeing everybody", |noticed| others().all(|other| place(noticed, other).is_some()));
        let noticed = noticed.await?;
        let seen: Vec<_> = others()
            .take(2)
            .map(|other| format!("{} in {}", other.name, place(&noticed, other).unwrap_or_default()))
            .collect();
        let rest = people.len() - 1 - seen.len();
        let rest = if rest > 0 { format!(", and {rest} more") } else { String::new() };
        screen::note(format_args!("{} sees {}{rest}", person.name, seen.join(", ")));
    }
    Ok(())
}

/// Everybody says `lines` lines, in turn; each is waited for until all others have heard it.
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
        screen::said(person.number, &person.name, text, &screen::arrivals(&ledger.arrivals(&id)));
        ids.push(id);
    }
    Ok(ids)
}

/// What is written while nobody hears it.
async fn talk_alone(place: &Stage, people: &[Person]) -> Result<Vec<String>, Problem> {
    let mut ids = Vec::new();
    for round in 1..=2 {
        for person in people {
            let text = format!("Is anybody there? ({round} of 2)");
            ids.push(person.say(&text).await?);
            screen::said(person.number, &person.name, &text, place.unheard());
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

async fn sit_out(cut: Duration) {
    let mut left = cut;
    while left > REMINDER {
        tokio::time::sleep(REMINDER).await;
        left -= REMINDER;
        screen::note(format_args!("{} to go", spent(left)));
    }
    tokio::time::sleep(left).await;
}

/// Gives everybody back what was cut, and waits until each of them has all of `ids` and is live again.
async fn come_back(place: &Stage, people: &[Person], ids: &[String]) -> Result<(), Problem> {
    screen::event(format_args!("{} is back", place.lost()));
    match place {
        Stage::Embedded(cloud) => cloud.set_offline(false),
        Stage::Project => people.iter().for_each(|person| person.cloud.realtime().reconnect()),
    }
    let back = Instant::now();
    let complete = people.iter().map(|person| async move {
        person.has(ids).await?;
        let took = (person.name.clone(), back.elapsed());
        person.notices("being live again", |noticed| noticed.live).await?;
        Ok::<_, Problem>(took)
    });
    let complete = try_join_all(complete).await?;
    screen::note(format_args!("all {} lines after: {}", ids.len(), screen::listed(&complete)));
    screen::note(format_args!("everybody is live again {} after the cut", spent(back.elapsed())));
    Ok(())
}

/// `latencies` are those of the lines that were said live.
async fn summary(people: &[Person], ids: &[String], latencies: &[Duration]) -> Result<(), Problem> {
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
            return Err(Problem(format!("{} sees another order than the first", person.name)));
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
    Ok(())
}
