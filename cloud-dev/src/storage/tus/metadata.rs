//! `Upload-Metadata` and the id of a resumable upload.
//!
//! `key base64value, …` → pairs; bucket, key and version ↔ the last part of the address.
//! Wire source: TUS 1.0.0, creation extension; Supabase Storage, upload ids.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::storage::key::Place;

/// The pairs of the header; `None` if it cannot be read.
pub(super) fn parse(header: &str) -> Option<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in header.split(',').map(str::trim) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let known = pairs.iter().any(|(other, _)| other == key);
        if key.is_empty() || !key.is_ascii() || known || value.contains(' ') {
            return None;
        }
        pairs.push((key.to_owned(), String::from_utf8(STANDARD.decode(value).ok()?).ok()?));
    }
    Some(pairs)
}

/// The id of the upload of `version` to `place`.
pub(super) fn id(place: &Place, version: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}/{version}", place.path()))
}

/// Takes an id apart again.
pub(super) fn from_id(id: &str) -> Option<(Place, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id.trim_end_matches('=')).ok()?).ok()?;
    let (path, version) = text.rsplit_once('/')?;
    let (bucket, name) = path.split_once('/')?;
    Some((Place::new(bucket, name).ok()?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_header_is_pairs_of_a_name_and_base64() {
        let pairs = parse("bucketName d29ya3NwYWNlLWZpbGVz,objectName d3MxL2FiYy5iaW4=, flag").unwrap();
        let expected = [("bucketName", "workspace-files"), ("objectName", "ws1/abc.bin"), ("flag", "")];
        assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for bad in ["", ",", "a b c", "a !!", "a YQ==,a YQ==", "a YQ==,", "a /w=="] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn an_id_leads_back_to_its_upload(bucket in "[a-z-]{1,20}", name in "[a-zA-Z0-9/ ._-]{1,40}", version in "[0-9a-f-]{36}") {
            let place = Place::new(bucket, name).unwrap();
            prop_assert_eq!(from_id(&id(&place, &version)), Some((place, version)));
        }
    }
}
