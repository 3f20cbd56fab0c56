//! Object names: a path has one key and a key one path, in characters that the storage service and every proxy take.
//! The input is taken for a path, and for a key that somebody else made.
#![no_main]
use cloud_client::storage::{LIMIT_BYTES, NameError, ObjectName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match ObjectName::encode(text) {
        Ok(name) => is_the_key_of(&name, text),
        Err(NameError::Empty) => assert!(text.split('/').any(str::is_empty)),
        Err(NameError::Dots) => assert!(text.split('/').any(|segment| segment == "." || segment == "..")),
        // No byte takes more than itself between two `=` in base64: four characters.
        Err(NameError::TooLong) => assert!(text.len() > LIMIT_BYTES / 4),
        Err(other) => panic!("a path is refused as {other:?}"),
    }
    if let Ok(name) = ObjectName::parse(text) {
        assert_eq!(name.as_str(), text);
        is_the_key_of(&name, &name.decode());
    }
});

fn is_the_key_of(name: &ObjectName, path: &str) {
    let key = name.as_str();
    assert_eq!(name.decode(), path);
    assert_eq!(ObjectName::encode(path).as_ref(), Ok(name));
    assert_eq!(ObjectName::parse(key).as_ref(), Ok(name));
    assert!(key.len() <= LIMIT_BYTES);
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_!.*'() &$@=;:+,?-/".contains(&byte)), "{key}");
    for segment in key.split('/') {
        assert!(!["", ".", ".."].contains(&segment), "{key}");
        assert_eq!(segment.trim(), segment, "{key}");
    }
    // Each segment of the path is one segment of the key.
    assert_eq!(key.split('/').count(), path.split('/').count());
}
