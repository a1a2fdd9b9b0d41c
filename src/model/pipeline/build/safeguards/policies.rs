//! Policy files: read, and kept with their digest. That they are sound Cedar is checked where Cedar is known.

use crate::model::document::{Fields, Node};
use crate::model::ids::Digest;
use crate::model::pipeline::beside::Beside;
use crate::model::safeguards::PolicyFile;

/// So many files of policies are more than anybody overlooks.
const FILES_MAX: usize = 100;

/// Every policy file that is named and can be read.
pub fn policies(root: &Fields<'_>, beside: &Beside<'_>) -> Vec<PolicyFile> {
    let faults = root.faults();
    let nodes = root.list("policies");
    if let (true, Some(key)) = (nodes.len() > FILES_MAX, root.key("policies")) {
        faults.at(key, format!("{} policy files, and {FILES_MAX} are the most", nodes.len()), "put them together");
        return Vec::new();
    }
    let mut found: Vec<PolicyFile> = Vec::new();
    for node in nodes {
        let Some(policy) = faults.sound(|| policy(node, root, beside)) else { continue };
        match found.iter().any(|other| other.file == policy.file) {
            true => {
                let place = node.entry("file").map_or(node, |(_, file)| file);
                faults.at(place, format!("`{}` is named twice", policy.file), "name it once");
            }
            false => found.push(policy),
        }
    }
    found
}

fn policy(node: &Node, root: &Fields<'_>, beside: &Beside<'_>) -> Option<PolicyFile> {
    let faults = root.faults();
    let fields = Fields::of(node, &["file", "dry_run"], faults)?;
    let dry_run = fields.flag("dry_run");
    let named = fields.need("file", "policies/never-delete-data.cedar")?;
    let (file, bytes) = beside.read(named, faults)?;
    let digest = Digest::of_bytes(&bytes);
    let Ok(text) = String::from_utf8(bytes) else {
        faults.at(named, format!("`{file}` is not UTF-8"), "save it as UTF-8");
        return None;
    };
    if text.trim().is_empty() {
        faults.at(named, format!("`{file}` is empty"), "write a policy into it, or do not name it");
        return None;
    }
    Some(PolicyFile { file, digest, text, dry_run, line: beside.lines.line(named) })
}
