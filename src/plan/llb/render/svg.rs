//! SVG, drawn here: layers from sources down to the result.
use std::fmt::Write as _;

use super::Picture;
use crate::plan::llb::Definition;

/// Width of a character of the label font.
const CHARACTER: f64 = 6.6;
const BOX_HEIGHT: f64 = 26.0;
const BOX_PADDING: f64 = 10.0;
const GAP_X: f64 = 24.0;
const GAP_Y: f64 = 34.0;
const MARGIN: f64 = 16.0;

/// How often the order within layers is improved; more changes little.
const ROUNDS: usize = 8;

/// A placed node: its left upper corner and its width.
#[derive(Clone, Copy, Default)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
}

impl Place {
    fn middle(self) -> f64 {
        self.x + self.width / 2.0
    }
}

/// Draws `definition` as an SVG image.
#[must_use]
pub fn svg(definition: &Definition) -> String {
    let picture = Picture::of(definition);
    let layers = order(&picture, layers(&picture));
    let (places, width, height) = place(&picture, &layers);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"monospace\" font-size=\"11\">"
    );
    let _ = writeln!(out, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>");
    for (from, to) in &picture.edges {
        out.push_str(&edge(places[*from], places[*to]));
    }
    for (node, place) in picture.nodes.iter().zip(&places) {
        let (fill, stroke) = colours(node.kind);
        let Place { x, y, width } = place;
        let (text_x, text_y) = (x + BOX_PADDING, y + BOX_HEIGHT / 2.0 + 4.0);
        let (label, digest) = (escape(&node.label), &node.digest);
        let _ = writeln!(
            out,
            "<g><title>{label}\n{digest}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" \
             width=\"{width:.1}\" height=\"{BOX_HEIGHT}\" rx=\"4\" fill=\"{fill}\" \
             stroke=\"{stroke}\"/><text x=\"{text_x:.1}\" y=\"{text_y:.1}\" \
             fill=\"#1f2328\">{label}</text></g>"
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The layer of each node: one below its lowest input.
fn layers(picture: &Picture) -> Vec<Vec<usize>> {
    let mut depth = vec![0; picture.nodes.len()];
    // Inputs come before what uses them, so one pass in order of use is enough.
    let mut edges = picture.edges.clone();
    edges.sort_unstable_by_key(|(_, to)| *to);
    for (from, to) in edges {
        depth[to] = depth[to].max(depth[from] + 1);
    }
    let mut layers = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    for (node, depth) in depth.into_iter().enumerate() {
        layers[depth].push(node);
    }
    layers
}

/// Orders nodes within their layers so that each stands near its neighbours.
fn order(picture: &Picture, mut layers: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let mut neighbours = vec![Vec::new(); picture.nodes.len()];
    for (from, to) in &picture.edges {
        neighbours[*from].push(*to);
        neighbours[*to].push(*from);
    }
    let mut position = vec![0.0; picture.nodes.len()];
    for _ in 0..ROUNDS {
        for layer in &mut layers {
            let mut keyed: Vec<(f64, usize)> = layer
                .iter()
                .map(|node| {
                    let near = &neighbours[*node];
                    let sum: f64 = near.iter().map(|other| position[*other]).sum();
                    (if near.is_empty() { 0.0 } else { sum / near.len() as f64 }, *node)
                })
                .collect();
            keyed.sort_by(|(a, first), (b, second)| a.total_cmp(b).then(first.cmp(second)));
            *layer = keyed.into_iter().map(|(_, node)| node).collect();
            let middle = layer.len() as f64 / 2.0;
            for (at, node) in layer.iter().enumerate() {
                position[*node] = at as f64 - middle;
            }
        }
    }
    layers
}

/// Gives every node its place, centred by layer, and tells how large the image is.
fn place(picture: &Picture, layers: &[Vec<usize>]) -> (Vec<Place>, f64, f64) {
    let width_of = |node: &usize| {
        picture.nodes[*node].label.chars().count() as f64 * CHARACTER + 2.0 * BOX_PADDING
    };
    let layer_width = |layer: &Vec<usize>| {
        layer.iter().map(width_of).sum::<f64>() + GAP_X * (layer.len() as f64 - 1.0)
    };
    let widest = layers.iter().map(layer_width).fold(0.0, f64::max);
    let mut places = vec![Place::default(); picture.nodes.len()];
    let mut y = MARGIN;
    for layer in layers {
        let mut x = MARGIN + (widest - layer_width(layer)) / 2.0;
        for node in layer {
            let width = width_of(node);
            places[*node] = Place { x, y, width };
            x += width + GAP_X;
        }
        y += BOX_HEIGHT + GAP_Y;
    }
    let height = if layers.is_empty() { 2.0 * MARGIN } else { y - GAP_Y + MARGIN };
    (places, widest + 2.0 * MARGIN, height)
}

fn edge(from: Place, to: Place) -> String {
    let (x1, y1, x2, y2) = (from.middle(), from.y + BOX_HEIGHT, to.middle(), to.y);
    let bend = (y2 - y1) / 2.0;
    format!(
        "<path d=\"M{x1:.1} {y1:.1} C{x1:.1} {:.1} {x2:.1} {:.1} {x2:.1} {y2:.1}\" fill=\"none\" \
         stroke=\"#8c959f\"/>\n",
        y1 + bend,
        y2 - bend
    )
}

fn colours(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "source" => ("#ddf4ff", "#0969da"),
        "file" => ("#fff8c5", "#9a6700"),
        "merge" => ("#fbefff", "#8250df"),
        _ => ("#dafbe1", "#1a7f37"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
