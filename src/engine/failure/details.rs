//! The details of a gRPC status, as the daemon writes them: JSON under the names of its Go types.
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{OpKind, Place, StepError};
use crate::engine::status::SourceFile;
use crate::oci::digest::Digest;

/// The details of a status, as far as they are understood.
#[derive(Default)]
pub(super) struct Details {
    vertex: Option<Digest>,
    solve: Option<SolveDetail>,
    exit_code: Option<u32>,
    sources: Vec<Place>,
}

impl Details {
    /// Takes one detail in; what it does not know it passes over.
    pub(super) fn add(&mut self, detail: &prost_types::Any) {
        let Some((_, kind)) = detail.type_url.rsplit_once('/') else { return };
        match kind {
            "errdefs.Vertex+json" => {
                let parsed: Option<VertexDetail> = json(&detail.value);
                self.vertex = parsed.and_then(|vertex| vertex.digest.parse().ok()).or(self.vertex);
            }
            "errdefs.Solve+json" => self.solve = json(&detail.value).or(self.solve.take()),
            "errdefs.Source+json" => {
                self.sources.extend(json::<SourceDetail>(&detail.value).and_then(Place::from_json));
            }
            "gatewayapi.ExitMessage+json" => {
                let parsed: Option<ExitDetail> = json(&detail.value);
                self.exit_code = parsed.map(|exit| exit.code).or(self.exit_code);
            }
            _ => {}
        }
    }

    /// The failure that the details and the status's `message` make.
    pub(super) fn error(self, message: &str) -> StepError {
        let message = message.strip_prefix("failed to solve: ").unwrap_or(message);
        let name = self.solve.as_ref().and_then(|solve| {
            solve.description.get("llb.customname").cloned().filter(|name| !name.is_empty())
        });
        StepError {
            message: message.to_owned(),
            vertex: self.vertex,
            name,
            exit_code: self.exit_code,
            op: self.solve.and_then(|solve| solve.op).map(|op| op.kind()),
            sources: self.sources,
            ..StepError::default()
        }
        .with_excerpt()
    }
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[derive(Deserialize)]
struct VertexDetail {
    digest: String,
}

#[derive(Deserialize)]
struct ExitDetail {
    #[serde(rename = "Code", default)]
    code: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SolveDetail {
    op: Option<OpDetail>,
    description: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct OpDetail {
    exec: Option<IgnoredAny>,
    file: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
}

impl OpDetail {
    fn kind(&self) -> OpKind {
        match (&self.exec, &self.file, &self.source) {
            (Some(_), _, _) => OpKind::Exec,
            (_, Some(_), _) => OpKind::File,
            (_, _, Some(_)) => OpKind::Source,
            _ => OpKind::Other,
        }
    }
}

#[derive(Deserialize)]
struct SourceDetail {
    info: Option<InfoDetail>,
    #[serde(default)]
    ranges: Vec<RangeDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InfoDetail {
    filename: String,
    data: String,
    language: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RangeDetail {
    start: PositionDetail,
    end: PositionDetail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PositionDetail {
    line: u32,
}

impl Place {
    fn from_json(detail: SourceDetail) -> Option<Self> {
        let info = detail.info?;
        let text = BASE64.decode(&info.data).unwrap_or_default();
        Some(Self {
            file: SourceFile {
                name: info.filename,
                text: String::from_utf8_lossy(&text).into_owned(),
                language: info.language,
            },
            lines: detail
                .ranges
                .iter()
                .map(|range| (range.start.line, range.end.line.max(range.start.line)))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(kind: &str, json: serde_json::Value) -> prost_types::Any {
        prost_types::Any {
            type_url: format!("github.com/moby/buildkit/{kind}"),
            value: json.to_string().into_bytes(),
        }
    }

    #[test]
    fn reads_a_failed_step() {
        let mut details = Details::default();
        let digest = Digest::of(b"x");
        for part in [
            detail("stack.Stack+json", serde_json::json!({ "frames": [] })),
            detail("errdefs.Vertex+json", serde_json::json!({ "digest": digest.to_string() })),
            detail("gatewayapi.ExitMessage+json", serde_json::json!({ "Code": 3 })),
            detail(
                "errdefs.Solve+json",
                serde_json::json!({
                    "inputIDs": ["a"],
                    "op": { "inputs": [], "exec": { "meta": {} } },
                    "description": { "llb.customname": "[2/2] RUN false" },
                }),
            ),
            detail(
                "errdefs.Source+json",
                serde_json::json!({
                    "info": { "filename": "Dockerfile", "data": BASE64.encode("FROM x\nRUN \\\n false\n") },
                    "ranges": [{ "start": { "line": 2 }, "end": { "line": 3 } }],
                }),
            ),
        ] {
            details.add(&part);
        }
        let error = details.error("failed to solve: process \"false\" did not complete");
        assert_eq!(error.vertex, Some(digest));
        assert_eq!(error.exit_code, Some(3));
        assert_eq!(error.op, Some(OpKind::Exec));
        assert_eq!(error.sources[0].lines, [(2, 3)]);
        assert_eq!(error.labels[0].offset(), 7);
        assert_eq!(error.labels[0].len(), "RUN \\\n false".len());
        assert_eq!(
            error.to_string(),
            "`[2/2] RUN false` failed: process \"false\" did not complete"
        );
    }

    #[test]
    fn details_that_are_not_json_are_ignored() {
        let mut details = Details::default();
        details.add(&prost_types::Any {
            type_url: "github.com/moby/buildkit/errdefs.Solve+json".into(),
            value: b"{".to_vec(),
        });
        details.add(&prost_types::Any { type_url: String::new(), value: Vec::new() });
        let error = details.error("no");
        assert_eq!((error.op, error.to_string().as_str()), (None, "no"));
    }
}
