//! Reads the part of `deny.toml` that the check of dependencies enforces.
//!
//! `[licenses] allow`, `[bans] deny` and `wildcards`, `[sources] allow-registry` → [`Policy`]. The
//! reader knows tables, strings, booleans and arrays of strings; anything else in the file is an error,
//! so that no rule is silently skipped.
//! Source: cargo-deny, configuration file.

use std::collections::BTreeMap;

/// What dependencies may be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) licences: Vec<String>,
    pub(crate) banned: Vec<String>,
    pub(crate) denies_wildcards: bool,
    pub(crate) registries: Vec<String>,
}

pub(crate) fn parse(text: &str) -> Result<Policy, String> {
    let mut settings = settings(text)?;
    let mut list = |key: &str| settings.remove(key).ok_or_else(|| format!("deny.toml has no {key}"));
    let policy = Policy {
        licences: list("licenses.allow")?,
        banned: list("bans.deny")?,
        denies_wildcards: list("bans.wildcards")? == ["deny"],
        registries: list("sources.allow-registry")?,
    };
    if policy.licences.is_empty() || policy.registries.is_empty() {
        return Err("deny.toml allows no licence or no registry".to_owned());
    }
    Ok(policy)
}

/// `table.key` → its strings; one string is a list of one.
fn settings(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut settings = BTreeMap::new();
    let mut table = String::new();
    let mut lines = text.lines().map(without_comment).enumerate();
    while let Some((number, line)) = lines.next() {
        let fault = |what: &str| format!("deny.toml, line {}: {what}", number + 1);
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| fault("neither a table nor a setting"))?;
        let mut value = value.trim().to_owned();
        while value.starts_with('[') && !value.ends_with(']') {
            let (_, more) = lines.next().ok_or_else(|| fault("the array does not end"))?;
            value.push_str(more);
        }
        let strings = strings(&value).ok_or_else(|| fault("neither a string, a boolean nor an array of strings"))?;
        settings.insert(format!("{table}.{}", key.trim()), strings);
    }
    Ok(settings)
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let end = line.find(|c| {
        quoted ^= c == '"';
        c == '#' && !quoted
    });
    line.split_at(end.unwrap_or(line.len())).0.trim()
}

fn strings(value: &str) -> Option<Vec<String>> {
    if let "true" | "false" = value {
        return Some(vec![value.to_owned()]);
    }
    if let Some(inside) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let items = inside.split(',').map(str::trim).filter(|item| !item.is_empty());
        return items.map(string).collect();
    }
    string(value).map(|one| vec![one])
}

fn string(value: &str) -> Option<String> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    (!inside.contains(['"', '\\'])).then(|| inside.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        # A comment.
        [licenses]
        allow = [
            "MIT",  # another
            "Apache-2.0",
        ]
        [bans]
        wildcards = "deny"
        allow-wildcard-paths = true
        deny = ["openssl", "rsa"]
        [sources]
        allow-registry = ["https://example.com/#index"]
    "#;

    #[test]
    fn the_rules_are_found() {
        let policy = parse(SMALL).unwrap();
        assert_eq!(policy.licences, ["MIT", "Apache-2.0"]);
        assert_eq!(policy.banned, ["openssl", "rsa"]);
        assert_eq!(policy.registries, ["https://example.com/#index"]);
        assert!(policy.denies_wildcards);
    }

    #[test]
    fn the_project_has_a_policy_that_can_be_read() {
        let policy = parse(include_str!("../../deny.toml")).unwrap();
        assert!(policy.licences.iter().any(|licence| licence == "MIT"));
        assert!(policy.banned.iter().any(|name| name == "openssl"));
        assert!(policy.denies_wildcards);
    }

    #[test]
    fn what_the_reader_does_not_know_is_an_error_and_not_ignored() {
        let cases = [
            ("deny = [\"openssl\", \"rsa\"]", "deny = [{ crate = \"openssl\" }]", "line 11"),
            ("\"MIT\",", "MIT,", "line 4"),
            ("[sources]", "nonsense", "neither a table nor a setting"),
            ("deny = [\"openssl\", \"rsa\"]", "", "no bans.deny"),
            ("\"https://example.com/#index\"]", "", "does not end"),
            ("\"https://example.com/#index\"", "", "no licence or no registry"),
        ];
        for (from, to, expected) in cases {
            assert!(SMALL.contains(from), "{from}");
            let error = parse(&SMALL.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
