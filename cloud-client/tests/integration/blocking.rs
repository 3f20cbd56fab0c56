//! The waiting face, over a script and over a socket.
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use cloud_client::{
    blocking::Client,
    error::codes,
    testing::{Scripted, Step},
};
use serde_json::{Value, json};

use super::client;

#[test]
fn tables_and_functions_work_without_a_runtime() {
    let counted = |status| Step::json(status, "[]").header("content-range", "*/3");
    let scripted = Scripted::new([
        Step::json(200, r#"[{"id":1}]"#),
        Step::json(201, ""),
        counted(200),
        counted(200),
        Step::json(200, r#"{"said":"hello"}"#),
        Step::json(200, "[2]"),
    ]);
    let cloud = Client::new(client(&scripted)).unwrap();
    let table = cloud.table("workspaces");
    assert_eq!(cloud.fetch::<Value>(&table.select(["id"])).unwrap().into_vec(), [json!({"id": 1})]);
    cloud.insert(table.insert(&json!({"id": 2}))).unwrap();
    assert_eq!(cloud.update(table.update(&json!({"name": "b"})).eq("id", 2)).unwrap(), 3);
    assert_eq!(cloud.delete(table.delete().eq("id", 2)).unwrap(), 3);
    let said: Value = cloud.invoke(&cloud.function("own"), &json!({})).unwrap();
    assert_eq!(said, json!({"said": "hello"}));
    let one = cloud.clone().block_on(super::rows(cloud.client())).unwrap().unwrap();
    assert_eq!(one, [json!(2)]);
    let methods: Vec<_> =
        scripted.sent().iter().map(|sent| sent.target.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["GET", "POST", "PATCH", "DELETE", "POST", "GET"]);
}

#[test]
fn a_connection_is_kept_from_one_call_to_the_next_and_shared_between_threads() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // One connection, two answers: a second connection would find nobody.
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        for _ in 0..2 {
            let read = socket.read(&mut [0; 8192]).unwrap();
            assert!(read > 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n[1]";
            socket.write_all(answer).unwrap();
        }
    });
    let cloud = cloud_client::Client::builder(&url, "sb_publishable_key").unwrap().build();
    let cloud = Client::new(cloud).unwrap();
    let other = cloud.clone();
    let ask = |cloud: &Client| cloud.fetch::<u8>(&cloud.table("t").select(["*"])).unwrap().into_vec();
    assert_eq!(ask(&cloud), [1]);
    assert_eq!(thread::spawn(move || ask(&other)).join().unwrap(), [1]);
    server.join().unwrap();
}

#[test]
fn inside_an_async_runtime_it_is_an_error_and_never_a_panic() {
    let scripted = Scripted::new([]);
    let outside = Client::new(client(&scripted)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert_eq!(Client::new(client(&scripted)).unwrap_err().code(), codes::BLOCKING_IN_ASYNC);
        let error = outside.fetch::<Value>(&outside.table("t").select(["*"])).unwrap_err();
        assert_eq!(error.code(), codes::BLOCKING_IN_ASYNC);
        // The last clone may end here as well.
        drop(outside);
    });
    assert!(scripted.sent().is_empty());
}
