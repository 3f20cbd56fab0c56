//! Who is there, as everybody sees it.
use cloud_sync::Place;

use crate::devices::{Device, cloud};

#[tokio::test]
async fn members_see_who_is_there_and_where() {
    let cloud = cloud().await;
    let (ada, grace) = Device::pair(&cloud).await;
    grace.workspace.report_presence(None).await.unwrap();
    // The second report changes the first one's row.
    for line in [7, 8] {
        let place = Place::file("src/main.rs").line(line);
        ada.workspace.report_presence(Some(&place)).await.unwrap();
    }

    let members = grace.workspace.members().await.unwrap();
    assert_eq!(members.len(), 2);
    let seen = members.iter().find(|member| member.user_id == ada.workspace.user()).unwrap();
    assert!(seen.online);
    assert_eq!(seen.place, Some(Place::file("src/main.rs").line(8)));
    assert!(seen.display_name.is_some());
    let own = members.iter().find(|member| member.user_id == grace.workspace.user()).unwrap();
    assert!(own.online && own.place.is_none(), "{own:?}");
}
