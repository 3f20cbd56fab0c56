//! `cargo xtask check-deps`: every dependency against `deny.toml`, without another program.
//!
//! Lock file → all packages of all platforms and features → licences, bans, sources, wildcards. It
//! enforces the same file as cargo-deny, in a second instead of after a long installation; cargo-deny
//! adds advisories where it is installed. How many crates a host gets with the facade has a limit, too.

use crate::{
    licence,
    metadata::{self, Package, Workspace},
    policy::{self, Policy},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    process::{Command, Stdio},
};

/// The crate that hosts link, and the most crates that it may bring along, itself among them.
const FACADE: &str = "cloud-sdk";
const MAX_CRATES: usize = 135;

pub(crate) fn command() -> Result<(), String> {
    let (workspace, note) = metadata::everything()?;
    let file = workspace.root.join("deny.toml");
    let text = fs::read_to_string(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let policy = policy::parse(&text)?;
    let faults = check(&workspace, &policy);
    if let Some(note) = note {
        println!("Note: {note}.");
    }
    if !faults.is_empty() {
        return Err(format!("{}\n\n{} fault(s) in the dependencies.", faults.join("\n"), faults.len()));
    }
    let crates = count(FACADE)?;
    if crates > MAX_CRATES {
        return Err(format!("{FACADE} brings {crates} crates along, at most {MAX_CRATES} are allowed."));
    }
    let outside = workspace.packages.iter().filter(|package| package.source.is_some()).count();
    println!(
        "{outside} dependencies: {} licences allowed, {} crates banned, one source. {crates} crates behind {FACADE}. All as they should \
         be.",
        policy.licences.len(),
        policy.banned.len()
    );
    Ok(())
}

/// The crates that `package` is built of on this platform with its default features.
fn count(package: &str) -> Result<usize, String> {
    let mut command = Command::new(metadata::cargo());
    let options = ["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none"];
    let output = command.args(options).args(["--format", "{p}"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cargo tree does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(distinct(&String::from_utf8_lossy(&output.stdout)))
}

/// Names with their versions, each counted once: what was shown before comes again with a mark.
fn distinct(tree: &str) -> usize {
    let name = |line: &str| line.trim_end_matches(" (*)").to_owned();
    tree.lines().filter(|line| !line.is_empty()).map(name).collect::<BTreeSet<_>>().len()
}

/// What breaks the policy, and how to mend it.
fn check(workspace: &Workspace, policy: &Policy) -> Vec<String> {
    let mut faults = Vec::new();
    for package in &workspace.packages {
        let Package { name, version, licence, source, .. } = package;
        let licence = licence.as_deref().unwrap_or("none named");
        if !licence::is_met(licence, &policy.licences) {
            faults.push(format!(
                "{name} {version}: licence {licence} is not on the list.\n  Used by: {}\n  Mend: choose another crate, or \
                 add the licence to [licenses] allow in deny.toml with its reason.",
                path(workspace, package)
            ));
        }
        if policy.banned.contains(name) {
            faults.push(format!(
                "{name} {version}: banned in deny.toml.\n  Used by: {}\n  Mend: turn off the feature that brings it, or \
                 choose another crate.",
                path(workspace, package)
            ));
        }
        match source.as_deref() {
            None if policy.denies_wildcards => faults.extend(wildcards(package)),
            Some(source) if !is_registry(source, policy) => faults.push(format!(
                "{name} {version}: comes from {source}.\n  Used by: {}\n  Mend: use a release from a registry that \
                 deny.toml allows.",
                path(workspace, package)
            )),
            _ => {}
        }
    }
    faults
}

fn is_registry(source: &str, policy: &Policy) -> bool {
    let registry = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"));
    registry.is_some_and(|registry| policy.registries.iter().any(|allowed| allowed == registry))
}

fn wildcards(package: &Package) -> impl Iterator<Item = String> {
    package.dependencies.iter().filter(|dependency| dependency.requirement == "*" && !dependency.is_path).map(
        |dependency| {
            let (user, name) = (&package.name, &dependency.name);
            format!("{name}: {user} takes any version.\n  Mend: name a version in [workspace.dependencies].")
        },
    )
}

/// The shortest way from a crate of the workspace to `package`.
fn path(workspace: &Workspace, package: &Package) -> String {
    let names: BTreeMap<&str, &str> =
        workspace.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let members = workspace.packages.iter().filter(|package| package.source.is_none());
    let mut ways: VecDeque<Vec<&str>> = members.map(|member| vec![member.id.as_str()]).collect();
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let Some(&last) = way.last() else { continue };
        if last == package.id {
            let way: Vec<&str> = way.iter().map(|id| names.get(id).copied().unwrap_or(id)).collect();
            return way.join(" > ");
        }
        for next in workspace.graph.get(last).into_iter().flatten() {
            if seen.insert(next.as_str()) {
                ways.push_back(way.iter().copied().chain([next.as_str()]).collect());
            }
        }
    }
    package.name.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Dependency, Kind};

    const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

    fn policy() -> Policy {
        Policy {
            licences: vec!["MIT".to_owned()],
            banned: vec!["openssl".to_owned()],
            denies_wildcards: true,
            registries: vec![CRATES_IO.to_owned()],
        }
    }

    fn package(name: &str, source: Option<&str>) -> Package {
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some("MIT".to_owned()),
            source: source.map(str::to_owned),
            ..Package::default()
        }
    }

    /// `ours` uses `between`, which uses the package.
    fn workspace_with(last: Package) -> Workspace {
        let crates_io = format!("registry+{CRATES_IO}");
        let graph = [("ours", "between"), ("between", last.id.as_str())];
        let graph = graph.map(|(from, to)| (from.to_owned(), vec![to.to_owned()]));
        let packages = vec![package("ours", None), package("between", Some(&crates_io)), last];
        Workspace { packages, graph: graph.into(), ..Workspace::default() }
    }

    fn faults_of(change: impl FnOnce(&mut Package)) -> Vec<String> {
        let mut last = package("last", Some(&format!("registry+{CRATES_IO}")));
        change(&mut last);
        check(&workspace_with(last), &policy())
    }

    #[test]
    fn a_dependency_that_keeps_the_rules_is_no_fault() {
        assert_eq!(faults_of(|_| {}), [] as [String; 0]);
    }

    #[test]
    fn each_broken_rule_is_named_with_the_way_to_it() {
        type Change = fn(&mut Package);
        let cases: [(Change, &str); 5] = [
            (|p| p.licence = Some("GPL-3.0".to_owned()), "last 1.0.0: licence GPL-3.0 is not on the list."),
            (|p| p.licence = None, "last 1.0.0: licence none named is not on the list."),
            (|p| p.source = Some("git+https://example.com/last".to_owned()), "last 1.0.0: comes from git+https"),
            (|p| p.source = Some("registry+https://example.com/index".to_owned()), "last 1.0.0: comes from registry+"),
            (|p| p.name = "openssl".to_owned(), "openssl 1.0.0: banned in deny.toml."),
        ];
        for (change, expected) in cases {
            let faults = faults_of(change);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(expected), "{}", faults[0]);
            assert!(faults[0].contains("Used by: ours > between > "), "{}", faults[0]);
        }
    }

    #[test]
    fn a_crate_that_comes_twice_in_the_tree_is_counted_once() {
        let tree = "ours v0.1.0 (/w)\nsyn v2.0.0\nquote v1.0.0\nsyn v2.0.0 (*)\nsyn v3.0.0\n\nquote v1.0.0 (*)\n";
        assert_eq!(distinct(tree), 4);
    }

    #[test]
    fn only_our_own_manifests_may_not_take_any_version_and_paths_may() {
        let any =
            |is_path| Dependency { name: "x".to_owned(), kind: Kind::Normal, requirement: "*".to_owned(), is_path };
        let of = |source: Option<&str>, is_path| {
            let package = Package { dependencies: vec![any(is_path)], ..package("p", source) };
            check(&Workspace { packages: vec![package], ..Workspace::default() }, &policy()).len()
        };
        let crates_io = format!("registry+{CRATES_IO}");
        assert_eq!((of(None, false), of(None, true), of(Some(&crates_io), false)), (1, 0, 0));
    }
}
