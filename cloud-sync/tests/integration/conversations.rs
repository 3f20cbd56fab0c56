//! Conversations on several devices.
use cloud_dev::Fault;
use cloud_sync::{MessageState, NewMessage, codes};

use crate::devices::{Device, cloud};

fn texts(range: std::ops::Range<usize>) -> Vec<NewMessage> {
    range.map(|n| NewMessage::user(format!("message {n}"))).collect()
}

#[tokio::test]
async fn messages_written_offline_on_both_sides_arrive_everywhere_once_and_in_one_order() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    cloud.set_offline(true);
    for n in 0..3 {
        ada.chat().await.append(NewMessage::user(format!("ada {n}"))).await.unwrap();
        grace.chat().await.append(NewMessage::user(format!("grace {n}"))).await.unwrap();
    }
    ada.workspace.sync().await.unwrap_err();
    assert_eq!(ada.chat().await.pending().await.unwrap(), 3);
    cloud.set_offline(false);
    for _ in 0..2 {
        ada.workspace.sync().await.unwrap();
        grace.workspace.sync().await.unwrap();
    }
    let expected = ["ada 0", "ada 1", "ada 2", "grace 0", "grace 1", "grace 2"];
    assert_eq!(ada.texts_in_cloud().await, expected);
    assert_eq!(ada.texts().await, expected);
    assert_eq!(grace.texts().await, expected);
}

#[tokio::test]
async fn o03_equal_texts_are_different_messages() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    for text in ["yes", "A", "yes", "yes"] {
        ada.chat().await.append(NewMessage::user(text)).await.unwrap();
    }
    ada.workspace.sync().await.unwrap();
    ada.workspace.sync().await.unwrap();
    grace.workspace.sync().await.unwrap();
    assert_eq!(grace.texts().await, ["yes", "A", "yes", "yes"]);
}

#[tokio::test]
async fn o03_messages_appended_at_the_same_time_each_have_a_number_of_their_own() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let append = async |name: &str| {
        let conversation = device.workspace.conversation(name).await.unwrap();
        let twice = (conversation.append(NewMessage::user("same")), conversation.append(NewMessage::user("same")));
        let (one, other) = tokio::join!(twice.0, twice.1);
        assert_ne!(one.unwrap(), other.unwrap());
    };
    for _ in 0..5 {
        tokio::join!(append("chat"), append("research"), append("chat"));
    }
    assert_eq!(device.texts().await.len(), 20);
    device.workspace.sync().await.unwrap();
    assert_eq!(device.texts_in_cloud().await.len(), 30);
}

#[tokio::test]
async fn p06_my_other_device_is_also_me() {
    let cloud = cloud().await;
    let ada = &cloud.demo().people[0];
    let (laptop, desktop) = (Device::new(&cloud, ada).await, Device::new(&cloud, ada).await);
    laptop.chat().await.append(NewMessage::user("from the laptop")).await.unwrap();
    laptop.chat().await.append(NewMessage::assistant("local answer")).await.unwrap();
    laptop.workspace.sync().await.unwrap();
    assert_eq!(desktop.workspace.sync().await.unwrap().received, 2);
    assert_eq!(laptop.workspace.sync().await.unwrap().received, 0, "own messages do not come back as new");
    assert_eq!(desktop.texts().await, ["from the laptop", "local answer"]);
}

#[tokio::test]
async fn o09_system_prompts_and_tool_results_stay_here() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    for role in ["system", "user", "tool", "developer"] {
        ada.chat().await.append(NewMessage::new(role, format!("by {role}"))).await.unwrap();
    }
    assert_eq!(ada.workspace.sync().await.unwrap().sent, 1);
    grace.workspace.sync().await.unwrap();
    assert_eq!(grace.texts().await, ["by user"]);
    let kept = ada.chat().await.messages().await.unwrap();
    assert_eq!(kept.iter().filter(|message| message.state == MessageState::Local).count(), 3);
}

#[tokio::test]
async fn o05_a_lost_answer_to_a_push_is_proven_by_reading_back() {
    let cloud = cloud().await;
    let (ada, _) = Device::pair(&cloud).await;
    ada.chat().await.append_all(texts(0..250)).await.unwrap();
    cloud.inject(Fault::lose_reply().on("/rest/v1/messages").method("POST"));
    ada.workspace.sync().await.unwrap_err();
    assert_eq!(ada.chat().await.pending().await.unwrap(), 250);
    assert_eq!(ada.workspace.sync().await.unwrap().sent, 250);
    assert_eq!(ada.texts_in_cloud().await.len(), 250);
    let messages = ada.chat().await.messages().await.unwrap();
    assert!(messages.iter().all(|message| message.state == MessageState::Sent && message.seq.is_some()));
    assert_eq!(ada.texts().await, ada.texts_in_cloud().await);
}

#[tokio::test]
async fn o02_pushes_at_the_same_time_send_each_message_once() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let chat = device.chat().await;
    chat.append(NewMessage::user("first")).await.unwrap();
    chat.push().await.unwrap();
    chat.append_all(texts(0..30)).await.unwrap();
    let before = cloud.requests("/rest/v1/messages");
    let (one, other, sync) = tokio::join!(chat.push(), chat.push(), device.workspace.sync());
    assert_eq!(one.unwrap().sent + other.unwrap().sent + sync.unwrap().sent, 30);
    // One to send them, two for the sync to read what came and that there is no more.
    assert!(cloud.requests("/rest/v1/messages") - before <= 3);
}

#[tokio::test]
async fn o06_a_refused_message_is_parked_and_the_others_go_on() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let mut messages = texts(0..40);
    // PostgreSQL text holds no NUL: the array as a whole is refused.
    messages.insert(17, NewMessage::user("poison \0"));
    let ids = ada.chat().await.append_all(messages).await.unwrap();
    let report = ada.workspace.sync().await.unwrap();
    assert_eq!((report.sent, report.parked), (40, 1));
    let kept = ada.chat().await.messages().await.unwrap();
    let parked: Vec<_> = kept.iter().filter(|message| message.state == MessageState::Parked).collect();
    assert_eq!((parked.len(), &parked[0].id), (1, &ids[17]));
    assert!(parked[0].reason.is_some());
    grace.workspace.sync().await.unwrap();
    let expected: Vec<_> = (0..40).map(|n| format!("message {n}")).collect();
    assert_eq!(grace.texts().await, expected);
    assert_eq!(ada.chat().await.retry_parked().await.unwrap(), 1);
    assert_eq!(ada.workspace.sync().await.unwrap().parked, 1);
}

#[tokio::test]
async fn p11_many_messages_take_few_requests_and_keep_their_order() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    ada.chat().await.append_all(texts(0..2300)).await.unwrap();
    let before = cloud.requests("/rest/v1/messages");
    ada.chat().await.push().await.unwrap();
    let sent = cloud.requests("/rest/v1/messages") - before;
    assert!(sent <= 2300_u64.div_ceil(500) + 1, "{sent} requests");
    assert_eq!(grace.workspace.sync().await.unwrap().received, 2300);
    let expected: Vec<_> = (0..2300).map(|n| format!("message {n}")).collect();
    assert_eq!(grace.texts().await, expected);
}

#[tokio::test]
async fn two_devices_that_begin_a_conversation_of_one_name_begin_the_same_one() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    ada.chat().await.append(NewMessage::user("hers")).await.unwrap();
    grace.chat().await.append(NewMessage::user("mine")).await.unwrap();
    let (left, right) = tokio::join!(ada.workspace.sync(), grace.workspace.sync());
    left.unwrap();
    right.unwrap();
    ada.workspace.sync().await.unwrap();
    grace.workspace.sync().await.unwrap();
    assert_eq!(ada.workspace.conversations().await.unwrap().len(), 1);
    assert_eq!(ada.texts().await, grace.texts().await);
    assert_eq!(ada.texts().await.len(), 2);
}

#[tokio::test]
async fn an_import_repeated_anywhere_adds_nothing() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let lines = || (0..5).map(|n| NewMessage::user("same text").imported_as(format!("line {n}"))).collect::<Vec<_>>();
    for device in [&ada, &grace, &ada] {
        device.chat().await.append_all(lines()).await.unwrap();
        device.workspace.sync().await.unwrap();
    }
    assert_eq!(ada.texts_in_cloud().await.len(), 5);
    assert_eq!((ada.texts().await.len(), grace.texts().await.len()), (5, 5));
    // The other person's copy is the same message; it is not this user's to send.
    assert_eq!(grace.chat().await.pending().await.unwrap(), 0);
}

#[tokio::test]
async fn bad_names_and_messages_get_clear_errors_and_store_nothing() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    for name in ["", "a\nb", &"x".repeat(201)] {
        assert_eq!(device.workspace.conversation(name).await.unwrap_err().code(), codes::BAD_NAME);
    }
    let messages = vec![NewMessage::user("fine"), NewMessage::user("x".repeat(1024 * 1024 + 1))];
    assert_eq!(device.chat().await.append_all(messages).await.unwrap_err().code(), codes::BAD_MESSAGE);
    assert!(device.texts().await.is_empty());
}

#[tokio::test]
async fn o13_large_messages_are_sent_and_read_in_smaller_parts() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    let big = "x".repeat(1024 * 1024 - 10);
    let messages = (0..12).map(|n| NewMessage::user(format!("{n}{big}"))).collect();
    ada.chat().await.append_all(messages).await.unwrap();
    let before = cloud.requests("/rest/v1/messages");
    ada.chat().await.push().await.unwrap();
    assert!(cloud.requests("/rest/v1/messages") - before >= 12, "O13: they go one by one");
    assert_eq!(grace.workspace.sync().await.unwrap().received, 12);
    assert!(grace.texts().await.iter().enumerate().all(|(n, text)| text.starts_with(&n.to_string())));
}

#[tokio::test]
async fn p18_quiet_conversations_cost_no_requests() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    for n in 0..20 {
        let conversation = ada.workspace.conversation(&format!("topic {n}")).await.unwrap();
        conversation.append(NewMessage::user("first")).await.unwrap();
    }
    ada.workspace.sync().await.unwrap();
    assert_eq!(grace.workspace.sync().await.unwrap().received, 20);

    ada.workspace.conversation("topic 7").await.unwrap().append(NewMessage::user("news")).await.unwrap();
    ada.workspace.sync().await.unwrap();
    let before = cloud.requests("/rest/v1/messages");
    assert_eq!(grace.workspace.sync().await.unwrap().received, 1);
    let asked = cloud.requests("/rest/v1/messages") - before;
    assert!(asked <= 2, "{asked} requests for one conversation with news");
    assert_eq!(grace.workspace.sync().await.unwrap().received, 0);
    assert_eq!(cloud.requests("/rest/v1/messages") - before, asked);
}

#[tokio::test]
async fn a_time_that_cannot_be_written_down_is_refused_and_not_replaced() {
    let cloud = cloud().await;
    let device = Device::new(&cloud, &cloud.demo().people[0]).await;
    let far = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
    let message = NewMessage::user("from the future").written_at(far);
    assert_eq!(device.chat().await.append(message).await.unwrap_err().code(), codes::BAD_MESSAGE);
    assert!(device.texts().await.is_empty());
}
