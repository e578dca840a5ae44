use super::*;
use crate::oci::platform::Platform;
use crate::plan::llb::{FileAction, Graph, Metadata, Node, Op, source};

fn definition() -> Definition {
    let mut graph = Graph::new();
    let platform = Platform::new("linux", "amd64");
    let name = Metadata::named("[1/2] FROM a<b>".to_owned());
    let image = graph.add(source::image("docker.io/library/a", Some(&platform), "", name));
    let mkdir = pb::FileActionMkDir { path: "/x".to_owned(), ..pb::FileActionMkDir::default() };
    let action = FileAction { source: None, action: pb::file_action::Action::Mkdir(mkdir) };
    let op = Op::File { base: Some(image), actions: vec![action] };
    let metadata = Metadata::named(format!("[2/2] WORKDIR \"{}\"", "y".repeat(100)));
    let head = graph.add(Node { op, metadata, ..Node::default() });
    graph.marshal(Some(head), &platform, None)
}

#[test]
fn draws_nodes_and_edges() {
    let definition = definition();
    let dot = dot(&definition);
    assert!(dot.contains("n0 [label=\"[1/2] FROM a<b>\", shape=ellipse"), "{dot}");
    assert!(dot.contains("  n0 -> n1;\n"), "{dot}");
    assert!(dot.contains("WORKDIR \\\"yy"), "{dot}");
    let mermaid = mermaid(&definition);
    assert!(mermaid.contains("n0([\"[1/2] FROM a#lt;b#gt;\"])"), "{mermaid}");
    assert!(mermaid.contains("n0 --> n1"), "{mermaid}");
    let svg = svg(&definition);
    assert!(svg.contains("FROM a&lt;b&gt;") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(svg.matches("<path").count(), 1);
    assert!(svg.contains('…'), "long labels are cut");
}

#[test]
fn an_empty_definition_has_an_empty_picture() {
    let empty = Definition::default();
    assert!(svg(&empty).starts_with("<svg"));
    assert_eq!(definition_json(&empty)["vertices"], serde_json::json!([]));
}

#[test]
fn json_has_ops_and_what_they_say_of_themselves() {
    let json = definition_json(&definition());
    assert_eq!(
        json["vertices"][0]["op"]["source"]["identifier"],
        "docker-image://docker.io/library/a"
    );
    assert_eq!(json["vertices"][1]["op"]["file"]["actions"][0]["mkdir"]["path"], "/x");
    assert_eq!(json["vertices"][2]["kind"], "terminal");
    assert_eq!(json["head"], json["vertices"][1]["digest"]);
}
