//! The program: its ready line, its advice, its end.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// A program that is ended when the test is.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloud-dev"));
    command.arg("serve").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    Program(command.spawn().unwrap())
}

fn first_line(program: &mut Program) -> String {
    let mut line = String::new();
    BufReader::new(program.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

#[tokio::test]
async fn the_ready_line_is_all_a_harness_needs() {
    let mut program = serve(&["--port", "0", "--json"]);
    let ready: Value = serde_json::from_str(&first_line(&mut program)).unwrap();
    let person = &ready["demo"]["people"][0];
    let answer = crate::caller::http()
        .post(format!("{}/auth/v1/token?grant_type=password", ready["url"].as_str().unwrap()))
        .header("apikey", ready["publishable_key"].as_str().unwrap())
        .json(&serde_json::json!({ "email": person["email"], "password": person["password"] }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let session: Value = answer.json().await.unwrap();
    assert_eq!(session["user"]["id"], person["user_id"]);
    assert_eq!(ready["demo"]["bucket"], "workspace-files");
}

#[tokio::test]
async fn mails_are_printed_as_they_come() {
    let mut program = serve(&["--port", "0", "--json"]);
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let ready: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let answer = crate::caller::http()
        .post(format!("{}/auth/v1/otp", ready["url"].as_str().unwrap()))
        .header("apikey", ready["publishable_key"].as_str().unwrap())
        .json(&serde_json::json!({ "email": "ada@example.com" }))
        .send();
    assert_eq!(answer.await.unwrap().status(), 200);
    let printed: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&printed["mail"]["to"], &printed["mail"]["kind"]), (&"ada@example.com".into(), &"magiclink".into()));
    assert_eq!(printed["mail"]["code"].as_str().map(str::len), Some(6));
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_a_polite_request_are_a_clean_end_from_the_ready_line_on() {
    for signal in ["-INT", "-TERM"] {
        let mut program = serve(&["--port", "0", "--json"]);
        first_line(&mut program);
        let sent = Command::new("kill").args([signal, &program.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert!(program.0.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn a_busy_port_is_named_with_a_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut program = serve(&["--port", &port]);
    assert!(!program.0.wait().unwrap().success());
    let mut said = String::new();
    program.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains(&format!("port {port} is in use")) && said.contains("--port 0"), "{said}");
}

#[test]
fn what_cannot_be_used_is_named_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    for (arguments, advice) in [
        (["--data", file.to_str().unwrap()], "Choose a directory"),
        (["--ai-upstream", "nonsense"], "Give an address such as http://"),
        (["--token-lifetime", "0"], "1..=31536000"),
    ] {
        let mut program = serve(&[&["--port", "0"], &arguments[..]].concat());
        let mut said = String::new();
        program.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(advice), "{arguments:?}: {said}");
        assert!(!program.0.wait().unwrap().success(), "{arguments:?}");
    }
}

#[test]
fn people_get_something_to_paste() {
    let mut program = serve(&["--port", "0"]);
    let mut said = String::new();
    let mut lines = BufReader::new(program.0.stdout.as_mut().unwrap());
    while !said.contains("-d '") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    for part in [
        "export CLOUD_URL=http://127.0.0.1:",
        "CLOUD_KEY=sb_publishable_",
        "ada@example.com  password ",
        "curl",
        "bucket workspace-files",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}
