//! `cargo xtask check-capabilities`: holds `docs/capabilities/*.yaml` against the code.
//!
//! Each file says of every feature of one area whether it is done, partial or absent, under which public symbol, and
//! which test proves it. A symbol that is no longer in its crate, a test that is no longer in its file, a feature that was
//! dropped from the list: each is a fault with its line. The files are read by a small strict reader; a form it does
//! not know is an error.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The areas, and how many features the public list of Supabase's SDK capabilities has in each.
const AREAS: &[(&str, usize)] = &[("client", 9), ("database", 55), ("functions", 7), ("realtime", 33), ("storage", 64)];

/// One feature as the file tells it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Feature {
    line: usize,
    id: String,
    status: String,
    symbol: String,
    test: String,
    why: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Checks all files; the faults, one a line, are the error.
pub(crate) fn command() -> Result<(), String> {
    let root = root();
    let (mut faults, mut lines) = (Vec::new(), Vec::new());
    for (area, listed) in AREAS {
        let path = root.join("docs/capabilities").join(format!("{area}.yaml"));
        let text = fs::read_to_string(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
        let features = parse(area, &text).map_err(|fault| format!("{}: {fault}", path.display()))?;
        let known = features.iter().filter(|feature| feature.id.starts_with(&format!("{area}."))).count();
        if known != *listed {
            faults.push(format!("{area}.yaml lists {known} features of the public list, which has {listed}"));
        }
        for feature in &features {
            faults.extend(check(&root, feature).err().map(|fault| format!("{area}.yaml:{}: {fault}", feature.line)));
        }
        let count = |status: &str| features.iter().filter(|feature| feature.status == status).count();
        let own = features.len() - known;
        lines.push(format!(
            "{area:<10} {:>3} done, {:>3} partial, {:>3} absent; {own} of them our own",
            count("done"),
            count("partial"),
            count("absent")
        ));
    }
    println!("{}", lines.join("\n"));
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn parse(area: &str, text: &str) -> Result<Vec<Feature>, String> {
    let mut features: Vec<Feature> = Vec::new();
    let mut ids = BTreeSet::new();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let content = raw.trim_end();
        if content.is_empty() || content.trim_start().starts_with('#') || content == "features:" {
            continue;
        }
        if let Some(named) = content.strip_prefix("area: ") {
            if named != area {
                return Err(format!("line {line}: the area is {named}, not {area}"));
            }
            continue;
        }
        if let Some(id) = content.strip_prefix("  - id: ") {
            if !ids.insert(id.to_owned()) {
                return Err(format!("line {line}: {id} is there twice"));
            }
            features.push(Feature { line, id: id.to_owned(), ..Feature::default() });
            continue;
        }
        let field = content.strip_prefix("    ").and_then(|field| field.split_once(": "));
        let (Some((name, value)), Some(feature)) = (field, features.last_mut()) else {
            return Err(format!("line {line}: not understood: {content}"));
        };
        let slot = match name {
            "status" => &mut feature.status,
            "symbol" => &mut feature.symbol,
            "test" => &mut feature.test,
            "why" => &mut feature.why,
            other => return Err(format!("line {line}: {other} is no field")),
        };
        value.clone_into(slot);
    }
    Ok(features)
}

fn check(root: &Path, feature: &Feature) -> Result<(), String> {
    let id = &feature.id;
    match feature.status.as_str() {
        "absent" if feature.why.is_empty() => Err(format!("{id} is absent without a why")),
        "absent" => Ok(()),
        "partial" if feature.why.is_empty() => Err(format!("{id} is partial without a why")),
        "done" | "partial" => {
            symbol_exists(root, &feature.symbol).map_err(|fault| format!("{id}: {fault}"))?;
            test_exists(root, &feature.test).map_err(|fault| format!("{id}: {fault}"))
        }
        other => Err(format!("{id}: `{other}` is no status; there are done, partial and absent")),
    }
}

/// Whether the crate has a source file that holds the symbol's last two names.
fn symbol_exists(root: &Path, symbol: &str) -> Result<(), String> {
    let parts: Vec<&str> = symbol.split("::").collect();
    let [krate, .., name] = *parts else { return Err(format!("`{symbol}` is no path of a public symbol")) };
    let folder = if krate == "cloud_sdk" { root.join("src") } else { root.join(krate.replace('_', "-")).join("src") };
    // `crate::name` stands alone; otherwise the name before it (a type or a module) must be near.
    let owner = parts
        .get(parts.len() - 2)
        .filter(|owner| **owner != krate && owner.chars().next().is_some_and(char::is_uppercase));
    let mut files = Vec::new();
    sources(&folder, &mut files)?;
    let found = files.iter().any(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let public = ["fn ", "struct ", "enum ", "trait ", "type ", "mod "].iter().any(|kind| text.contains(&format!("pub {kind}{name}")))
            || text.contains(&format!("pub async fn {name}"))
            || text.contains(&format!("pub const fn {name}"))
            // Methods that a list in a macro call makes, and methods of a public trait.
            || text.lines().map(str::trim_start).any(|line| {
                line.starts_with(&format!("{name} = \"")) || line.starts_with(&format!("async fn {name}("))
            });
        public && owner.is_none_or(|owner| words(&text).any(|word| word == *owner))
    });
    if found { Ok(()) } else { Err(format!("no public `{symbol}` in {}", folder.display())) }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// `path#name`: a Rust test of that name, or a script that has the text.
fn test_exists(root: &Path, test: &str) -> Result<(), String> {
    let (path, name) = test.split_once('#').ok_or_else(|| format!("`{test}` names no test; write path#name"))?;
    let text = fs::read_to_string(root.join(path)).map_err(|cause| format!("{path}: {cause}"))?;
    let wanted = if path.ends_with(".rs") { format!("fn {name}(") } else { name.to_owned() };
    if !name.is_empty() && text.contains(&wanted) { Ok(()) } else { Err(format!("{path} has no test `{name}`")) }
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|cause| format!("{}: {cause}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "area: client\nfeatures:\n  - id: client.a\n    status: done\n    symbol: xtask::capabilities\n    test: x.rs#y\n";

    #[test]
    fn a_file_is_read_strictly() {
        let features = parse("client", FILE).unwrap();
        assert_eq!((features.len(), &*features[0].id, &*features[0].status), (1, "client.a", "done"));
        for (broken, word) in [
            (FILE.replace("    status", "   status"), "not understood"),
            (FILE.replace("status", "state"), "no field"),
            (FILE.replace("client\n", "other\n"), "the area is"),
            (format!("{FILE}  - id: client.a\n"), "twice"),
        ] {
            assert!(parse("client", &broken).unwrap_err().contains(word), "{broken}");
        }
    }

    #[test]
    fn a_renamed_symbol_a_missing_test_and_an_unexplained_gap_are_faults() {
        let root = root();
        let feature = |status: &str, symbol: &str, test: &str| Feature {
            id: "client.a".into(),
            status: status.into(),
            symbol: symbol.into(),
            test: test.into(),
            ..Feature::default()
        };
        let here = "xtask/src/capabilities.rs#a_file_is_read_strictly";
        let fault = |feature: &Feature| check(&root, feature).unwrap_err();
        assert_eq!(check(&root, &feature("done", "cloud_client::Client::table", here)), Ok(()));
        assert!(fault(&feature("done", "cloud_client::Client::tabel", here)).contains("no public"));
        assert!(fault(&feature("done", "cloud_client::Stranger::table", here)).contains("no public"));
        assert!(
            fault(&feature("done", "cloud_client::Client::table", "xtask/src/main.rs#nobody_wrote_this"))
                .contains("has no test")
        );
        assert!(fault(&feature("absent", "", "")).contains("without a why"));
        assert!(fault(&feature("finished", "", "")).contains("no status"));
    }
}
