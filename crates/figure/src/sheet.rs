//! Tables of panels as one SVG file.

use std::fmt::Write as _;

use crate::Panel;
use crate::panel::as_f64;

/// Edge of the square cell of a panel, in SVG units.
const CELL: f64 = 210.0;
const GAP: f64 = 8.0;
const MARGIN: f64 = 14.0;
const LINE: f64 = 17.0;

/// A table of panels under a title.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    title: String,
    notes: Vec<String>,
    warnings: Vec<String>,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<Panel>>)>,
}

impl Sheet {
    /// An empty sheet.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds a line of text below the title.
    #[must_use]
    pub fn note(mut self, text: &str) -> Self {
        self.notes.push(text.to_owned());
        self
    }

    /// Adds a line of text in red.
    #[must_use]
    pub fn warning(mut self, text: &str) -> Self {
        self.warnings.push(text.to_owned());
        self
    }

    /// Names the columns.
    #[must_use]
    pub fn columns(mut self, names: &[&str]) -> Self {
        self.columns = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Adds a row of panels. `None` leaves a cell empty.
    #[must_use]
    pub fn row(mut self, name: &str, panels: Vec<Option<Panel>>) -> Self {
        self.rows.push((name.to_owned(), panels));
        self
    }

    /// Renders the SVG.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let n_columns = self.rows.iter().map(|(_, panels)| panels.len()).max().unwrap_or(0).max(5);
        let n_lines = 1 + self.notes.len() + self.warnings.len();
        let top = MARGIN + LINE * as_f64(n_lines) + 8.0 + if self.columns.is_empty() { 0.0 } else { LINE };
        let width = 2.0 * MARGIN + as_f64(n_columns) * (CELL + GAP) - GAP;
        let height = top + as_f64(self.rows.len()) * (CELL + GAP) - GAP + MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\
             <title>{}</title><rect width=\"100%\" height=\"100%\" fill=\"#14161a\"/>",
            escaped(&self.title)
        );
        self.write_text(&mut svg, top);
        for (row, (name, panels)) in self.rows.iter().enumerate() {
            let y = top + as_f64(row) * (CELL + GAP);
            for (column, panel) in panels.iter().enumerate() {
                let x = MARGIN + as_f64(column) * (CELL + GAP);
                if let Some(panel) = panel {
                    write_panel(&mut svg, panel, [x, y], name);
                }
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn write_text(&self, svg: &mut String, top: f64) {
        let mut y = MARGIN + 12.0;
        let title = escaped(&self.title);
        let _ = write!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"#fff\" font-size=\"15\" font-weight=\"600\">{title}</text>"
        );
        let notes = self.notes.iter().map(|text| (text, "#c8ccd4"));
        for (text, colour) in notes.chain(self.warnings.iter().map(|text| (text, "#ff8a7a"))) {
            y += LINE;
            let _ = write!(svg, "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"{colour}\">{}</text>", escaped(text));
        }
        for (column, name) in self.columns.iter().enumerate() {
            let x = MARGIN + as_f64(column) * (CELL + GAP);
            let y = top - 6.0;
            let _ = write!(svg, "<text x=\"{x}\" y=\"{y}\" fill=\"#8fb8ff\">{}</text>", escaped(name));
        }
    }
}

/// Draws a panel centred in its cell, as large as possible.
fn write_panel(svg: &mut String, panel: &Panel, [x, y]: [f64; 2], row: &str) {
    let [width_mm, height_mm] = panel.extent_mm();
    let scale = CELL / width_mm.max(height_mm);
    let (width, height) = (width_mm * scale, height_mm * scale);
    let (x, y) = (x + (CELL - width) / 2.0, y + (CELL - height) / 2.0);
    let _ = write!(
        svg,
        "<image x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" \
         preserveAspectRatio=\"none\" href=\"{}\"><title>{}</title></image>",
        panel.data_url(),
        escaped(row)
    );
    if let Some(contour) = panel.contour() {
        let [columns, rows] = panel.size().map(as_f64);
        let _ = write!(
            svg,
            "<path transform=\"translate({x:.2} {y:.2}) scale({:.4} {:.4})\" d=\"{contour}\" fill=\"none\" \
             stroke=\"#ffd400\" stroke-width=\"1.2\" vector-effect=\"non-scaling-stroke\"/>",
            width / columns,
            height / rows
        );
    }
    let [left, right, up, down] = panel.plane().letters();
    let (middle_x, middle_y) = (x + width / 2.0, y + height / 2.0);
    for (letter, x, y, anchor) in [
        (left, x + 3.0, middle_y, "start"),
        (right, x + width - 3.0, middle_y, "end"),
        (up, middle_x, y + 11.0, "middle"),
        (down, middle_x, y + height - 4.0, "middle"),
    ] {
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"#7fd18a\" font-size=\"10\" stroke=\"#14161a\" \
             stroke-width=\"2\" paint-order=\"stroke\" text-anchor=\"{anchor}\">{letter}</text>"
        );
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plane, Shading, Window};
    use brainreel_volume::{Affine, Grid, Volume};

    #[test]
    fn text_is_escaped_and_every_panel_is_there() {
        let grid = Grid::new([4, 5, 6], Affine::from_diagonal([1.0; 3])).unwrap();
        let volume = Volume::from_fn(grid, |[x, _, _]| x as f32);
        let panel = |plane| {
            let shading = Shading::Grey(Window { low: 0.0, high: 4.0 });
            Some(Panel::of(&volume, plane, 2, shading).with_contour(&volume.map(|&v| v > 1.0), 2))
        };
        let row = Plane::ALL.map(panel).to_vec();
        let svg = Sheet::new("<script>\"&").warning("a < b").row("x", row).row("y", vec![None]).to_svg();
        assert!(
            !svg.contains("<script>")
                && svg.contains("&lt;script&gt;&quot;&amp;")
                && svg.contains("a &lt; b")
        );
        assert_eq!(svg.matches("<image").count(), 3);
        assert_eq!(svg.matches("<path").count(), 3);
    }
}
