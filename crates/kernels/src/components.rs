//! Connected components of masks, by runs along the first axis.

/// A run of equal voxels along the first axis.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
}

/// The runs of a mask, and which of them touch.
struct Runs {
    runs: Vec<Run>,
    /// Where the runs of each row begin in `runs`; one more than rows.
    row_starts: Vec<usize>,
    /// A forest: the root of a component is its first run.
    parent: Vec<usize>,
}

impl Runs {
    /// Runs of `wanted` voxels, joined where they share a face.
    fn new(mask: &[bool], dims: [usize; 3], wanted: bool) -> Self {
        let [nx, ny, nz] = dims;
        let mut found = Self { runs: Vec::new(), row_starts: vec![0], parent: Vec::new() };
        for row_idx in 0..ny * nz {
            found.add_row(&mask[row_idx * nx..][..nx], wanted);
            let (y, z) = (row_idx % ny, row_idx / ny);
            if y > 0 {
                found.join_rows(row_idx - 1, row_idx);
            }
            if z > 0 {
                found.join_rows(row_idx - ny, row_idx);
            }
        }
        debug_assert_eq!(found.row_starts.len(), ny * nz + 1);
        found
    }

    fn add_row(&mut self, row: &[bool], wanted: bool) {
        let mut x = 0;
        while let Some(ahead) = row[x..].iter().position(|&value| value == wanted) {
            let start = x + ahead;
            let length = row[start..].iter().position(|&value| value != wanted);
            let end = length.map_or(row.len(), |length| start + length);
            self.parent.push(self.runs.len());
            self.runs.push(Run { start, end });
            x = end;
        }
        self.row_starts.push(self.runs.len());
    }

    fn of_row(&self, row_idx: usize) -> std::ops::Range<usize> {
        self.row_starts[row_idx]..self.row_starts[row_idx + 1]
    }

    /// Joins the runs of two rows that overlap.
    fn join_rows(&mut self, a: usize, b: usize) {
        let (mut i, mut j) = (self.of_row(a), self.of_row(b));
        while !i.is_empty() && !j.is_empty() {
            let (first, second) = (self.runs[i.start], self.runs[j.start]);
            if first.start < second.end && second.start < first.end {
                self.join(i.start, j.start);
            }
            if first.end < second.end {
                i.start += 1;
            } else {
                j.start += 1;
            }
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    fn root(&mut self, mut run: usize) -> usize {
        while self.parent[run] != run {
            self.parent[run] = self.parent[self.parent[run]];
            run = self.parent[run];
        }
        run
    }

    /// The root of every run.
    fn roots(&mut self) -> Vec<usize> {
        (0..self.runs.len()).map(|run| self.root(run)).collect()
    }

    /// Sets the voxels of the runs that `chosen` picks.
    fn paint(&self, out: &mut [bool], nx: usize, value: bool, chosen: impl Fn(usize) -> bool) {
        for (row_idx, row) in out.chunks_exact_mut(nx.max(1)).enumerate() {
            for idx in self.of_row(row_idx).filter(|&idx| chosen(idx)) {
                let run = self.runs[idx];
                row[run.start..run.end].fill(value);
            }
        }
    }
}

/// The largest face-connected component of `mask`. Ties go to the first.
///
/// # Panics
/// If the length of the mask does not match `dims`.
#[must_use]
pub fn largest_component(mask: &[bool], dims: [usize; 3]) -> Vec<bool> {
    assert_eq!(mask.len(), dims.iter().product::<usize>(), "mask does not fit {dims:?}");
    let mut runs = Runs::new(mask, dims, true);
    let roots = runs.roots();
    let mut sizes = vec![0_usize; roots.len()];
    for (run, &root) in runs.runs.iter().zip(&roots) {
        sizes[root] += run.end - run.start;
    }
    let mut out = vec![false; mask.len()];
    let largest = sizes.iter().copied().max().unwrap_or(0);
    if let Some(root) = sizes.iter().position(|&size| size == largest) {
        runs.paint(&mut out, dims[0], true, |idx| roots[idx] == root);
    }
    out
}

/// `mask` with holes filled: adds every voxel that is not face-connected to the border of the volume outside
/// the mask.
///
/// # Panics
/// If the length of the mask does not match `dims`.
#[must_use]
pub fn fill_holes(mask: &[bool], dims: [usize; 3]) -> Vec<bool> {
    assert_eq!(mask.len(), dims.iter().product::<usize>(), "mask does not fit {dims:?}");
    let [nx, ny, nz] = dims;
    let mut runs = Runs::new(mask, dims, false);
    let roots = runs.roots();
    let mut open = vec![false; roots.len()];
    for row_idx in 0..ny * nz {
        let (y, z) = (row_idx % ny, row_idx / ny);
        let border = y == 0 || z == 0 || y + 1 == ny || z + 1 == nz;
        for idx in runs.of_row(row_idx) {
            let Run { start, end } = runs.runs[idx];
            open[roots[idx]] |= border || start == 0 || end == nx;
        }
    }
    let mut out = mask.to_vec();
    runs.paint(&mut out, nx, true, |idx| !open[roots[idx]]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Labels by flooding, voxel by voxel.
    fn flood(mask: &[bool], dims: [usize; 3], wanted: bool) -> Vec<Vec<usize>> {
        let [nx, ny, nz] = dims;
        let mut seen = vec![false; mask.len()];
        let mut components = Vec::new();
        for start in 0..mask.len() {
            if seen[start] || mask[start] != wanted {
                continue;
            }
            let (mut stack, mut members) = (vec![start], Vec::new());
            seen[start] = true;
            while let Some(at) = stack.pop() {
                members.push(at);
                let (x, y, z) = (at % nx, at / nx % ny, at / nx / ny);
                let near = [
                    (x > 0).then(|| at - 1),
                    (x + 1 < nx).then(|| at + 1),
                    (y > 0).then(|| at - nx),
                    (y + 1 < ny).then(|| at + nx),
                    (z > 0).then(|| at - nx * ny),
                    (z + 1 < nz).then(|| at + nx * ny),
                ];
                for next in near.into_iter().flatten().filter(|&next| mask[next] == wanted) {
                    if !std::mem::replace(&mut seen[next], true) {
                        stack.push(next);
                    }
                }
            }
            components.push(members);
        }
        components
    }

    proptest! {
        #[test]
        fn equal_to_flooding(
            (dims, mask) in (1_usize..9, 1_usize..7, 1_usize..6).prop_flat_map(|(x, y, z)| {
                (Just([x, y, z]), proptest::collection::vec(proptest::bool::weighted(0.6), x * y * z))
            })
        ) {
            let [nx, ny, nz] = dims;
            let mut expected = vec![false; mask.len()];
            let components = flood(&mask, dims, true);
            let size = components.iter().map(Vec::len).max().unwrap_or(0);
            if let Some(first) = components.iter().find(|members| members.len() == size) {
                first.iter().for_each(|&at| expected[at] = true);
            }
            prop_assert_eq!(largest_component(&mask, dims), expected);

            let mut expected = mask.clone();
            for members in flood(&mask, dims, false) {
                let at_border = |at: usize| {
                    let (x, y, z) = (at % nx, at / nx % ny, at / nx / ny);
                    x == 0 || y == 0 || z == 0 || x + 1 == nx || y + 1 == ny || z + 1 == nz
                };
                if !members.iter().any(|&at| at_border(at)) {
                    members.iter().for_each(|&at| expected[at] = true);
                }
            }
            prop_assert_eq!(fill_holes(&mask, dims), expected);
        }
    }

    #[test]
    fn empty_and_full_masks() {
        for value in [false, true] {
            let mask = vec![value; 24];
            assert_eq!(largest_component(&mask, [2, 3, 4]), mask);
            assert_eq!(fill_holes(&mask, [2, 3, 4]), mask);
        }
    }
}
