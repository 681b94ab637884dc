//! Numeric kernels on slices: cubic B-spline prefilter and interpolation.
