//! Turns the outputs of a request into exports: where each one's data ends up.
use super::load::Load;
use super::request::Request;
use crate::cli::report::Failure;
use crate::engine::solve::{Export, ExportTarget};
use crate::output::exporter::{Destination, ExporterKind, Output};

/// The exports of a build, and what is to be done with their data once it is here.
#[derive(Default)]
pub(super) struct Exports {
    /// In the order of the outputs.
    pub exports: Vec<Export>,
    /// Images that go to a local image store.
    pub loads: Vec<Load>,
}

impl Exports {
    /// Prepares the outputs of `request`.
    ///
    /// # Errors
    ///
    /// When a local image store cannot be used.
    pub(super) fn prepare(request: &Request) -> Result<Self, Failure> {
        let mut prepared = Self::default();
        for output in &request.outputs {
            prepared.add(output)?;
        }
        Ok(prepared)
    }

    fn add(&mut self, output: &Output) -> Result<(), Failure> {
        let mut kind = output.kind;
        let mut attributes = output.attributes.clone();
        let target = match &output.destination {
            Destination::Engine if kind == ExporterKind::CacheOnly => return Ok(()),
            Destination::Engine => ExportTarget::Engine,
            Destination::File(path) => ExportTarget::File(path.clone()),
            Destination::Stdout => ExportTarget::Stream(Box::new(tokio::io::stdout())),
            Destination::Directory(path) if kind == ExporterKind::Local => {
                let delete = output.attributes.get("mode").is_some_and(|mode| mode == "delete");
                ExportTarget::Directory { path: path.clone(), delete }
            }
            Destination::Directory(path) => ExportTarget::Layout(path.clone()),
            Destination::ImageStore(store) => {
                let (load, load_kind, target) = Load::start(*store)?;
                if matches!(load, Load::Store { .. }) {
                    // The own store is read on this machine: what is quick to make serves it best.
                    attributes.entry("compression".into()).or_insert_with(|| "zstd".into());
                }
                self.loads.push(load);
                kind = load_kind;
                target
            }
        };
        let kind = kind.name().to_owned();
        self.exports.push(Export { kind, attributes, target });
        Ok(())
    }
}
