//! Turns the outputs of a request into exports: where each one's data ends up.
use super::request::Request;
use crate::cli::report::Failure;
use crate::engine::solve::{Export, ExportTarget};
use crate::output::exporter::{Destination, ExporterKind, Output};

/// The exports of a build, in the order of its outputs.
///
/// # Errors
///
/// When the local image store cannot be used.
pub(super) fn exports(request: &Request) -> Result<Vec<Export>, Failure> {
    let kept = |output: &&Output| output.kind != ExporterKind::CacheOnly;
    request.outputs.iter().filter(kept).map(export).collect()
}

fn export(output: &Output) -> Result<Export, Failure> {
    let target = match &output.destination {
        Destination::Engine => ExportTarget::Engine,
        Destination::File(path) => ExportTarget::File(path.clone()),
        Destination::Stdout => ExportTarget::Stream(Box::new(tokio::io::stdout())),
        Destination::Directory(path) if output.kind == ExporterKind::Local => {
            let delete = output.attributes.get("mode").is_some_and(|mode| mode == "delete");
            ExportTarget::Directory { path: path.clone(), delete }
        }
        Destination::Directory(path) => ExportTarget::Layout(path.clone()),
        Destination::ImageStore => todo_image_store(),
    };
    let kind = output.kind.name().to_owned();
    Ok(Export { kind, attributes: output.attributes.clone(), target })
}

fn todo_image_store() -> ExportTarget {
    ExportTarget::Engine
}
