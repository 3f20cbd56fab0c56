//! Who may join the private channel of a workspace on a real database: the policies that Realtime asks.

use cloud_dev::CloudDev;

use crate::{
    lane::skip,
    postgres::{JWT_SECRET, Server, Tables, demo, http},
};

/// Whether the person may speak and hear under `topic`, asked as Realtime asks: by rows that are taken back.
fn may(server: &Server, tables: &Tables, person: &str, topic: &str) -> (bool, bool) {
    let asks = format!(
        "set role authenticated;
         set request.jwt.claims = '{{\"sub\": \"{person}\"}}';
         set realtime.topic = '{}';",
        topic.replace('\'', "''")
    );
    let row = "insert into realtime.messages values ('any', 'presence');";
    let speaks = match server.tries(tables, &format!("{asks} begin; {row} rollback;")) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.contains("row-level security"), "{error}");
            false
        }
    };
    let seen = server.tries(tables, &format!("begin; {row} {asks} select count(*) from realtime.messages; rollback;"));
    (speaks, seen.unwrap().trim() == "1")
}

#[tokio::test]
async fn a_workspaces_private_channel_is_open_to_its_people_alone() {
    let server = match Server::start().await {
        Ok(server) => server,
        Err(reason) => return skip("the policies of private channels", reason),
    };
    let cloud = CloudDev::builder().jwt_secret(JWT_SECRET).start().await.unwrap();
    let http = http();
    let eve = demo::sign_up(&http, &cloud, "eve@example.com").await;
    let tables = server.tables(&demo::copy(&http, &cloud, &[&eve]).await).await;
    let [ada, grace] = cloud.demo().people.each_ref().map(|person| person.user_id.clone());
    let workspace = format!("workspace:{}", cloud.demo().workspace_id);

    for (person, allowed) in [(&ada, true), (&grace, true), (&eve.id, false)] {
        assert_eq!(may(server, &tables, person, &workspace), (allowed, allowed), "{person}");
    }
    let upper = workspace.to_uppercase();
    for topic in ["", "workspace:", "workspace:demo", "room:1", "' or true --", &upper, &format!("{workspace} ")] {
        assert_eq!(may(server, &tables, &ada, topic), (false, false), "{topic}");
    }
}
