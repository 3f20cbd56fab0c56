//! `cargo xtask check-layers`: arrows between crates go down only, and every crate inherits the lints.
//!
//! ```text
//! cloud-sdk ──► cloud-auth, cloud-sync, cloud-realtime, cloud-agents ──► cloud-client
//! cloud-dev     shares no code with any of them, not even in tests
//! ```
//! [`LAYERS`] is the house as a table. A crate that is not in it fails the check, so the table cannot
//! fall behind. Tests may also use `cloud-dev`, and `cloud-client` with its fakes.

use crate::metadata::{self, Kind, Package};
use std::{collections::BTreeSet, fs};

struct Layer {
    name: &'static str,
    /// What the crate may use in the code that it ships, and in its tests.
    uses: &'static [&'static str],
    /// What only its tests may use.
    tests_use: &'static [&'static str],
}

const CLIENT: &[&str] = &["cloud-client"];
const DEV: &[&str] = &["cloud-dev"];
const FAMILY: &[&str] = &["cloud-client", "cloud-auth", "cloud-sync", "cloud-realtime", "cloud-agents"];

const LAYERS: &[Layer] = &[
    Layer { name: "cloud-client", uses: &[], tests_use: &[] },
    Layer { name: "cloud-auth", uses: CLIENT, tests_use: DEV },
    Layer { name: "cloud-sync", uses: CLIENT, tests_use: DEV },
    Layer { name: "cloud-realtime", uses: CLIENT, tests_use: DEV },
    Layer { name: "cloud-agents", uses: CLIENT, tests_use: DEV },
    Layer { name: "cloud-sdk", uses: FAMILY, tests_use: DEV },
    Layer { name: "cloud-dev", uses: &[], tests_use: &[] },
    Layer { name: "xtask", uses: &[], tests_use: &[] },
];

/// Crates with a lint table of their own, and why. None so far.
const OWN_LINTS: &[(&str, &str)] = &[];

/// An arrow between two crates of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    kind: Kind,
}

pub(crate) fn command() -> Result<(), String> {
    let workspace = metadata::workspace()?;
    let arrows = arrows(&workspace.packages);
    println!("{:<16} {:<16} kind", "crate", "uses");
    for Arrow { from, to, kind } in &arrows {
        println!("{from:<16} {to:<16} {}", kind.as_str());
    }
    let mut faults = check(&workspace.packages);
    for package in &workspace.packages {
        let manifest = fs::read_to_string(&package.manifest)
            .map_err(|error| format!("{} cannot be read: {error}", package.manifest.display()))?;
        faults.extend(check_lints(&package.name, &manifest));
    }
    if faults.is_empty() {
        println!("\n{} crates, {} arrows, all as they should be.", workspace.packages.len(), arrows.len());
        return Ok(());
    }
    Err(format!("\n{}\n\n{} fault(s) in the layers.", faults.join("\n"), faults.len()))
}

/// Each arrow once, however often a manifest names it. A crate that uses itself does so to turn on its
/// own test features, and points nowhere.
fn arrows(packages: &[Package]) -> BTreeSet<Arrow> {
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let of = |package: &Package| -> Vec<Arrow> {
        let inside = |name: &str| members.contains(name) && name != package.name;
        let arrow = |to: &str, kind| Arrow { from: package.name.clone(), to: to.to_owned(), kind };
        package.dependencies.iter().filter(|d| inside(&d.name)).map(|d| arrow(&d.name, d.kind)).collect()
    };
    packages.iter().flat_map(of).collect()
}

/// What is wrong with the arrows, and how to mend it.
fn check(packages: &[Package]) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().find(|layer| layer.name == name);
    let mut faults: Vec<String> = packages
        .iter()
        .filter(|package| layer(&package.name).is_none())
        .map(|package| {
            let name = &package.name;
            format!(
                "{name}: not in the table of layers.\n  Mend: say what it may use, in LAYERS of xtask/src/layers.rs."
            )
        })
        .collect();
    for Arrow { from, to, kind } in arrows(packages) {
        let Some(Layer { uses, tests_use, .. }) = layer(&from) else { continue };
        let allowed = uses.contains(&to.as_str()) || kind == Kind::Dev && tests_use.contains(&to.as_str());
        if !allowed {
            faults.push(format!(
                "{from} -> {to} ({}): this arrow is not allowed.\n  Mend: {}",
                kind.as_str(),
                mend(&from, &to)
            ));
        }
    }
    faults
}

fn mend(from: &str, to: &str) -> String {
    let siblings = ["cloud-auth", "cloud-sync", "cloud-realtime", "cloud-agents"];
    match (from, to) {
        ("cloud-dev", _) => {
            "the development cloud is written from the wire formats alone; write what it needs there.".into()
        }
        (_, "cloud-dev") => "only tests may start the development cloud; move the line to [dev-dependencies].".into(),
        ("cloud-client", _) => format!("declare a trait in cloud-client for what it needs, and let {to} implement it."),
        (_, "cloud-sdk") => "the facade is on top; move what is shared down into cloud-client.".into(),
        _ if siblings.contains(&from) && siblings.contains(&to) => {
            format!("declare a trait in {from} for what it needs, and connect it to {to} in src/wiring.rs.")
        }
        _ => format!("remove {to} from the manifest of {from}."),
    }
}

fn check_lints(name: &str, manifest: &str) -> Option<String> {
    let is_listed = OWN_LINTS.iter().any(|(listed, _)| *listed == name);
    if is_listed || inherits_lints(manifest) {
        return None;
    }
    Some(format!(
        "{name}: does not inherit the lints.\n  Mend: add to its Cargo.toml:\n    [lints]\n    workspace = true"
    ))
}

fn inherits_lints(manifest: &str) -> bool {
    let mut table = "";
    manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).any(|line| {
        if line.starts_with('[') {
            table = line;
        }
        let setting: String = line.split_whitespace().collect();
        table == "[lints]" && setting == "workspace=true" || table.is_empty() && setting == "lints.workspace=true"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        let dependency = |&(name, kind): &(&str, Kind)| Dependency {
            name: name.to_owned(),
            kind,
            requirement: "*".to_owned(),
            is_path: true,
        };
        Package {
            name: name.to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
            ..Package::default()
        }
    }

    /// The faults of a whole family in which `from` also uses `to`.
    fn with_arrow(from: &str, to: &str, kind: Kind) -> Vec<String> {
        let more = |name: &'static str| if name == from { vec![(to, kind)] } else { vec![] };
        check(&LAYERS.iter().map(|layer| package(layer.name, &more(layer.name))).collect::<Vec<_>>())
    }

    #[test]
    fn every_arrow_that_is_not_in_the_table_is_a_fault() {
        let names: Vec<_> = LAYERS.iter().map(|layer| layer.name).collect();
        let siblings = ["cloud-auth", "cloud-sync", "cloud-realtime", "cloud-agents"];
        let mut allowed = 0;
        for &from in &names {
            for &to in names.iter().filter(|to| **to != from) {
                for kind in [Kind::Normal, Kind::Build, Kind::Dev] {
                    let is_sibling = siblings.contains(&from);
                    let is_facade = from == "cloud-sdk";
                    let expected = is_sibling && to == "cloud-client"
                        || is_facade && (to == "cloud-client" || siblings.contains(&to))
                        || (is_sibling || is_facade) && to == "cloud-dev" && kind == Kind::Dev;
                    assert_eq!(with_arrow(from, to, kind).is_empty(), expected, "{from} -> {to} ({kind:?})");
                    allowed += usize::from(expected);
                }
            }
        }
        assert_eq!(allowed, 4 * 3 + 5 * 3 + 5);
    }

    #[test]
    fn a_forbidden_arrow_is_named_with_its_remedy() {
        let faults = with_arrow("cloud-sync", "cloud-auth", Kind::Normal);
        let expected = "cloud-sync -> cloud-auth (normal): this arrow is not allowed.\n  Mend: declare a trait in cloud-sync \
                        for what it needs, and connect it to cloud-auth in src/wiring.rs.";
        assert_eq!(faults, [expected]);
    }

    #[test]
    fn a_crate_outside_the_table_is_a_fault() {
        let faults = check(&[package("cloud-new", &[])]);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("cloud-new: not in the table"), "{faults:?}");
    }

    #[test]
    fn a_crate_may_use_itself_and_the_world_outside() {
        let uses = [("cloud-auth", Kind::Dev), ("serde", Kind::Normal)];
        assert_eq!(check(&[package("cloud-auth", &uses)]), [] as [String; 0]);
    }

    #[test]
    fn lints_are_inherited_in_either_spelling_and_nowhere_else() {
        for manifest in [
            "[package]\n[lints]\nworkspace = true\n",
            "lints.workspace = true\n[package]\n",
            "[lints]\nworkspace=true # all\n",
        ] {
            assert_eq!(check_lints("cloud-auth", manifest), None, "{manifest}");
        }
        for manifest in [
            "",
            "[lints]\n",
            "[lints]\n# workspace = true\n",
            "[lints]\n[other]\nworkspace = true\n",
            "[lints]\nworkspace = false\n",
        ] {
            assert!(check_lints("cloud-auth", manifest).is_some(), "{manifest}");
        }
    }
}
