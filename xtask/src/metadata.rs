//! The workspace as cargo sees it, reduced to what the checks ask.
//!
//! `cargo metadata` JSON → [`Workspace`]. Without dependencies it needs no network and no lock file.
//! Source: cargo, `cargo metadata` format version 1.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::{Command, Stdio},
};

/// The packages of the workspace, or of the whole dependency graph.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
    /// Package id → ids it depends on; empty when read without dependencies.
    pub(crate) graph: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest: PathBuf,
    pub(crate) licence: Option<String>,
    /// `None` for a package of the workspace.
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) requirement: String,
    pub(crate) is_path: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Build => "build",
            Self::Dev => "dev",
        }
    }
}

/// The crates of the workspace and what their manifests name.
pub(crate) fn workspace() -> Result<Workspace, String> {
    read(&["--no-deps"])
}

/// Everything in the lock file that any platform and any feature can use.
///
/// Reading a crate for another platform may need a download; without network, this platform's crates
/// are what can be checked, and the second value says so.
pub(crate) fn everything() -> Result<(Workspace, Option<String>), String> {
    let all = read(&["--locked", "--all-features"]);
    let Err(reason) = all else { return all.map(|workspace| (workspace, None)) };
    let host = host()?;
    let part = read(&["--locked", "--all-features", "--filter-platform", &host])?;
    let first = reason.lines().find(|line| line.contains("error")).unwrap_or("cargo metadata failed").trim();
    Ok((part, Some(format!("only dependencies for {host} were checked ({first})"))))
}

/// The cargo that runs us, so that a chosen toolchain stays chosen.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn read(options: &[&str]) -> Result<Workspace, String> {
    let output = Command::new(cargo())
        .args(["metadata", "--format-version", "1"])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cargo metadata does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata printed something else than JSON: {error}"))?;
    parse(&value).ok_or_else(|| "cargo metadata has another format than version 1".to_owned())
}

fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn parse(value: &Value) -> Option<Workspace> {
    let packages = value.get("packages")?.as_array()?.iter().map(package).collect::<Option<_>>()?;
    let nodes = value.pointer("/resolve/nodes").and_then(Value::as_array);
    let graph = nodes.into_iter().flatten().map(node).collect::<Option<_>>()?;
    Some(Workspace { root: text(value, "workspace_root")?.into(), packages, graph })
}

fn package(value: &Value) -> Option<Package> {
    Some(Package {
        id: text(value, "id")?,
        name: text(value, "name")?,
        version: text(value, "version")?,
        manifest: text(value, "manifest_path")?.into(),
        licence: text(value, "license"),
        source: text(value, "source"),
        dependencies: value.get("dependencies")?.as_array()?.iter().map(dependency).collect::<Option<_>>()?,
    })
}

fn dependency(value: &Value) -> Option<Dependency> {
    let kind = match value.get("kind")?.as_str() {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    };
    Some(Dependency {
        name: text(value, "name")?,
        kind,
        requirement: text(value, "req")?,
        is_path: text(value, "path").is_some(),
    })
}

fn node(value: &Value) -> Option<(String, Vec<String>)> {
    let ids: BTreeSet<String> = value
        .get("dependencies")?
        .as_array()?
        .iter()
        .map(|id| id.as_str().map(str::to_owned))
        .collect::<Option<_>>()?;
    Some((text(value, "id")?, ids.into_iter().collect()))
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_parts_that_the_checks_need_are_found() {
        let value = json!({
            "workspace_root": "/w",
            "packages": [{
                "id": "path+file:///w#a@0.1.0", "name": "a", "version": "0.1.0", "manifest_path": "/w/Cargo.toml",
                "license": null, "source": null,
                "dependencies": [
                    {"name": "b", "kind": null, "req": "*", "path": "/w/b"},
                    {"name": "c", "kind": "dev", "req": "^1"},
                    {"name": "d", "kind": "build", "req": "^1"},
                ],
            }],
            "resolve": {"nodes": [{"id": "path+file:///w#a@0.1.0", "dependencies": ["b"]}]},
        });
        let workspace = parse(&value).unwrap();
        let found: Vec<_> =
            workspace.packages[0].dependencies.iter().map(|d| (d.name.as_str(), d.kind.as_str(), d.is_path)).collect();
        assert_eq!(found, [("b", "normal", true), ("c", "dev", false), ("d", "build", false)]);
        assert_eq!(workspace.graph["path+file:///w#a@0.1.0"], ["b"]);
    }

    #[test]
    fn another_format_is_no_workspace() {
        assert!(parse(&json!({"packages": [{"name": "a"}], "workspace_root": "/w"})).is_none());
        assert!(parse(&json!([])).is_none());
    }
}
