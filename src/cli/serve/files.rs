//! The files around a daemon: its pipelines, its kill file; names and dates.

use crate::api::notify::Notifier;
use crate::api::notify::outbox::DeliveriesView;
use crate::api::service::{FaultyFile, FoundPipeline, Surroundings};
use crate::cli::files;
use crate::engine::policy::Policies;
use crate::model::ids::{KillId, RolloutId};
use crate::model::pipeline::{self, Pipeline};
use crate::model::price_book::read::is_price_book;
use std::path::{Path, PathBuf};

/// The files around a daemon.
pub(super) struct Files {
    pub(super) pipelines: PathBuf,
    pub(super) kill_file: PathBuf,
    pub(super) notifier: Notifier,
}

impl Surroundings for Files {
    fn pipeline(&self, name: &str) -> Result<Pipeline, String> {
        find_pipeline(&self.pipelines, name)
    }
    fn pipelines(&self) -> Result<Vec<FoundPipeline>, String> {
        all_pipelines(&self.pipelines)
    }
    fn check(&self, file: &str, text: &str) -> Vec<String> {
        // Policies and price books lie beside the pipelines.
        let beside = files::beside(&self.pipelines.join("pipeline.yaml"));
        match pipeline::read::read_with(file, text.as_bytes(), &beside) {
            Ok(pipeline) => with_sound_policies(pipeline).err().into_iter().collect(),
            Err(diagnostics) => vec![diagnostics.to_string()],
        }
    }
    fn rollout_id(&self) -> RolloutId {
        new_rollout_id()
    }
    fn kill_id(&self) -> KillId {
        new_kill_id()
    }
    fn wall(&self) -> jiff::Timestamp {
        wall()
    }
    fn kill_file(&self) -> Option<PathBuf> {
        // One that cannot be looked for may be there.
        self.kill_file.try_exists().unwrap_or(true).then(|| self.kill_file.clone())
    }
    fn deliveries(&self) -> DeliveriesView {
        self.notifier.view()
    }
}

/// The pipeline of that name among the files of a folder. A file that does not check is passed over unless it is the one that was
/// looked for, by its file name or by the `name` in it.
///
/// # Errors
/// Words for people.
pub fn find_pipeline(folder: &Path, name: &str) -> Result<Pipeline, String> {
    let files = files::pipelines_in(folder).map_err(|e| e.to_string())?;
    let mut known = Vec::new();
    let mut broken = Vec::new();
    for file in files {
        let shown = file.display().to_string();
        let bytes = files::read_bounded(&file).map_err(|e| e.to_string())?;
        if is_price_book(&bytes) {
            continue;
        }
        match pipeline::read::read_with(&shown, &bytes, &files::beside(&file)) {
            Ok(pipeline) if pipeline.name == name => return with_sound_policies(pipeline),
            Ok(pipeline) => known.push(format!("`{}`", pipeline.name)),
            Err(diagnostics) => broken.push((file, diagnostics)),
        }
    }
    let looked_for =
        broken.iter().find(|(file, _)| file.file_stem().is_some_and(|stem| stem == name)).or(broken.first());
    match looked_for {
        Some((_, diagnostics)) => Err(format!("no sound pipeline `{name}` in `{}`:\n{diagnostics}", folder.display())),
        None => {
            Err(format!("there is no pipeline `{name}` in `{}`; there are: {}", folder.display(), known.join(", ")))
        }
    }
}

/// Every pipeline of a folder; one that does not check with its file's name and faults.
pub(super) fn all_pipelines(folder: &Path) -> Result<Vec<FoundPipeline>, String> {
    let mut all = Vec::new();
    for file in files::pipelines_in(folder).map_err(|e| e.to_string())? {
        let shown = file.display().to_string();
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = files::read_bounded(&file).map_err(|e| e.to_string())?;
        if is_price_book(&bytes) {
            continue;
        }
        let read = pipeline::read::read_with(&shown, &bytes, &files::beside(&file));
        all.push(
            read.map_err(|d| d.to_string()).and_then(with_sound_policies).map_err(|fault| FaultyFile { name, fault }),
        );
    }
    Ok(all)
}

/// A pipeline whose policies nobody can read is no pipeline to go through.
fn with_sound_policies(pipeline: Pipeline) -> Result<Pipeline, String> {
    match Policies::compile(&pipeline.safeguards.policies) {
        Ok(_) => Ok(pipeline),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Err(format!("the policies of pipeline `{}` are not sound:\n{}", pipeline.name, faults.join("\n")))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge of the program dates what people do")]
pub(super) fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A name for a new rollout: time-ordered, so that the newest one sorts last.
pub fn new_rollout_id() -> RolloutId {
    RolloutId::new(format!("r-{}", uuid::Uuid::now_v7().simple()))
}

pub(super) fn new_kill_id() -> KillId {
    KillId::new(format!("k-{}", uuid::Uuid::now_v7().simple()))
}

/// An error with all of its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
