//! Numeric kernels on slices: cubic B-spline interpolation, histogram threshold, percentiles,
//! connected components, distances, convolutions, attention.
//!
//! Arrays are plain slices, the first axis running fastest; kernels take checked inputs and cannot
//! fail. Every kernel gives the same bits for any number of threads.
//!
//! ```
//! use brainreel_kernels::{AxisPlan, resample_separable};
//!
//! let ramp = [0.0_f32, 1.0, 2.0, 3.0];
//! // Four voxels stretched to seven, end voxels onto end voxels.
//! let plans = [AxisPlan::stretch(4, 7), AxisPlan::keep(1), AxisPlan::keep(1)];
//! assert_eq!(resample_separable(&ramp, &plans).len(), 7);
//! ```

mod bspline;
mod components;
#[expect(unsafe_code, reason = "vectors and threads over memory whose extents the drivers check once")]
mod conv;
mod distance;
mod histogram;
mod lattice;
mod mapped;
mod separable;
#[expect(unsafe_code, reason = "vector instructions")]
mod simd;
mod tokens;

pub use bspline::{Outside, prefilter, sample_reference};
pub use components::{fill_holes, largest_component};
pub use conv::*;
pub use distance::squared_distance;
pub use histogram::{otsu_threshold, percentiles};
pub use lattice::{LatticeAxis, LatticeGrid, refine_lattice};
pub use mapped::{PointMap, resample_mapped};
pub use separable::{AxisPlan, resample_separable, resample_separable_reference, spline_coefficients};
pub use simd::{ISA_VARIABLE, InstructionSet, LANES, UnknownInstructionSet};
pub use tokens::*;
