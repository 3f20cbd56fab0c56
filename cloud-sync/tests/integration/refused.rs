//! What the cloud refuses of one part holds up none of the others.
use cloud_client::ErrorKind;
use cloud_dev::Fault;
use cloud_sync::{NewMessage, codes};

use crate::devices::{Device, cloud};

#[tokio::test]
async fn o06_a_reader_who_changed_the_state_still_sends_and_receives_messages() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    ada.workspace.set("current_step", "not for readers").await.unwrap();
    ada.chat().await.append(NewMessage::user("from the reader")).await.unwrap();
    grace.chat().await.append(NewMessage::user("to the reader")).await.unwrap();
    grace.workspace.sync().await.unwrap();
    // Row security hides the row from the write, and says no more about it.
    let hidden = || Fault::answer(200).body("application/json", "[]").on("/rest/v1/workspaces").method("PATCH");
    cloud.inject(hidden());
    assert_eq!(ada.workspace.sync().await.unwrap_err().code(), codes::READ_ONLY);
    assert_eq!(ada.texts().await, ["to the reader", "from the reader"]);
    assert_eq!(ada.texts_in_cloud().await, ["to the reader", "from the reader"]);
    assert_eq!(
        ada.workspace.state().await.unwrap().unsent,
        ["current_step"],
        "kept until there is the right to send it"
    );
}

#[tokio::test]
async fn o06_a_conversation_that_is_refused_holds_up_no_other_and_is_read_still() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    for name in ["a", "b"] {
        grace
            .workspace
            .conversation(name)
            .await
            .unwrap()
            .append(NewMessage::user(format!("hers in {name}")))
            .await
            .unwrap();
    }
    grace.workspace.sync().await.unwrap();
    for name in ["a", "b"] {
        ada.workspace
            .conversation(name)
            .await
            .unwrap()
            .append(NewMessage::user(format!("his in {name}")))
            .await
            .unwrap();
    }
    cloud.inject(Fault::answer(403).on("/rest/v1/messages").method("POST"));
    assert_eq!(ada.workspace.sync().await.unwrap_err().kind(), ErrorKind::Forbidden);
    for (name, waiting) in [("a", 1), ("b", 0)] {
        let conversation = ada.workspace.conversation(name).await.unwrap();
        assert_eq!(conversation.messages().await.unwrap().len(), 2, "{name}");
        assert_eq!(conversation.pending().await.unwrap(), waiting, "{name}");
    }
    assert_eq!(ada.workspace.sync().await.unwrap().sent, 1, "the refused one was only put off");
}

#[tokio::test]
async fn b04_a_cloud_that_is_away_is_not_asked_part_by_part() {
    let cloud = cloud().await;
    let (ada, _grace) = Device::pair(&cloud).await;
    for name in ["a", "b", "c"] {
        ada.workspace.conversation(name).await.unwrap().append(NewMessage::user(name)).await.unwrap();
    }
    for fault in [|| Fault::answer(503), || Fault::answer(429), || Fault::answer(401), Fault::lose_request] {
        let before = cloud.requests("/rest/v1/");
        cloud.inject(fault().on("/rest/v1/").times(100));
        ada.workspace.sync().await.unwrap_err();
        assert_eq!(cloud.requests("/rest/v1/") - before, 1);
        cloud.clear_faults();
    }
}
