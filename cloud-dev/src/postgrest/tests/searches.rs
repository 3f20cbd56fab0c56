//! Searches on columns of text and of JSON, on steps into JSON, and in trees.

use super::{
    Cloud,
    tables::{cloud, encoded, ids},
};

fn searched() -> Cloud {
    let cloud = cloud();
    cloud
        .conn
        .execute_batch(
            r#"UPDATE entities SET name = 'The fat cats sat on a mat', data = '{"title": "Running dogs", "tags": ["red", "blue"]}' WHERE id = 1;
               UPDATE entities SET name = 'A cat, running from rats', data = '{"title": "no animals", "n": 5}' WHERE id = 2;
               UPDATE entities SET name = 'Mail ada@example.com about foo-bar', data = '["running", "dog"]' WHERE id = 3;
               UPDATE entities SET name = NULL WHERE id = 4;"#,
        )
        .unwrap();
    cloud
}

#[test]
fn searches_find_the_rows_that_match() {
    let mut cloud = searched();
    for (key, value, expected) in [
        ("name", "fts.cat", &[1, 2][..]),
        ("name", "fts(english).cats & !fat", &[2]),
        ("name", "fts(simple).cats", &[1]),
        ("name", "fts(simple).cat:*", &[1, 2]),
        ("name", "fts.fat <-> cat", &[1]),
        ("name", "fts.sat <3> mat", &[1]),
        ("name", "plfts.the cats run", &[2]),
        ("name", "phfts.sat on the mat", &[1]),
        ("name", "phfts.cat fat", &[]),
        ("name", "wfts.\"fat cat\" or rat", &[1, 2]),
        ("name", "wfts.cat -rat", &[1]),
        ("name", "wfts.ada@example.com", &[3]),
        ("name", "phfts.foo bar", &[3]),
        ("name", "plfts.", &[]),
        ("name", "not.plfts.the", &[1, 2, 3, 5]),
        ("name", "not.wfts.cat", &[3, 5]),
        ("data", "fts.run & dog", &[1, 3]),
        ("data", "phfts.running dogs", &[1]),
        ("data", "fts.title", &[]),
        ("data->tags", "wfts.red", &[1]),
        ("data->>title", "plfts.animal", &[2]),
        ("data->n", "fts(simple).5", &[]),
        ("or", "(name.wfts.\"rat or \\\"fat cat\\\"\",data.fts(simple).dog)", &[1, 2, 3]),
        ("and", "(name.plfts.cat,name.not.fts.fat)", &[2]),
    ] {
        let reply = cloud.get(&format!("entities?select=id&order=id&{}={}", encoded(key), encoded(value)));
        assert_eq!(reply.status, 200, "{key}={value}: {}", reply.text);
        assert_eq!(ids(&reply), expected, "{key}={value}");
    }
}

#[test]
fn bad_searches_are_refused_in_postgresqls_words() {
    let mut cloud = searched();
    for (query, status, code, message) in [
        ("name=fts.fat cat", 400, "42601", "syntax error in tsquery: \"fat cat\""),
        ("name=fts.fat %26", 400, "42601", "no operand in tsquery: \"fat &\""),
        ("name=fts.fat\\", 400, "42601", "there is no escaped character: \"fat\\\""),
        ("name=plfts(klingon).x", 400, "42704", "text search configuration \"klingon\" does not exist"),
        ("id=plfts.x", 404, "42883", "function to_tsvector(integer) does not exist"),
        ("done=plfts(english).x", 404, "42883", "function to_tsvector(unknown, boolean) does not exist"),
    ] {
        let reply = cloud.get(&format!("entities?{query}"));
        assert_eq!((reply.status, reply.code()), (status, code), "{query}: {}", reply.text);
        assert_eq!(reply.body["message"], message, "{query}");
    }
}

#[test]
fn what_asks_too_much_is_refused_as_postgrest_does() {
    let mut cloud = searched();
    let words = "w,".repeat(1_001);
    let large = cloud.get(&format!("entities?name=plfts.{}", encoded(&words)));
    assert_eq!((large.status, large.code()), (500, "54000"));
    let _ = cloud.conn.progress_handler(1, Some(|| true));
    let broken = cloud.get("entities?name=fts.cat");
    assert_eq!(
        (broken.status, broken.code(), broken.body["message"].as_str()),
        (500, "57014", Some("canceling statement due to statement timeout"))
    );
}
