//! Flow diagrams of a cohort selection.

use std::fmt::Write as _;

use crate::panel::as_f64;
use crate::sheet::escaped;

const WIDTH: f64 = 840.0;
const MARGIN: f64 = 24.0;
const LINE: f64 = 18.0;
/// Horizontal extents of the boxes on the left, and of the exclusion boxes on the right.
const MAIN: [f64; 2] = [MARGIN, 352.0];
const SIDE: [f64; 2] = [448.0, WIDTH - MARGIN - 448.0];
const MAIN_HEIGHT: f64 = 34.0;
const SIDE_HEIGHT: f64 = 46.0;
/// Vertical distance between boxes on the left. The exclusion box is between them.
const STEP: f64 = 64.0;
const END_HEIGHT: f64 = 50.0;

/// A CONSORT-style diagram: remaining items in boxes on the left, exclusions in boxes on the right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowChart {
    title: String,
    start: String,
    steps: Vec<Step>,
    ends: Vec<[String; 2]>,
    notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    /// The exclusion and its count.
    out: [String; 2],
    /// The remainder.
    left: String,
}

impl FlowChart {
    /// Creates a diagram that starts with `start`.
    #[must_use]
    pub fn new(title: &str, start: &str) -> Self {
        Self { title: title.to_owned(), start: start.to_owned(), ..Self::default() }
    }

    /// Adds an exclusion, its count and the remainder.
    #[must_use]
    pub fn step(mut self, what: &str, how_much: &str, left: &str) -> Self {
        self.steps.push(Step { out: [what.to_owned(), how_much.to_owned()], left: left.to_owned() });
        self
    }

    /// Adds a final group.
    #[must_use]
    pub fn end(mut self, name: &str, how_much: &str) -> Self {
        self.ends.push([name.to_owned(), how_much.to_owned()]);
        self
    }

    /// Adds a line of text below.
    #[must_use]
    pub fn note(mut self, text: &str) -> Self {
        self.notes.push(text.to_owned());
        self
    }

    /// Renders the SVG.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let top = MARGIN + 34.0;
        let last = top + STEP * as_f64(self.steps.len()) + MAIN_HEIGHT;
        let ends = if self.ends.is_empty() { last } else { last + 40.0 + END_HEIGHT };
        let height = ends + MARGIN + LINE * as_f64(self.notes.len());
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\
             <title>{title}</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
             <text x=\"{MARGIN}\" y=\"{y}\" font-size=\"16\" font-weight=\"600\" fill=\"#1a1d21\">{title}</text>{TIP}",
            title = escaped(&self.title),
            y = MARGIN + 10.0,
        );
        rect(&mut svg, MAIN[0], top, MAIN[1], MAIN_HEIGHT, "#eef3fb");
        text(&mut svg, middle(MAIN), top + 21.0, &self.start, true);
        for (idx, step) in self.steps.iter().enumerate() {
            write_step(&mut svg, step, top + STEP * as_f64(idx) + MAIN_HEIGHT);
        }
        self.write_ends(&mut svg, last);
        for (idx, note) in self.notes.iter().enumerate() {
            let y = ends + MARGIN + LINE * as_f64(idx);
            let note = escaped(note);
            let _ = write!(
                svg,
                "<text x=\"{MARGIN}\" y=\"{y}\" font-size=\"11.5\" fill=\"#5a6270\">{note}</text>"
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The groups side by side under the last box.
    fn write_ends(&self, svg: &mut String, top: f64) {
        let n = as_f64(self.ends.len());
        let (gap, y) = (16.0, top + 40.0);
        let width = ((WIDTH - 2.0 * MARGIN + gap) / n.max(1.0) - gap).min(228.0);
        for (idx, [name, how_much]) in self.ends.iter().enumerate() {
            let x = MARGIN + as_f64(idx) * (width + gap);
            let centre = x + width / 2.0;
            let from = middle(MAIN);
            line(svg, &format!("M{from} {top}V{}H{centre}V{}", top + 16.0, y - 1.0));
            rect(svg, x, y, width, END_HEIGHT, "#e9f6ec");
            text(svg, centre, y + 20.0, name, true);
            text(svg, centre, y + 38.0, how_much, false);
        }
    }
}

/// Draws the arrow down from `y`, the exclusion to the right, and the box of the remainder.
fn write_step(svg: &mut String, step: &Step, y: f64) {
    let gap = STEP - MAIN_HEIGHT;
    let (x, branch) = (middle(MAIN), y + gap / 2.0);
    line(svg, &format!("M{x} {y}V{}", y + gap - 1.0));
    line(svg, &format!("M{x} {branch}H{}", SIDE[0] - 1.0));
    rect(svg, SIDE[0], branch - SIDE_HEIGHT / 2.0, SIDE[1], SIDE_HEIGHT, "#fbf1ee");
    text(svg, middle(SIDE), branch - 4.0, &step.out[0], true);
    text(svg, middle(SIDE), branch + 14.0, &step.out[1], false);
    rect(svg, MAIN[0], y + gap, MAIN[1], MAIN_HEIGHT, "#f6f7f9");
    text(svg, x, y + gap + 21.0, &step.left, false);
}

fn middle([start, width]: [f64; 2]) -> f64 {
    start + width / 2.0
}

fn rect(svg: &mut String, x: f64, y: f64, width: f64, height: f64, fill: &str) {
    let _ = write!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"4\" fill=\"{fill}\" \
         stroke=\"#5a6270\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, words: &str, strong: bool) {
    let weight = if strong { " font-weight=\"600\"" } else { "" };
    let words = escaped(words);
    let _ = write!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#1a1d21\"{weight}>{words}</text>"
    );
}

/// A line with an arrow at its end.
fn line(svg: &mut String, path: &str) {
    let _ = write!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"#5a6270\" marker-end=\"url(#tip)\"/>");
}

/// The tip of all arrows.
const TIP: &str = "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
                   markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#5a6270\"/></marker></defs>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_box_is_there_and_text_is_escaped() {
        let svg = FlowChart::new("a <cohort>", "10 images of 5 subjects")
            .step("too \"young\"", "3 images of 1 subject", "7 images of 4 subjects")
            .step("surplus", "1 image of 0 subjects", "6 images of 4 subjects")
            .end("CN", "3 images")
            .end("AD", "3 images")
            .note("For research use only.")
            .to_svg();
        // The background, the start, two for each step, the two groups.
        assert_eq!(svg.matches("<rect").count(), 1 + 1 + 4 + 2);
        assert!(svg.contains("a &lt;cohort&gt;") && svg.contains("too &quot;young&quot;"));
        assert!(!svg.contains("<cohort>") && svg.contains("research use only"));
        assert_eq!(svg.matches("marker-end").count(), 2 * 2 + 2);
        assert!(svg.contains("id=\"tip\""));
    }
}
