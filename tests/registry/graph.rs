//! The graph of a build beside its image, at registries with a list of referrers and without.
use kitwright::cache::explain::keep::{ARTIFACT_TYPE, fetch, push};
use kitwright::cache::explain::{Graph, Step, VERSION, What};
use kitwright::oci::digest::Digest;

use crate::image::{client, make, push_index, reference};
use crate::second;

fn graph(name: &str) -> Graph {
    let step = Step {
        name: name.into(),
        lines: Some((1, 2)),
        what: What::Local { name: "context".into() },
        ..Step::default()
    };
    let dockerfile = "Dockerfile".to_owned();
    Graph { version: VERSION, dockerfile, steps: vec![step], vertices: Vec::new() }
}

#[tokio::test]
async fn a_graph_is_found_by_the_tag_of_its_image() {
    for (make_of, registry) in second::each() {
        let client = client();
        let name = reference(&registry.host, "app:v1");
        assert_eq!(fetch(&client, &name).await.unwrap(), None, "{make_of}: no image");
        let image = push_index(&client, &name, &[&make(1, "amd64", 100)]).await;
        assert_eq!(fetch(&client, &name).await.unwrap(), None, "{make_of}: no graph");
        push(&client, &name, image, &graph("one")).await.unwrap();
        assert_eq!(fetch(&client, &name).await.unwrap(), Some(graph("one")), "{make_of}");
        let listed = client.referrers(&name, image, Some(ARTIFACT_TYPE)).await.unwrap();
        assert_eq!(listed.len(), 1, "{make_of}");
        // The last one counts, and another image has none.
        push(&client, &name, image, &graph("two")).await.unwrap();
        assert_eq!(fetch(&client, &name).await.unwrap(), Some(graph("two")), "{make_of}");
        push_index(&client, &name, &[&make(2, "amd64", 100)]).await;
        assert_eq!(fetch(&client, &name).await.unwrap(), None, "{make_of}: another image");
    }
}

#[tokio::test]
async fn a_graph_of_an_image_that_is_not_there_is_refused() {
    for (make_of, registry) in second::each() {
        let client = client();
        let name = reference(&registry.host, "app:v1");
        let nowhere = Digest::of(b"no image");
        assert!(push(&client, &name, nowhere, &graph("x")).await.is_err(), "{make_of}");
    }
}
