//! Figures: slices of volumes, and flow diagrams.
//!
//! [`Panel`] is one image: a slice of a volume in grey or of a field in colour, with the contour of a mask
//! and orientation letters. [`Sheet`] arranges panels in a table and returns one self-contained SVG file.
//! [`FlowChart`] shows the selection of a cohort. This crate writes no files.
//!
//! ```
//! use brainreel_figure::{Panel, Plane, Sheet, Shading, Window};
//! use brainreel_volume::{Affine, Grid, Volume};
//!
//! let grid = Grid::new([20, 24, 22], Affine::from_diagonal([2.0; 3]))?;
//! let head = Volume::from_fn(grid, |[i, j, k]| (i + j + k) as f32);
//! let panel = Panel::of(&head, Plane::Axial, 11, Shading::Grey(Window { low: 0.0, high: 60.0 }));
//! let svg = Sheet::new("a head").row("axial", vec![Some(panel)]).to_svg();
//! assert!(svg.starts_with("<svg"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Volumes are closest-canonical (RAS+). The subject's left is shown on the left (neurological convention),
//! and anterior to the right or at the top.

mod contour;
mod flow;
mod panel;
mod sheet;

pub use flow::FlowChart;
pub use panel::{Panel, Plane, Shading, Window};
pub use sheet::Sheet;
