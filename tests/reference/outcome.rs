//! What a compiler made of a case, in a form that both sides are brought into.
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The whole answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Failure>,
    /// The frontend that the input was handed on to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forward: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<Warning>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub results: Vec<PlatformResult>,
}

/// Why nothing was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub message: String,
    /// The lines it blames, first and last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lines: Vec<[i64; 2]>,
}

/// A finding of the checks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Warning {
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lines: Vec<[i64; 2]>,
}

/// The graph and image of one platform.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlatformResult {
    pub platform: String,
    /// Of the bytes of the image config.
    pub config_digest: String,
    pub config: Value,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epoch: Option<i64>,
    /// In the order of `Definition.def`.
    pub vertices: Vec<Vertex>,
}

/// One op.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Vertex {
    pub digest: String,
    /// What progress shows.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub group: String,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub no_cache: bool,
    /// The lines of the Dockerfile it comes from, first and last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lines: Vec<[i64; 2]>,
    /// Base64 of the op, only when asked for.
    #[serde(skip)]
    pub raw: String,
    /// Other metadata, not in expectations: the command, capabilities, resources.
    #[serde(skip)]
    pub extra: Value,
}

impl Outcome {
    /// Reads the oracle's answer.
    pub fn of_answer(answer: &Value) -> Self {
        let mut warnings: Vec<Warning> = list(&answer["warnings"])
            .map(|warning| Warning {
                message: text(&warning["message"]),
                lines: line_pairs(&warning["ranges"]),
            })
            .collect();
        warnings.extend(lint_response(answer));
        warnings.sort();
        Self {
            error: answer.get("error").map(|error| Failure {
                message: text(&error["message"]),
                lines: list(&error["ranges"]).flat_map(line_pairs).collect(),
            }),
            forward: answer["forward"].get("source").map(text),
            warnings,
            results: list(&answer["results"]).map(platform_result).collect(),
        }
    }

    /// The text of `expect.json`: one vertex or warning a line.
    pub fn render(&self) -> String {
        let mut fields = Vec::new();
        if let Some(error) = &self.error {
            fields.push(format!(" \"error\": {}", json!(error)));
        }
        if let Some(forward) = &self.forward {
            fields.push(format!(" \"forward\": {}", json!(forward)));
        }
        if !self.warnings.is_empty() {
            fields.push(format!(" \"warnings\": {}", lines(&self.warnings, "  ")));
        }
        if !self.results.is_empty() {
            let results: Vec<String> = self.results.iter().map(PlatformResult::render).collect();
            fields.push(format!(" \"results\": [\n{}\n ]", results.join(",\n")));
        }
        format!("{{\n{}\n}}\n", fields.join(",\n"))
    }
}

impl PlatformResult {
    fn render(&self) -> String {
        let mut text = format!(
            "  {{\n   \"platform\": {},\n   \"config_digest\": {},\n   \"config\": {},\n",
            json!(self.platform),
            json!(self.config_digest),
            self.config,
        );
        if let Some(epoch) = self.epoch {
            text += &format!("   \"epoch\": {epoch},\n");
        }
        text + &format!("   \"vertices\": {}\n  }}", lines(&self.vertices, "    "))
    }
}

fn lines<T: Serialize>(items: &[T], indent: &str) -> String {
    if items.is_empty() {
        return "[]".to_owned();
    }
    let items: Vec<String> = items.iter().map(|item| format!("{indent}{}", json!(item))).collect();
    format!("[\n{}\n{}]", items.join(",\n"), &indent[1..])
}

fn platform_result(value: &Value) -> PlatformResult {
    PlatformResult {
        platform: text(&value["platform"]),
        config_digest: text(&value["config_digest"]),
        config: value["config"].clone(),
        epoch: value["epoch"].as_str().map(|epoch| epoch.parse().expect("an epoch is a number")),
        vertices: list(&value["vertices"])
            .map(|vertex| Vertex {
                digest: text(&vertex["digest"]),
                name: text(&vertex["desc"]["llb.customname"]),
                group: text(&vertex["group"]),
                no_cache: vertex["no_cache"].as_bool().unwrap_or_default(),
                lines: line_pairs(&vertex["lines"]),
                raw: text(&vertex["raw"]),
                extra: json!({
                    "command": vertex["desc"]["com.docker.dockerfile.v1.command"],
                    "caps": vertex["caps"],
                    "resources": vertex["resources"],
                }),
            })
            .collect(),
    }
}

/// The findings in the answer to `frontend.lint`, in the form of the others.
fn lint_response(answer: &Value) -> Vec<Warning> {
    let Some(response) = answer["response"]["result.json"].as_str() else { return Vec::new() };
    let response: Value = serde_json::from_str(response).expect("lint results are JSON");
    let range = |range: &Value| [number(&range["start"]["line"]), number(&range["end"]["line"])];
    let place = |value: &Value| list(&value["location"]["ranges"]).map(range).collect::<Vec<_>>();
    let mut warnings: Vec<Warning> = list(&response["warnings"])
        .map(|warning| {
            let lines = place(warning);
            let line = lines.first().map_or(0, |lines| lines[0]);
            Warning {
                message: format!(
                    "{}: {} (line {line})",
                    text(&warning["ruleName"]),
                    text(&warning["detail"])
                ),
                lines,
            }
        })
        .collect();
    if let Some(error) = response.get("buildError") {
        warnings.push(Warning { message: text(&error["message"]), lines: place(error) });
    }
    warnings
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// First and last lines of ranges of the form `[line, character, line, character]`.
fn line_pairs(ranges: &Value) -> Vec<[i64; 2]> {
    list(ranges).map(|range| [number(&range[0]), number(&range[2])]).collect()
}
