//! The steps, each with its check.
use std::time::Instant;

use cloud_sdk::{
    agents::{AiChunk, AiRequest, ChatMessage, Invocation},
    client::events::Heard,
    sync::{Conversation, Message, MessageState, NewMessage, SyncEvent, Workspace},
};

use crate::{
    args::Args,
    conversation_file::{self, ConversationFile},
    report::{Cause, Failure, Report, bar, check, line, note, piece, plain, spent},
    stage::{Borrowed, Device, Stage, close, link, open_stage, sign_in},
};

/// The conversation that this story is told in; a file of yours goes to one of its own name.
const STORY: &str = "quickstart";
pub async fn run(args: &Args, report: &mut Report) -> Result<Vec<(String, String)>, Failure> {
    // A file that cannot be read should say so before anything else happens.
    let file = match &args.conversation {
        Some(path) => Some(report.step("Read the conversation file", async { conversation_file::read(path) }).await?),
        None => None,
    };
    let title = if args.url.is_some() { "Use the project" } else { "Start the embedded cloud" };
    let stage = report.step(title, open_stage(args)).await?;
    let _borrowed = Borrowed::of(args);
    let (first, second) = report.step("Sign in on two devices", sign_in(args, &stage)).await?;
    let (one, two) = report.step("Link a folder on each", link(&stage, &first, &second)).await?;
    let lines = story(args, report, &stage, file.as_ref(), &first, [&one, &two]).await?;
    report.step("Close, and keep the login for the next start", close(stage, [&first, &second])).await?;

    let mut summary = vec![("people".to_owned(), format!("{} and {}", first.email, second.email))];
    summary.extend(lines);
    Ok(summary)
}

/// What happens once both devices are linked; gives the lines for the summary.
async fn story(
    args: &Args,
    report: &mut Report,
    stage: &Stage,
    file: Option<&ConversationFile>,
    first: &Device,
    [one, two]: [&Workspace; 2],
) -> Result<Vec<(String, String)>, Failure> {
    report.step("Push workspace state from one, see it on the other", share_state(one, two)).await?;
    report.step("Change one field on both sides: a conflict", conflict(one, two)).await?;
    let messages = report.step("Exchange messages, also written offline", messages(stage, one, two)).await?;
    let imported = match file {
        Some(file) => Some(report.step("Sync your conversation", import(file, first, one, two)).await?),
        None => None,
    };
    let agent = report.step("Ask an agent", ask_agent(stage, first, one)).await?;
    let tokens = report.step("Stream a model's answer", stream(args, first, one)).await?;
    let mut lines = vec![("messages".to_owned(), format!("{messages} exchanged, none lost, none doubled"))];
    lines.extend(imported.map(|line| ("your conversation".to_owned(), line)));
    lines.push(("agent".to_owned(), agent));
    lines.push(("model".to_owned(), tokens));
    Ok(lines)
}

async fn share_state(one: &Workspace, two: &Workspace) -> Result<(), Cause> {
    let goal = format!("Try the cloud ({})", one.id().chars().take(8).collect::<String>());
    one.set("task_goal", goal.as_str()).await?;
    one.set("next_steps", serde_json::json!(["link", "sync", "ask"])).await?;
    let pushed = one.push().await?;
    two.pull().await?;
    let seen = two.state().await?;
    check(seen.fields.get("task_goal").is_some_and(|value| *value == goal), "the other device does not see the goal")?;
    note(format_args!("pushed {}; the other device reads \"{goal}\"", list(&pushed.fields)));
    Ok(())
}

async fn conflict(one: &Workspace, two: &Workspace) -> Result<(), Cause> {
    let stamp = jiff::Timestamp::now().as_millisecond();
    let (there, here) = (format!("Write the tests ({stamp})"), format!("Write the code ({stamp})"));
    one.set("current_step", there.as_str()).await?;
    two.set("current_step", here.as_str()).await?;
    one.push().await?;
    let outcome = two.push().await?;
    let [conflict] = &*outcome.conflicts else {
        return Err(Cause::Check(format!("{} conflicts were reported, not one", outcome.conflicts.len())));
    };
    check(conflict.local_value == here && conflict.cloud_value == there, "the conflict does not name both values")?;
    check(
        two.state().await?.fields.get("current_step").is_some_and(|value| *value == there),
        "the cloud's value did not stand",
    )?;
    check(two.conflicts().await?.iter().any(|logged| logged.local_value == here), "the local value is not in the log")?;
    note(format_args!("{}: the cloud holds {}", conflict.field, conflict.cloud_value));
    note(format_args!("{:width$}  kept in the log: {}", "", conflict.local_value, width = conflict.field.len()));
    Ok(())
}

async fn messages(stage: &Stage, one: &Workspace, two: &Workspace) -> Result<usize, Cause> {
    let (here, there) = (one.conversation(STORY).await?, two.conversation(STORY).await?);
    here.append(NewMessage::user("Are you there?")).await?;
    one.sync().await?;
    two.sync().await?;
    there.append(NewMessage::user("Yes. Going into the tunnel now.")).await?;
    two.sync().await?;

    if let Some(cloud) = &stage.embedded {
        cloud.set_offline(true);
    }
    for n in 1..=3 {
        here.append(NewMessage::user(format!("Written offline on the laptop, {n} of 3"))).await?;
        there.append(NewMessage::user(format!("Written offline on the desktop, {n} of 3"))).await?;
    }
    // The same words twice are two messages.
    there.append(NewMessage::user("ok")).await?;
    there.append(NewMessage::user("ok")).await?;
    if let Some(cloud) = &stage.embedded {
        let error = two.sync().await.err().ok_or_else(|| Cause::Check("a sync without a network succeeded".into()))?;
        note(format_args!(
            "without a network: {} ({}), {} messages wait",
            error.code(),
            error.kind().as_str(),
            there.pending().await?
        ));
        cloud.set_offline(false);
    }
    for _ in 0..2 {
        one.sync().await?;
        two.sync().await?;
    }
    let (left, right) = (here.messages().await?, there.messages().await?);
    check(same(&left, &right), "the devices show different conversations")?;
    check(pending(&here, &there).await? == 0, "messages are still waiting")?;
    for (word, times) in [("Are you there?", 1), ("ok", 2)] {
        let own = right.iter().filter(|message| message.content == word).count();
        check(own >= times, format!("\"{word}\" is there {own} times"))?;
    }
    let ids: std::collections::BTreeSet<_> = left.iter().map(|message| &message.id).collect();
    check(ids.len() == left.len(), "a message is doubled")?;
    note(format_args!("{} messages, in the same order on both devices", left.len()));
    Ok(left.len())
}

async fn pending(one: &Conversation, two: &Conversation) -> Result<usize, Cause> {
    Ok(one.pending().await? + two.pending().await?)
}

/// Whether two devices hold the same messages of the cloud in the same order.
fn same(left: &[Message], right: &[Message]) -> bool {
    let shared = |messages: &[Message]| -> Vec<(String, String, Option<i64>)> {
        let in_cloud =
            messages.iter().filter(|message| matches!(message.state, MessageState::Sent | MessageState::Received));
        in_cloud.map(|message| (message.id.clone(), message.content.clone(), message.seq)).collect()
    };
    shared(left) == shared(right)
}

async fn import(file: &ConversationFile, first: &Device, one: &Workspace, two: &Workspace) -> Result<String, Cause> {
    let here = one.conversation(&file.name).await?;
    let storing = bar("stored on disk", file.messages.len());
    for part in file.messages.chunks(1000) {
        here.append_all(part.to_vec()).await?;
        storing.inc(part.len() as u64);
    }
    storing.finish_and_clear();

    let waiting = here.pending().await?;
    let sending = bar("sent", waiting);
    let begun = Instant::now();
    let mut events = first.engine().await?.events();
    let told = async {
        while let Some(heard) = events.next().await {
            if let Heard::Event(SyncEvent::MessagesSent { count, .. }) = heard {
                sending.inc(count as u64);
            }
        }
    };
    let sent = tokio::select! {
        sent = here.push() => sent?,
        () = told => return Err(Cause::Check("the engine stopped telling".into())),
    };
    let pushing = begun.elapsed();
    sending.finish_and_clear();

    let begun = Instant::now();
    let received = two.sync().await?.received;
    let pulling = begun.elapsed();
    let there = two.conversation(&file.name).await?;
    let (left, right) = (here.messages().await?, there.messages().await?);
    check(here.pending().await? == 0, "messages are still waiting")?;
    check(same(&left, &right), "the devices show different conversations")?;
    let refused = left.iter().filter(|message| message.state == MessageState::Parked).count();
    // Whatever this file holds is in the conversation, in the file's order, as often as in the file.
    let arrived: Vec<&str> = right.iter().map(|message| &*message.content).collect();
    let mut rest = arrived.iter();
    let is_missing = |text: &&String| {
        let mut ahead = rest.clone();
        let found = ahead.any(|seen| seen == text);
        if found {
            rest = ahead;
        }
        !found
    };
    let missing = file.sendable.iter().filter(is_missing).count();
    check(missing <= refused, format!("{missing} messages of the file are missing, {refused} were refused"))?;

    let kept = file.messages.len() - file.sendable.len();
    note(format_args!(
        "\"{}\": {} sent in {} ({:.0} a second), {received} received in {}",
        file.name,
        sent.sent,
        spent(pushing),
        sent.sent as f64 / pushing.as_secs_f64().max(0.001),
        spent(pulling),
    ));
    if kept > 0 {
        note(format_args!("{kept} of other roles than user and assistant stay on this machine"));
    }
    for message in left.iter().filter(|message| message.state == MessageState::Parked).take(3) {
        note(format_args!(
            "refused by the cloud ({}), kept here: {}",
            message.reason.as_deref().unwrap_or("no reason"),
            message.id
        ));
    }
    Ok(format!(
        "{} of {} lines in the cloud, {kept} private, {refused} refused",
        file.sendable.len() - missing,
        file.messages.len()
    ))
}

async fn ask_agent(stage: &Stage, device: &Device, one: &Workspace) -> Result<String, Cause> {
    let context = device.cloud.auth().user_context();
    let organization =
        context.as_ref().and_then(|context| context.active()).map(|membership| membership.org_id.as_str().to_owned());
    let agents = device.cloud.agents().list(organization.as_deref().unwrap_or_default()).await?;
    let wanted = agents.iter().find(|agent| stage.agent.as_ref().is_none_or(|slug| agent.slug == *slug));
    let agent = wanted.ok_or_else(|| Cause::Check("the organisation has no agent".into()))?;

    let chat = one.conversation(STORY).await?;
    let question = "Please sum up what we have done so far.";
    chat.append(NewMessage::user(question)).await?;
    one.sync().await?;
    let history =
        chat.messages().await?.into_iter().map(|message| ChatMessage::new((&*message.role).into(), message.content));
    let invocation = Invocation::new(&*agent.slug, question).conversation(chat.cloud_id().await?).history(history);
    let reply = device.cloud.agents().invoke(&invocation).await?;
    check(!reply.content.trim().is_empty(), "the agent said nothing")?;
    let name = reply.agent_name.clone().unwrap_or_else(|| agent.name.clone());
    for said in plain(&reply.content).lines().filter(|said| !said.trim().is_empty()) {
        note(format_args!("{}: {said}", plain(&name)));
    }
    // What the agent said is a message like any other, where the cloud stored one.
    one.sync().await?;
    if let Some(id) = &reply.message_id {
        let stored = chat.messages().await?.into_iter().find(|message| message.id == *id);
        check(
            stored.is_some_and(|message| message.content == reply.content),
            "the agent's answer is not in the conversation",
        )?;
    }
    Ok(format!("{name} answered with {} words", reply.content.split_whitespace().count()))
}

async fn stream(args: &Args, device: &Device, one: &Workspace) -> Result<String, Cause> {
    let request = AiRequest::new([ChatMessage::user(&*args.ask)]).workspace_id(one.id());
    let begun = Instant::now();
    let mut answer = device.cloud.ai().stream(&request).await?;
    let (mut pieces, mut first) = (0, None);
    note(format_args!("> {}", args.ask));
    piece("    ");
    while let Some(chunk) = answer.next().await {
        if let AiChunk::Text(text) = chunk? {
            first.get_or_insert_with(|| begun.elapsed());
            pieces += 1;
            piece(&plain(&text).replace('\n', "\n    "));
        }
    }
    line("");
    check(pieces > 1, format!("the answer came in {pieces} pieces, not as a stream"))?;
    let usage = answer.usage().map(|usage| format!("{} + {} tokens", usage.prompt_tokens, usage.completion_tokens));
    let first = first.map(spent).unwrap_or_default();
    note(format_args!("{pieces} pieces, the first after {first}, all after {}", spent(begun.elapsed())));
    Ok(format!("{}, {}", answer.partial().model, usage.unwrap_or_else(|| "usage not told".into())))
}

fn list(fields: &[String]) -> String {
    fields.join(", ")
}
