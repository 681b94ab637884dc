//! Golden arrays: what the reference implementation answered, with its provenance.
//!
//! An entry is a pair of files written by `reference/golden.py`: `NAME.json` (generator script, tool
//! versions, seed, shapes) and `NAME.bin` (the arrays, little-endian, one after the other).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// One entry of golden arrays.
#[derive(Debug)]
pub struct Golden {
    arrays: BTreeMap<String, Array>,
    /// Scalars and other settings the generator stored beside the arrays.
    pub parameters: serde_json::Value,
}

/// An array in C order (last axis fastest), as numpy wrote it.
#[derive(Debug, Clone)]
pub struct Array {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Vec<f64>,
}

#[derive(Deserialize)]
struct Header {
    arrays: Vec<ArrayHeader>,
    parameters: serde_json::Value,
}

#[derive(Deserialize)]
struct ArrayHeader {
    name: String,
    shape: Vec<usize>,
    dtype: String,
}

impl Golden {
    /// Loads `NAME` from the folder `tests/golden` of the crate whose `CARGO_MANIFEST_DIR` is given.
    ///
    /// # Panics
    /// If the entry is missing or not as `reference/golden.py` writes it.
    #[must_use]
    pub fn load(manifest_dir: &str, name: &str) -> Self {
        let stem = Path::new(manifest_dir).join("tests/golden").join(name);
        let read = |extension: &str| {
            let path = stem.with_extension(extension);
            fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
        };
        let header: Header = serde_json::from_slice(&read("json")).expect("a golden header");
        let bytes = read("bin");
        let mut rest = bytes.as_slice();
        let mut arrays = BTreeMap::new();
        for ArrayHeader { name, shape, dtype } in header.arrays {
            let n_values: usize = shape.iter().product();
            let width = if dtype == "float64" { 8 } else { 4 };
            let (head, tail) = rest.split_at(n_values * width);
            rest = tail;
            let data = match dtype.as_str() {
                "float64" => head.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                "float32" => head.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
                "int32" => head.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
                other => panic!("golden array {name} has dtype {other}"),
            };
            arrays.insert(name, Array { shape, data });
        }
        assert!(rest.is_empty(), "{} bytes left over in {}", rest.len(), stem.display());
        Self { arrays, parameters: header.parameters }
    }

    /// The array called `name`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn array(&self, name: &str) -> &Array {
        self.arrays
            .get(name)
            .unwrap_or_else(|| panic!("no golden array {name}, only {:?}", self.arrays.keys()))
    }
}

impl Array {
    /// The values as `f32`, in C order.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "golden inputs were float32 when written")]
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&value| value as f32).collect()
    }

    /// A 3-D array `[x, y, z]` reordered so that the first axis runs fastest, as volumes store it.
    ///
    /// # Panics
    /// If the array is not 3-D.
    #[must_use]
    pub fn first_axis_fastest(&self) -> ([usize; 3], Vec<f64>) {
        let dims: [usize; 3] = self.shape.as_slice().try_into().expect("a 3-D array");
        let [nx, ny, nz] = dims;
        let mut data = Vec::with_capacity(self.data.len());
        for z in 0..nz {
            for y in 0..ny {
                data.extend((0..nx).map(|x| self.data[(x * ny + y) * nz + z]));
            }
        }
        (dims, data)
    }
}
