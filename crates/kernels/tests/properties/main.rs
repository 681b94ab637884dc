//! Properties of every public kernel: against plain references at sizes just off the edges of blocks, on every
//! instruction set of the machine, and the sets against each other.

mod attention;
mod case;
mod convolution;
mod golden;
mod gradients;
mod instruction_sets;
mod maps;
mod masks;
mod plain;
mod splines;
mod support;
mod tokens;
